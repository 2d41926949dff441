"""What the command line says and how it exits when it is used wrongly, and what flags, environment and file add up to.

`run` is called in this process, with an environment of its own; argparse ends it as it would end the program.
"""

import io
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tunnel.agent.settings import AgentSettings, LocalService
from tunnel.api.settings import DEFAULT_API
from tunnel.cli import main
from tunnel.cli.arguments import read_arguments
from tunnel.cli.commands import HttpCommand, ServerCommand
from tunnel.cli.config import read_config
from tunnel.cli.exits import ExitCode
from tunnel.cli.main import run
from tunnel.cli.problems import describe
from tunnel.cli.settings import CONTROL_PROGRAM, agent_settings, output_of_agent, output_of_server, server_settings
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.control.minting import SKEW_SECONDS
from tunnel.core.link.messages import Authority, Keep, Rewrite, Value
from tunnel.core.mux import session
from tunnel.core.policy.ip import block_text
from tunnel.core.token.codec import decode_token, token_raw
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address
from tunnel.server.settings import CertificateFiles, ControlChoice, PortRange, ServerSettings

NOBODY: Final[Mapping[str, str]] = {}
SERVER_ARGUMENTS: Final = (
    *("server", "--domain", "example.com", "--public", "127.0.0.1:80"),
    *("--agents", "127.0.0.1:81", "--state", "s"),
)


@pytest.fixture
def token_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file with a fresh token; what minting said is discarded."""
    file = tmp_path / "token"
    assert run(["token", "mint", "--state", str(tmp_path / "s"), "--name", "demo", "--out", str(file)], NOBODY) == 0
    capsys.readouterr()
    return file


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        run(arguments, NOBODY)
    assert isinstance(end.value.code, int)
    return end.value.code


def http_settings(arguments: list[str], environment: Mapping[str, str] = NOBODY) -> AgentSettings:
    command = read_arguments(["http", *arguments])
    assert isinstance(command, HttpCommand)
    read = agent_settings(command, environment)
    assert isinstance(read, Success), read
    return value_of(read)


def server_command(arguments: list[str]) -> ServerCommand:
    command = read_arguments(["server", *arguments])
    assert isinstance(command, ServerCommand)
    return command


def server_of(arguments: list[str]) -> ServerSettings:
    read = server_settings(server_command(arguments))
    assert isinstance(read, Success), read
    return value_of(read)


def raw_token(file: Path) -> bytes:
    raw = token_raw(file.read_text().strip())
    assert isinstance(raw, Success)
    return value_of(raw)


@pytest.mark.shows("OPS-CLI-001", "OPS-BUILD-002")
def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"], NOBODY) == ExitCode.OK
    which = "interpreted" if Path(session.__file__).suffix == ".py" else "compiled"
    assert capsys.readouterr().out == f"tunnel 0.1.0 (core {which})\n"


@pytest.mark.shows("OPS-CLI-001", "OPS-CLI-002")
@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("demo", "--local --public"),
        ("server", "--domain --public --agents --state --cert --key --keylog --api --database --config --output"),
        ("http", "TARGET --name --subdomain --server --token-file --ca --host-header --keylog --output"),
        ("control", "--state --api --database --config --output"),
        ("http", "--links --pool --health-path --health-interval"),
        ("token mint", "--state --database --name --ttl --account --kind --label --sealed --out --output"),
        ("token narrow", "--token-file --out --name --kind --ttl --starts-in --names --streams --sessions --sealed"),
        ("token revoke", "--state --database --token-file"),
        ("account create", "--state --database --ttl-default --ttl-max --plan --output"),
        ("member add", "ACCOUNT IDENTITY --role"),
        ("key mint", "--account --role --scope --label --ttl --out"),
        ("name reserve", "NAME --account --note"),
        ("token explain", "[F]"),
        ("config check", "FILE"),
        ("version", ""),
        ("who-holds", "NAME --state --database --output"),
        ("sessions", "--kick --drain --reason --state --output"),
        ("plan set", "--names --endpoints --requests-month --bytes-month --requests-second"),
        ("billing link", "--state --database"),
        ("migrate", "--state --database --check"),
        ("audit export", "--from --to --out"),
        ("audit verify", "FILE"),
        ("", "demo server control reload service http tcp tls token account member key name plan billing"),
        ("", "who-holds sessions migrate audit config version"),
    ],
)
def test_help_names_every_flag_and_exit_code(
    command: str, flags: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert ended([*command.split(), "--help"]) == 0
    told = capsys.readouterr().out
    assert [line for line in told.splitlines() if len(line) > 80] == []
    for flag in flags.split():
        assert flag in told
    for code in ExitCode:
        assert f"\n  {code.value:<4} " in told


@pytest.mark.shows("OBS-LOG-001", "OPS-CLI-004")
def test_how_a_log_is_written_is_told_by_flag_over_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('version = 1\n[server]\nlog_format = "json"\n[agent]\nlog_format = "console"\n')
    file = ["--config", str(tmp_path / "c.toml")]
    server, agent = server_command(file), read_arguments(["http", "3000", *file])
    assert isinstance(agent, HttpCommand)
    assert (output_of_server(server).log_format, output_of_agent(agent).log_format) == ("json", "console")
    assert output_of_server(server_command([*file, "--log-format", "console"])).log_format == "console"
    assert output_of_server(server_command([])).log_format is None
    (tmp_path / "c.toml").write_text('version = 1\n[server]\nlog_format = "xml"\n')
    wrong = server_settings(server_command([*SERVER_ARGUMENTS[1:], *file]), {})
    assert isinstance(wrong, Failure)
    assert "`json` or `console`" in "; ".join(describe(each) for each in error_of(wrong))


@pytest.mark.shows("OPS-CLI-002")
@pytest.mark.parametrize(
    "arguments",
    ["", "nonsense", "http", "http 3000 --nonsense", "token", "config", "token mint", "server --output xml"],
)
def test_misuse_ends_with_2_and_a_pointer_to_help(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(arguments.split()) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert "--help`" in told.err


@pytest.mark.shows("OPS-CLI-003")
@pytest.mark.bug("B6")
@pytest.mark.parametrize("typed", [["--token", "tnl2_secret"], ["--token=tnl2_secret"], ["--token"]])
def test_a_token_on_the_command_line_is_refused(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["http", "3000", *typed]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "--token-file" in told
    assert "TUNNEL_TOKEN" in told
    assert "secret" not in told


@pytest.mark.shows("OPS-CLI-003")
def test_no_flag_may_be_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["http", "3000", "--token-f", "x"]) == ExitCode.USAGE
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.shows("OPS-CLI-005")
def test_everything_that_is_missing_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["server"], NOBODY) == ExitCode.USAGE
    assert capsys.readouterr().err.splitlines() == [
        "tunnel: no domain: give --domain or a config file with --config",
        "tunnel: no public address: give --public or a config file with --config",
        "tunnel: no agents' address: give --agents or a config file with --config",
        "tunnel: no state directory: give --state or a config file with --config",
    ]
    assert run(["http", "3000"], NOBODY) == ExitCode.USAGE
    token_ways = "--token-file F (- for standard input), TUNNEL_TOKEN_FILE, TUNNEL_TOKEN or a config file with --config"
    assert capsys.readouterr().err.splitlines() == [
        "tunnel: no server: give --server, TUNNEL_SERVER or a config file with --config",
        f"tunnel: no token: give {token_ways}",
    ]


@pytest.mark.shows("OPS-CLI-005", "OPS-CLI-011")
def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("version = 1\n[limits]\nlinks_mx = 1\n")
    arguments = [
        "http",
        "http://x/y",
        "--name=-a",
        "--server",
        "x",
        "--ca",
        "",
        "--config",
        str(tmp_path / "c.toml"),
    ]
    assert run([*arguments, "--token-file", str(tmp_path / "none")], NOBODY) == ExitCode.USAGE
    told = capsys.readouterr().err
    for line in (
        f"tunnel: {tmp_path}/c.toml: limits.links_mx: unknown key; did you mean links_max?",
        "tunnel: TARGET: 'http://x/y' is not a local service: 3000, host:3000, http://host:3000 or https://host:3000",
        "tunnel: --server: 'x' is not HOST:PORT of the server's agent listener, such as tunnel.example.com:7443",
        "tunnel: --name: '-a' is not a name: it begins or ends with a hyphen",
        "tunnel: --ca: '' is not a path",
        f"tunnel: --token-file: cannot read {tmp_path}/none: No such file or directory",
    ):
        assert line in told.splitlines()


@pytest.mark.parametrize(("given", "other"), [("--cert", "--key"), ("--key", "--cert")])
def test_a_certificate_and_its_key_come_together(given: str, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SERVER_ARGUMENTS, given, "f.pem"], NOBODY) == ExitCode.USAGE
    assert capsys.readouterr().err == f"tunnel: {given} needs {other}: the two come together\n"


def test_a_demo_is_told_what_it_cannot_expose(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--local", "nope", "--public", "8080"], NOBODY) == ExitCode.USAGE
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in told] == ["--local", "--public"]


@pytest.mark.shows("OPS-CLI-004")
def test_flags_win_over_environment_over_file(tmp_path: Path, token_file: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'version = 1\n[agent]\nserver = "file:1"\nname = "from-file"\nca = "ca.pem"\nhost_header = "rewrite"\n'
        f'token_file = "{token_file}"\n[limits]\nlinks_max = 7\n'
    )
    config = ["--config", str(tmp_path / "c.toml")]
    environment = {"TUNNEL_SERVER": "environment:2"}
    file_only = http_settings(["3000", *config])
    assert file_only == AgentSettings(
        server=Address("file", 1),
        local=LocalService(Address("localhost", 3000)),
        name="from-file",
        token=raw_token(token_file),
        host_header=Rewrite(Authority("localhost:3000")),
        ca=tmp_path / "ca.pem",
        limits=file_only.limits,
    )
    assert file_only.limits.links_max == 7
    assert http_settings(["3000", *config], environment).server == Address("environment", 2)
    typed = ["--server", "flag:3", "--name", "typed", "--ca", "other.pem", "--host-header", "keep"]
    flags = http_settings(["3000", *config, *typed], environment)
    assert (flags.server, flags.name, flags.ca) == (Address("flag", 3), "typed", Path("other.pem"))
    assert flags.host_header == Keep()


@pytest.mark.shows("OPS-CLI-004")
def test_a_server_is_told_by_flags_over_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'version = 1\n[server]\ndomain = "file.example"\npublic = "127.0.0.1:1"\nagents = "127.0.0.1:2"\nstate = "s"\n'
    )
    config = ["--config", str(tmp_path / "c.toml")]
    control = ControlChoice(DEFAULT_API, "", CONTROL_PROGRAM)
    assert server_of(config) == ServerSettings(
        "file.example", Address("127.0.0.1", 1), Address("127.0.0.1", 2), tmp_path / "s", control=control
    )
    assert server_of([*config, "--domain", "flag.example", "--cert", "c", "--key", "k"]) == ServerSettings(
        "flag.example",
        Address("127.0.0.1", 1),
        Address("127.0.0.1", 2),
        tmp_path / "s",
        (CertificateFiles(Path("c"), Path("k")),),
        control=control,
    )


@pytest.mark.shows("API-PROC-003")
def test_where_the_api_answers_and_on_which_database(tmp_path: Path) -> None:
    """Flags over environment over file; `none` is none; a password in a flag is refused and not repeated."""
    arguments = list(SERVER_ARGUMENTS[1:])
    (tmp_path / "c.toml").write_text('version = 1\n[server]\napi = "[::1]:1"\ndatabase = "postgresql://u:p@h/d"\n')
    filed = [*arguments, "--config", str(tmp_path / "c.toml")]
    assert server_of(filed).control == ControlChoice(Address("::1", 1), "postgresql://u:p@h/d", CONTROL_PROGRAM)
    typed = server_of([*filed, "--api", "[::1]:9", "--database", "sqlite:x.db"]).control
    assert typed == ControlChoice(Address("::1", 9), "sqlite:x.db", CONTROL_PROGRAM)
    assert server_of([*filed, "--api", "none"]).control is None
    believing = server_of([*filed, "--api-trust-proxy", "10.0.0.0/8", "--api-trust-proxy", "::1"]).control
    assert believing is not None
    assert [block_text(each) for each in believing.proxies] == ["10.0.0.0/8", "::1/128"]
    in_environment = server_settings(server_command(filed), {"TUNNEL_DATABASE": "postgresql://e/d"})
    assert isinstance(in_environment, Success)
    assert value_of(in_environment).control == ControlChoice(Address("::1", 1), "postgresql://e/d", CONTROL_PROGRAM)
    for flags, seen in (
        (["--api", "7480"], "--api"),
        (["--api-trust-proxy", "10.0.0.0/33"], "--api-trust-proxy"),
        (["--database", "postgresql://u:hidden@h/d"], "--database"),
        (["--database", "postgres://h/d?sslmode=no&password=hidden"], "--database"),
        (["--database", "mysql://hidden"], "--database"),
    ):
        refused = server_settings(server_command([*arguments, *flags]))
        assert isinstance(refused, Failure)
        told = "\n".join(describe(each) for each in error_of(refused))
        assert told.startswith(f"{seen}: ")
        assert "hidden" not in told


@pytest.mark.shows("OPS-CLI-012")
def test_subdomain_means_name(token_file: Path) -> None:
    arguments = ["3000", "--server", "h:1", "--token-file", str(token_file)]
    assert http_settings([*arguments, "--subdomain", "Demo"]).name == "demo"
    assert http_settings([*arguments, "--name", "Demo"]).name == "demo"
    assert http_settings(arguments).name == ""


@pytest.mark.shows("OPS-CLI-016")
def test_the_host_header_is_kept_unless_asked(token_file: Path) -> None:
    arguments = ["http://app:80", "--server", "h:1", "--token-file", str(token_file)]
    assert http_settings(arguments).host_header == Keep()
    assert http_settings([*arguments, "--host-header", "rewrite"]).host_header == Rewrite(Authority("app"))
    assert http_settings([*arguments, "--host-header", "x.test"]).host_header == Value(Authority("x.test"))


def test_a_host_header_that_would_inject_is_refused(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["http", "3000", "--server", "h:1", "--token-file", str(token_file), "--host-header", "a\r\nX: 1"]
    assert run(arguments, NOBODY) == ExitCode.USAGE
    assert r"--host-header: 'a\r\nX: 1' is not" in capsys.readouterr().err


def test_an_authority_for_the_local_service_needs_https(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--server", "h:1", "--token-file", str(token_file), "--local-ca", "ca.pem"]
    assert http_settings(["https://app", *arguments]).local == LocalService(
        Address("app", 443), tls=True, ca=Path("ca.pem")
    )
    assert run(["http", "3000", *arguments], NOBODY) == ExitCode.USAGE
    assert "https://" in capsys.readouterr().err


@pytest.mark.shows("OPS-CLI-013")
def test_a_token_comes_from_file_standard_input_or_environment(
    tmp_path: Path, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, text = raw_token(token_file), token_file.read_text()
    arguments = ["3000", "--server", "h:1"]
    other = tmp_path / "other"
    other.write_text("not a token")
    assert http_settings([*arguments, "--token-file", str(token_file)], {"TUNNEL_TOKEN_FILE": str(other)}).token == raw
    assert http_settings(arguments, {"TUNNEL_TOKEN_FILE": str(token_file)}).token == raw
    assert http_settings(arguments, {"TUNNEL_TOKEN": f"  {text}", "TUNNEL_TOKEN_FILE": ""}).token == raw
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert http_settings([*arguments, "--token-file", "-"]).token == raw


@pytest.mark.shows("OPS-CLI-004", "OPS-CLI-013")
def test_the_environment_s_token_wins_over_the_file_s(tmp_path: Path, token_file: Path) -> None:
    (tmp_path / "c.toml").write_text('version = 1\n[agent]\ntoken_file = "none"\n')
    arguments = ["3000", "--server", "h:1", "--config", str(tmp_path / "c.toml")]
    raw = raw_token(token_file)
    assert http_settings(arguments, {"TUNNEL_TOKEN_FILE": str(token_file)}).token == raw
    assert http_settings(arguments, {"TUNNEL_TOKEN": token_file.read_text()}).token == raw
    assert http_settings([*arguments, "--token-file", str(token_file)]).token == raw


@pytest.mark.shows("OPS-CLI-013")
def test_two_tokens_in_the_environment_are_one_too_many(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = {"TUNNEL_TOKEN": token_file.read_text(), "TUNNEL_TOKEN_FILE": str(token_file)}
    assert run(["http", "3000", "--server", "h:1"], both) == ExitCode.USAGE
    assert "both TUNNEL_TOKEN_FILE and TUNNEL_TOKEN are set" in capsys.readouterr().err


@pytest.mark.shows("OPS-CLI-013", "OPS-CLI-003")
@pytest.mark.parametrize("change", ["", "x", "tnl2_", "cut", "doubled", "huge"])
def test_a_text_that_is_no_token_is_refused_without_repeating_it(
    change: str, token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = token_file.read_text().strip()
    shown = {"cut": text[:-9], "doubled": text * 2, "huge": text * 100}.get(change, change)
    token_file.write_text(shown)
    assert run(["http", "3000", "--server", "h:1", "--token-file", str(token_file)], NOBODY) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert str(token_file) in told
    assert text[5:40] not in told


@pytest.mark.shows("OPS-CLI-014")
def test_mint_prints_the_token_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = str(tmp_path / "s")
    assert run(["token", "mint", "--state", state, "--name", "demo-*"], NOBODY) == ExitCode.OK
    first = capsys.readouterr()
    assert isinstance(token_raw(first.out.removesuffix("\n")), Success)
    assert f"made a new token signing key in {state}" in first.err
    assert "any name that begins with `demo-`" in first.err
    assert run(["token", "mint", "--state", state, "--name", "demo-*"], NOBODY) == ExitCode.OK
    second = capsys.readouterr()
    assert second.out != first.out
    assert "made a new" not in second.err


@pytest.mark.shows("OPS-CLI-014")
def test_mint_writes_a_file_that_only_its_owner_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t"
    out.write_text("an older one")
    out.chmod(0o644)
    arguments = ["token", "mint", "--state", str(tmp_path / "s"), "--name", "demo", "--out", str(out)]
    assert run(arguments, NOBODY) == ExitCode.OK
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert isinstance(token_raw(out.read_text().removesuffix("\n")), Success)
    assert capsys.readouterr().out == ""
    assert run([*arguments[:-1], str(tmp_path / "no" / "t")], NOBODY) == ExitCode.USAGE
    assert "No such file or directory" in capsys.readouterr().err


@pytest.mark.shows("OPS-CLI-014")
def test_a_secret_takes_the_place_of_no_device_and_no_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe, named = tmp_path / "pipe", tmp_path / "named"
    os.mkfifo(pipe)
    named.symlink_to(pipe)
    for out in (pipe, named, tmp_path):
        arguments = ["token", "mint", "--state", str(tmp_path / "s"), "--name", "demo", "--out", str(out)]
        assert run(arguments, NOBODY) == ExitCode.USAGE
        assert f"{out} is there and is no plain file" in capsys.readouterr().err
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert named.is_symlink()


@pytest.mark.shows("OPS-CLI-014")
@pytest.mark.parametrize(
    ("ttl", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604_800), ("3650d", 315_360_000)]
)
def test_a_time_to_live_is_what_the_token_holds(ttl: str, seconds: int, tmp_path: Path) -> None:
    out = tmp_path / "t"
    run(["token", "mint", "--state", str(tmp_path / "s"), "--name", "demo", "--ttl", ttl, "--out", str(out)], NOBODY)
    token = decode_token(raw_token(out))
    assert isinstance(token, Success)
    assert value_of(token).expiry - value_of(token).not_before == seconds + SKEW_SECONDS


@pytest.mark.shows("OPS-CLI-015")
def test_explain_says_what_a_token_allows(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "explain", str(token_file)], NOBODY) == ExitCode.OK
    told = capsys.readouterr().out
    assert "Allows HTTP endpoints under the name `demo`." in told
    assert "The signature was not checked" in told


@pytest.mark.parametrize("ttl", ["", "0s", "-1h", "1", "h", "1.5h", "1w", "1H", "٣h", "3651d", "999999999d", "1h1m"])
def test_what_is_no_time_to_live_is_refused(ttl: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["token", "mint", "--state", str(tmp_path / "s"), "--name", "a_b", f"--ttl={ttl}"]
    assert run(arguments, NOBODY) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "--ttl: " in told
    assert "--name: 'a_b' is not a name pattern" in told
    assert not (tmp_path / "s").exists()


def test_a_state_directory_that_is_too_open_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)
    assert run(["token", "mint", "--state", str(tmp_path / "s"), "--name", "demo"], NOBODY) == ExitCode.USAGE
    assert "chmod 700" in capsys.readouterr().err


def test_tokens_of_one_account_share_it_and_of_two_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = []
    for account in ("ann", "bob"):
        assert run(["account", "create", account, "--state", str(tmp_path / "s")], NOBODY) == ExitCode.OK
    for account in ("ann", "ann", "bob"):
        run(["token", "mint", "--state", str(tmp_path / "s"), "--name", "demo", "--account", account], NOBODY)
        accounts.append(capsys.readouterr().err.partition("of account ")[2].partition(",")[0])
    assert accounts[0] == accounts[1] != accounts[2]


@pytest.mark.shows("OPS-CLI-015")
def test_explain_reads_standard_input(
    token_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(token_file.read_bytes())))
    assert run(["token", "explain"], NOBODY) == ExitCode.OK
    assert "the name `demo`" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    assert run(["token", "explain", "-"], NOBODY) == ExitCode.USAGE
    assert "standard input" in capsys.readouterr().err


def test_explain_says_when_the_bytes_cannot_be_a_token(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token_file.write_text("tnl2_" + "A" * 1068)
    assert run(["token", "explain", str(token_file)], NOBODY) == ExitCode.USAGE
    assert str(token_file) in capsys.readouterr().err


@pytest.mark.shows("OPS-CONFIG-002", "OPS-CONFIG-003")
def test_config_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tunnel.toml"
    file.write_text("version = 1\n")
    assert run(["config", "check", str(file)], NOBODY) == ExitCode.OK
    assert capsys.readouterr().out == f"{file}: ok\n"
    file.write_text('version = 1\n[server]\ndomian = "x"\n[limits]\nlinks_max = 0\n')
    assert run(["config", "check", str(file)], NOBODY) == ExitCode.USAGE
    assert capsys.readouterr().err.splitlines() == [
        f"tunnel: {file}: server.domian: unknown key; did you mean domain?",
        f"tunnel: {file}: limits.links_max: 0 is outside 1 to 1000000",
    ]
    file.write_text("version = \n")
    assert run(["config", "check", str(file)], NOBODY) == ExitCode.USAGE
    assert f"{file}: not a TOML file: Invalid value (at line 1, column 11)" in capsys.readouterr().err


@pytest.mark.shows("OPS-CLI-002")
def test_a_defect_of_ours_is_exit_6_with_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_file: Path) -> None:
        message = "planted"
        raise LookupError(message)

    monkeypatch.setattr(main, "load_config", broken)
    assert run(["config", "check", "x"], NOBODY) == ExitCode.INTERNAL
    told = capsys.readouterr().err
    assert "please report" in told
    assert "LookupError: planted" in told


@pytest.mark.shows("OPS-CLI-002")
def test_what_only_the_last_guard_caught_is_exit_6(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself went well; a session was ended by the guard meanwhile, and that is not kept quiet."""
    totals = iter((3, 4))
    monkeypatch.setattr(main, "handler_escapes_total", lambda: next(totals))
    monkeypatch.setattr(main, "escape_stories", lambda: ("somewhere: planted",))
    assert run(["version"], NOBODY) == ExitCode.INTERNAL
    assert "somewhere: planted" in capsys.readouterr().err


@pytest.mark.shows("OPS-CLI-009")
def test_an_interrupt_outside_the_event_loop_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_file: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "load_config", interrupted)
    assert run(["config", "check", "x"], NOBODY) == ExitCode.CUT_OFF
    assert capsys.readouterr().err == ""


def test_settings_are_refused_as_values(tmp_path: Path) -> None:
    command = read_arguments(["http", "3000", "--server", "h:1", "--token-file", str(tmp_path)])
    assert isinstance(command, HttpCommand)
    read = agent_settings(command, os.environ)
    assert isinstance(read, Failure)
    assert len(error_of(read)) == 1


@pytest.mark.shows("OPS-CLI-001", "OPS-CLI-011")
def test_raw_endpoints_take_a_place_and_a_port(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--server", "h:1", "--token-file", str(token_file)]
    read = agent_settings(_http_command(["tcp", "db:5432", "--port", "20001", *where]), NOBODY)
    assert isinstance(read, Success)
    asked = value_of(read)
    assert (asked.kind, asked.port, asked.local.address) == (EndpointKind.TCP, 20001, Address("db", 5432))
    read = agent_settings(_http_command(["tls", "8443", "--name", "Shop", *where]), NOBODY)
    assert isinstance(read, Success)
    assert (value_of(read).kind, value_of(read).name) == (EndpointKind.TLS, "shop")
    for wrong in (["https://x:1"], ["x"], ["1", "--port", "0"], ["1", "--port", "65536"], ["1", "--port", "+5"]):
        assert run(["tcp", *wrong, *where], NOBODY) == ExitCode.USAGE
    assert "a raw endpoint has no scheme" in capsys.readouterr().err


@pytest.mark.shows("OPS-CLI-001")
def test_ports_to_give_out_are_a_range(tmp_path: Path) -> None:
    places = ["--domain", "d.example", "--public", "127.0.0.1:1", "--agents", "127.0.0.1:2", "--state", str(tmp_path)]
    assert server_of([*places, "--tcp-ports", "20000-20099"]).tcp_ports == PortRange(20_000, 20_099)
    assert server_of(places).tcp_ports is None
    for wrong in ("20099-20000", "0-10", "20000", "20000-70000", "a-b"):
        assert run(["server", *places, "--tcp-ports", wrong], NOBODY) == ExitCode.USAGE


@pytest.mark.shows("OPS-CLI-014")
def test_a_token_is_minted_for_the_kinds_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["token", "mint", "--state", str(tmp_path / "s"), "--name", "*"]
    assert run(base, NOBODY) == ExitCode.OK
    assert "Allows HTTP endpoints" in capsys.readouterr().err
    assert run([*base, "--kind", "tcp", "--kind", "tls"], NOBODY) == ExitCode.OK
    assert "Allows TCP, TLS endpoints" in capsys.readouterr().err


def _http_command(arguments: list[str]) -> HttpCommand:
    command = read_arguments(arguments)
    assert isinstance(command, HttpCommand)
    return command


@pytest.mark.shows("OPS-CONFIG-003", "TLS-CERT-001")
def test_certificates_of_a_file_are_read_in_order_and_their_faults_together(tmp_path: Path) -> None:
    good = b'version = 1\n[[certificate]]\nchain = "a"\nkey = "b"\n[[certificate]]\nchain = "c"\nkey = "d"\n'
    read = read_config(good, tmp_path)
    assert isinstance(read, Success)
    a, b, c, d = (tmp_path / name for name in "abcd")
    assert value_of(read).certificates == (CertificateFiles(a, b), CertificateFiles(c, d))
    for bad, problems in (
        (b"version = 1\ncertificate = 3\n", 1),
        (b'version = 1\n[[certificate]]\nchain = "a"\nkeys = "b"\n', 2),
        (b"version = 1\n" + b"[[certificate]]\n" * 1001, 1),
    ):
        refused = read_config(bad, tmp_path)
        assert not isinstance(refused, Success)
        assert len(error_of(refused)) == problems


@pytest.mark.shows("OPS-REDIRECT-001")
def test_a_redirect_to_https_needs_a_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--domain", "x.test", "--public", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--state", str(tmp_path)]
    assert run(["server", *places, "--redirect-http"], NOBODY) == ExitCode.USAGE
    assert "--redirect-http needs --cert and --key" in capsys.readouterr().err
    own = ["--cert", str(tmp_path / "c.pem"), "--key", str(tmp_path / "k.pem")]
    assert server_of([*places, *own, "--redirect-http"]).redirects_http
    assert not server_of([*places, *own]).redirects_http
