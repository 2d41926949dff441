"""The commands about accounts, members, keys, tokens and names, on a real database in a file.

`run` is called in this process, as the program calls it; what it says is read back as a person or a program would.
"""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from tunnel.cli.exits import ExitCode
from tunnel.cli.main import run
from tunnel.cli.tables import WIDTH, table
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.control.keys import PresentedKey, read_key
from tunnel.core.token.codec import decode_token, token_raw
from tunnel.core.token.token import EndpointKind, Token, ids_of

Shell: TypeAlias = Callable[..., tuple[ExitCode, str, str]]
ANN: Final = "ann@example.com"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs a command on the store of this test: its exit code, standard output and standard error."""

    def typed(*arguments: str, **environment: str) -> tuple[ExitCode, str, str]:
        code = run([*arguments, "--state", str(tmp_path / "s")], environment)
        told = capsys.readouterr()
        return code, told.out, told.err

    return typed


def done(answer: tuple[ExitCode, str, str]) -> str:
    code, out, err = answer
    assert code == ExitCode.OK, err
    return out


def held(file: Path) -> Token:
    raw = token_raw(file.read_text().strip())
    assert isinstance(raw, Success)
    decoded = decode_token(value_of(raw))
    assert isinstance(decoded, Success)
    return value_of(decoded)


@pytest.mark.shows("TOKEN-CLI-006")
def test_who_only_reads_makes_no_database_and_is_told_that_the_directory_is_another(
    shell: Shell, tmp_path: Path
) -> None:
    nouns = ("account", "key", "name", "token", "plan", "billing")
    for command in (*((noun, "list") for noun in nouns), ("account", "show", "ann"), ("audit", "export")):
        code, out, err = shell(*command)
        assert (code, out) == (ExitCode.USAGE, "")
        assert f"--state: there is no database in {tmp_path / 's'}" in err
    assert not (tmp_path / "s").exists()


@pytest.mark.shows("TOKEN-CLI-001")
def test_the_default_account_is_made_on_first_use_and_no_other(shell: Shell) -> None:
    done(shell("token", "mint", "--name", "demo"))
    code, _, err = shell("token", "mint", "--name", "demo", "--account", "onwer")
    assert code == ExitCode.USAGE
    assert "there is no account 'onwer'; make it with `tunnel account create`" in err
    accounts = json.loads(done(shell("account", "list", "--output", "json")))
    assert [account["name"] for account in accounts["accounts"]] == ["owner"]


def test_an_account_from_its_making_to_its_suspension(shell: Shell) -> None:
    assert "8h by default, 7d at most" in done(
        shell("account", "create", "ann", "--ttl-default", "8h", "--ttl-max", "7d")
    )
    assert shell("account", "create", "ann")[0] == ExitCode.USAGE
    assert "none at most" in done(shell("account", "change", "ann", "--ttl-max", "none"))
    done(shell("member", "add", "ann", ANN, "--role", "owner"))
    done(shell("name", "reserve", "shop", "--account", "ann"))
    shown = done(shell("account", "show", "ann"))
    assert f"owner: {ANN}" in shown
    assert "name: shop" in shown
    assert "suspended" in done(shell("account", "suspend", "ann"))
    code, _, err = shell("token", "mint", "--name", "shop", "--account", "ann")
    assert (code, "The account `ann` is suspended" in err) == (ExitCode.USAGE, True)
    assert "active" in done(shell("account", "resume", "ann"))
    done(shell("token", "mint", "--name", "shop", "--account", "ann"))
    code, _, err = shell("account", "show", "nobody")
    assert (code, err) == (ExitCode.USAGE, "tunnel: There is no account `nobody`.\n")


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        (["account", "create", " ann"], "NAME: ' ann' is not an account name"),
        (["account", "create", "a" * 65], "is not an account name"),
        (["account", "create", "ann", "--ttl-max", "soon"], "--ttl-max: 'soon' is not a time to live"),
        (["account", "create", "ann", "--ttl-max", "1h", "--ttl-default", "2h"], "it is more than --ttl-max"),
        (["name", "reserve", "a_b", "--account", "owner"], "NAME: 'a_b' is not a name"),
        (["member", "add", "owner", " "], "IDENTITY: ' ' is not"),
        (["key", "mint", "--ttl", "1w"], "--ttl: '1w' is not a time to live"),
        (["key", "mint", "--account", "owner", "--role", "auditor", "--scope", "token:write"], "more than the role"),
        (["token", "show"], "give the token's ID, or a file"),
        (["token", "show", "abc"], "ID: 'abc' is not the ID of a token"),
        (["token", "revoke", "00" * 16], "no such token was minted here"),
        (["token", "show", "00" * 16], "There is no token"),
        (["token", "revoke", "--token-file", "/nonexistent"], "cannot read /nonexistent"),
        (["token", "mint", "--name", "a_b", "--ttl", "1w", "--names", "0"], "--names: '0' is not a number"),
        (["token", "list", "--database", "mysql://x"], "--database: 'this text' is not a database"),
        (["token", "list", "--account", "nobody"], "there is no account 'nobody'"),
        (["key", "list", "--account", "nobody"], "there is no account 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(typed: list[str], wrong: str, shell: Shell) -> None:
    done(shell("account", "create", "there"))
    code, out, err = shell(*typed)
    assert code == ExitCode.USAGE
    assert wrong in err
    assert out == ""


def test_people_are_added_listed_and_removed(shell: Shell) -> None:
    done(shell("account", "create", "ann"))
    assert done(shell("member", "list", "owner")) == "no members\n"
    done(shell("member", "add", "owner", ANN))
    listed = json.loads(done(shell("member", "list", "owner", "--output", "json")))
    assert [(each["identity"], each["role"]) for each in listed["members"]] == [(ANN, "developer")]
    assert done(shell("member", "remove", "owner", ANN)) == "removed\n"
    assert shell("member", "remove", "owner", ANN)[0] == ExitCode.USAGE


def test_a_name_is_one_accounts_until_it_is_released(shell: Shell) -> None:
    done(shell("account", "create", "ann"))
    done(shell("account", "create", "bob"))
    assert done(shell("name", "reserve", "Shop", "--account", "ann", "--note", "the web shop")) == "reserved for ann\n"
    code, _, err = shell("name", "reserve", "shop", "--account", "bob")
    assert (code, "The name `shop` is there already" in err) == (ExitCode.USAGE, True)
    code, _, err = shell("token", "mint", "--name", "shop", "--account", "bob")
    assert (code, "reserved by another account" in err) == (ExitCode.USAGE, True)
    head, row = done(shell("name", "list")).splitlines()
    assert head.split() == ["NAME", "ACCOUNT", "SINCE", "NOTE"]
    assert row.split()[:2] == ["shop", "ann"]
    assert done(shell("name", "list", "--account", "bob")) == "no names\n"
    assert shell("name", "release", "shop", "--account", "bob")[0] == ExitCode.USAGE
    assert done(shell("name", "release", "shop")) == "free for anybody\n"
    assert done(shell("name", "list")) == "no names\n"


@pytest.mark.shows("TOKEN-CLI-002")
def test_a_key_is_shown_once(shell: Shell, tmp_path: Path) -> None:
    text = done(shell("key", "mint", "--label", "ci")).strip()
    presented = read_key(text)
    assert isinstance(presented, Success)
    shown: PresentedKey = value_of(presented)
    out = tmp_path / "key"
    code, printed, aside = shell(
        "key", "mint", "--account", "owner", "--role", "auditor", "--ttl", "1h", "--out", str(out)
    )
    assert (code, printed) == (ExitCode.OK, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_text().strip() not in aside
    listed = done(shell("key", "list")) + done(shell("key", "list", "--output", "json"))
    for secret in (text, out.read_text().strip()):
        assert secret.strip()[-40:] not in listed
    keys = json.loads(done(shell("key", "list", "--output", "json")))["keys"]
    assert {(each["role"], each["account"] is None, each["expires"] is None) for each in keys} == {
        ("owner", True, True),
        ("auditor", False, False),
    }
    assert ["operate" in each["scopes"] for each in keys] == [each["account"] is None for each in keys]
    assert done(shell("key", "revoke", shown.key)) == "revoked\n"
    assert "revoked" in done(shell("key", "list"))
    assert shell("key", "revoke", "k_aaaaaaaaaaaaaaaa")[0] == ExitCode.USAGE


@pytest.mark.shows("TOKEN-CLI-002", "TOKEN-CLI-003", "TOKEN-MINT-004")
def test_tokens_are_listed_without_their_text(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "t"
    done(shell("account", "create", "ann"))
    assert done(shell("token", "list")) == "no tokens\n"
    done(shell("token", "mint", "--name", "demo", "--out", str(out), "--label", "a laptop of somebody's in Basel"))
    text = json.loads(done(shell("token", "mint", "--name", "*", "--output", "json")))["text"]
    token = held(out)
    head, *rows = done(shell("token", "list")).splitlines()
    assert head.split() == ["TOKEN", "ACCOUNT", "NAMES", "STATE", "LEFT", "LABEL"]
    assert any(token.token_id.hex() in row for row in rows)
    listed = json.loads(done(shell("token", "list", "--output", "json", "--account", "owner")))["tokens"]
    assert {each["pattern"] for each in listed} == {"demo", "*"}
    shown = done(shell("token", "show", token.token_id.hex()))
    assert "a laptop of somebody's in Basel" in shown
    assert text not in shown + json.dumps(listed) + "".join(rows)
    assert "state: valid" in done(shell("token", "show", "--token-file", str(out)))


@pytest.mark.shows("TOKEN-MINT-005")
def test_a_token_is_revoked_by_its_id_or_by_its_file(shell: Shell, tmp_path: Path) -> None:
    one, two, weaker = tmp_path / "one", tmp_path / "two", tmp_path / "weaker"
    for file in (one, two):
        done(shell("token", "mint", "--name", "demo", "--out", str(file)))
    assert run(["token", "narrow", "--token-file", str(two), "--names", "1", "--out", str(weaker)], {}) == ExitCode.OK
    assert "with all that was narrowed" in done(shell("token", "revoke", held(one).token_id.hex()))
    told = done(shell("token", "revoke", "--token-file", str(weaker)))
    assert f"token {held(weaker).token_id.hex()} is revoked" in told
    states = {
        each["token"]: each["revoked"] is not None
        for each in json.loads(done(shell("token", "list", "--output", "json")))["tokens"]
    }
    assert states == {held(one).token_id.hex(): True, held(two).token_id.hex(): False}
    assert "not minted here" in done(shell("token", "show", "--token-file", str(weaker)))


@pytest.mark.shows("TOKEN-CLI-004", "TOKEN-CHAIN-001", "TOKEN-WORDS-003")
def test_a_token_is_narrowed_from_its_file_alone(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, weaker, last = tmp_path / "whole", tmp_path / "weaker", tmp_path / "last"
    done(shell("token", "mint", "--name", "*", "--kind", "http", "--kind", "tcp", "--out", str(whole)))
    narrow = ["token", "narrow", "--token-file", str(whole), "--out", str(weaker)]
    amounts = ["--names", "1", "--streams", "8", "--sessions", "2"]
    assert run([*narrow, "--name", "team-*", "--kind", "http", "--ttl", "10m", *amounts], {}) == ExitCode.OK
    assert stat.S_IMODE(weaker.stat().st_mode) == 0o600
    token = held(weaker)
    assert (str(token.pattern), set(token.kinds)) == ("team-*", {EndpointKind.HTTP})
    assert (token.names_max, token.streams_max, token.sessions_max) == (1, 8, 2)
    assert token.expiry < held(whole).expiry
    again = ["token", "narrow", "--token-file", str(weaker), "--out", str(last), "--starts-in", "1m", "--sealed"]
    assert run([*again, "--ttl", "1m"], {}) == ExitCode.OK
    assert held(last).expiry - held(last).not_before == 60
    assert ids_of(held(last))[:2] == ids_of(token)
    capsys.readouterr()
    assert run(["token", "explain", str(last)], {}) == ExitCode.OK
    told = capsys.readouterr().out
    assert "Narrowed, step 2, to token" in told
    assert "It is sealed" in told


@pytest.mark.shows("TOKEN-CHAIN-002")
@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        (["--name", "*"], "names that it does not allow"),
        (["--kind", "tcp"], "a kind of endpoint that it does not allow"),
        (["--ttl", "48h"], "time outside of its own"),
        (["--names", "99"], "a limit above its own"),
        (["--name", "a_b"], "--name: 'a_b' is not a name pattern"),
        (["--ttl", "x"], "--ttl: 'x' is not a time to live"),
        (["--streams", "many"], "--streams: 'many' is not a number"),
        (["--out", "/dev/null/t"], "--out: "),
        (["--token-file", "/nonexistent"], "cannot read /nonexistent"),
    ],
)
def test_what_cannot_be_narrowed_is_said(
    flags: list[str], wrong: str, shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, weaker = tmp_path / "whole", tmp_path / "weaker"
    done(shell("token", "mint", "--name", "demo", "--out", str(whole)))
    narrow = ["token", "narrow", "--token-file", str(whole), "--out", str(weaker), *flags]
    assert run(narrow, {}) == ExitCode.USAGE
    assert wrong in capsys.readouterr().err
    assert not weaker.exists()


@pytest.mark.shows("TOKEN-CLI-005")
def test_without_its_database_nothing_is_handed_out(shell: Shell, tmp_path: Path) -> None:
    away = f"sqlite:{tmp_path}/nowhere/control.db"
    out = tmp_path / "t"
    for how in (["--database", away], []):
        environment = {} if how else {"TUNNEL_DATABASE": away}
        code, printed, err = shell("token", "mint", "--name", "demo", "--out", str(out), *how, **environment)
        assert (code, printed) == (ExitCode.NETWORK, "")
        assert "The database cannot be used now" in err
        assert "Try again in" in err
        assert not out.exists()
    for typed in (["account", "list"], ["key", "list"], ["name", "list"], ["token", "list"], ["account", "show", "a"]):
        assert shell(*typed, "--database", away)[0] == ExitCode.NETWORK


@pytest.mark.shows("TOKEN-CLI-003")
@pytest.mark.parametrize("lengths", [(4, 5), (32, 40, 40), (60, 60), (32, 12, 5, 7, 8, 100), (79, 9), (90, 3)])
def test_no_line_of_a_table_is_wider_than_a_terminal(lengths: tuple[int, ...]) -> None:
    rows = [["x" * length for length in lengths], ["y" for _ in lengths]]
    lines = table(["HEAD"] * len(lengths), rows)
    assert len(lines) == 3
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[1].startswith("x" * min(lengths[0], 33))
    if sum(lengths) + 2 * (len(lengths) - 1) <= WIDTH:
        assert "..." not in "".join(lines)
    assert table(["HEAD"], []) == []


@pytest.mark.shows("TOKEN-CLI-003")
def test_what_is_listed_fits_eighty_columns(shell: Shell) -> None:
    name, label = "a" * 63, "a label that somebody wrote at some length, to be on the safe side"
    done(shell("account", "create", "an account with a name that is about as long as names may be"))
    account = ["--account", "an account with a name that is about as long as names may be"]
    done(shell("name", "reserve", name, *account, "--note", label))
    done(shell("token", "mint", "--name", name, "--label", label, *account))
    done(shell("key", "mint", "--label", label, *account))
    done(shell("member", "add", account[1], "x" * 100 + "@example.com"))
    for typed in (
        ["account", "list"],
        ["name", "list"],
        ["token", "list"],
        ["key", "list"],
        ["member", "list", account[1]],
    ):
        assert max(len(line) for line in done(shell(*typed)).splitlines()) <= WIDTH


@pytest.mark.shows("BILL-KEY-001")
def test_plans_are_set_and_an_account_becomes_a_customer(shell: Shell) -> None:
    done(shell("plan", "set", "pro", "--requests-month", "1000", "--bytes-month", "5000"))
    done(shell("plan", "set", "pro", "--requests-month", "2000"))
    plans = json.loads(done(shell("plan", "list", "--output", "json")))["plans"]
    assert {plan["plan"]: (plan["requests_month"], plan["bytes_month"]) for plan in plans} == {
        "free": (0, 0),
        "pro": (2000, 5000),
    }
    assert all(len(line) <= WIDTH for line in done(shell("plan", "list")).splitlines())
    done(shell("account", "create", "ada"))
    assert "no customers" in done(shell("billing", "list"))
    done(shell("billing", "link", "ada", "--customer", "cus_1"))
    assert json.loads(done(shell("billing", "list", "--output", "json")))["customers"][0]["customer"] == "cus_1"
    for wrong in (("--customer", "1"), ("--customer", "cus_1"), ("--email", ANN)):
        code, _, err = shell("billing", "link", "ada", *wrong)
        assert code == ExitCode.USAGE
        assert err.startswith("tunnel: ")
    code, _, err = shell("plan", "set", "pro", "--names", "many")
    assert (code, "--names: 'many' is not a number" in err) == (ExitCode.USAGE, True)
