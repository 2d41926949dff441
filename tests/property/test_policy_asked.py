"""Limits, lists and users as people write them: every form, every fault by its text, nothing secret in a message."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.cli.arguments import read_arguments
from tunnel.cli.commands import HttpCommand, Output
from tunnel.cli.config import POLICY_KEYS, Config, read_config
from tunnel.cli.places import BadText
from tunnel.cli.policies import (
    RatesAsked,
    bandwidth_of,
    blocks_among,
    blocks_of,
    burst_of,
    concurrent_of,
    proxy_version_of,
    rate_of,
    rates_of,
    sign_ins_of,
)
from tunnel.cli.problems import describe, describe_config
from tunnel.cli.settings import agent_settings
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.policy.ip import block_text
from tunnel.core.policy.rules import OPEN_TO_ALL, Rates, ServerPolicy, is_sound
from tunnel.core.policy.sign_in import is_signed_in
from tunnel.core.proxy.header import ProxyVersion

BLOCK_WANTED: Final = "an address or a block of them, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32"
HERE: Final = Path("/etc/tunnel")


def read(*lines: str) -> Config:
    done = read_config("\n".join(("version = 1", *lines)).encode(), HERE)
    assert isinstance(done, Success), error_of(done)
    return value_of(done)


def faults(*lines: str) -> list[str]:
    done = read_config("\n".join(("version = 1", *lines)).encode(), HERE)
    return [] if isinstance(done, Success) else [describe_config(problem) for problem in error_of(done)]


def number(found: Outcome[int, BadText]) -> int | None:
    return value_of(found) if isinstance(found, Success) else None


@pytest.mark.shows("POLICY-ASK-001")
@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("50", 50_000),
        ("50/s", 50_000),
        ("0.5", 500),
        ("2.125", 2125),
        ("30/m", 500),
        ("100/h", 27),
        ("4/h", 1),
        ("1000000", 10**9),
        ("0", None),
        ("3/h", None),
        ("1000001", None),
        ("-1", None),
        ("1e3", None),
        ("50/d", None),
        ("50 /s", None),
        ("", None),
        ("\N{ARABIC-INDIC DIGIT FIVE}", None),
    ],
)
def test_rates_by_example(text: str, thousandths: int | None) -> None:
    assert number(rate_of(text)) == thousandths


@pytest.mark.shows("POLICY-ASK-001")
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5MB", 5_000_000),
        ("5MB/s", 5_000_000),
        ("500kB", 500_000),
        ("1MiB", 1 << 20),
        ("16384", 16_384),
        ("1GiB", 1 << 30),
        ("16383", None),
        ("1kB", None),
        ("5Mb", None),
        ("5mb", None),
        ("5 MB", None),
        ("1.5MB", None),
        ("99999999999999", None),
        ("", None),
    ],
)
def test_sizes_by_example(text: str, size: int | None) -> None:
    assert number(bandwidth_of(text)) == size


@pytest.mark.shows("POLICY-ASK-001")
@given(st.text(max_size=12))
def test_any_text_is_a_sound_quantity_or_refused_with_an_example(text: str) -> None:
    for parse in (rate_of, bandwidth_of, burst_of, concurrent_of):
        found = parse(text)
        if not isinstance(found, Success):
            assert error_of(found).seen == text
            assert error_of(found).wanted
    asked = RatesAsked(*[number(parse(text)) for parse in (rate_of, burst_of, concurrent_of, bandwidth_of)])
    assert is_sound(rates_of(asked))


@pytest.mark.shows("POLICY-ASK-002")
@pytest.mark.parametrize(("rate", "burst"), [("50", 50), ("0.5", 1), ("2.5", 3), ("30/m", 1)])
def test_a_burst_is_that_of_a_second_unless_given(rate: str, burst: int) -> None:
    asked = number(rate_of(rate))
    assert rates_of(RatesAsked(asked)).burst == burst
    assert rates_of(RatesAsked(asked, 7)).burst == 7
    assert rates_of(RatesAsked(None, 7)) == Rates()


@pytest.mark.shows("POLICY-ASK-001")
def test_blocks_and_versions() -> None:
    found = blocks_of("10.0.0.0/8")
    assert isinstance(found, Success)
    assert block_text(value_of(found)) == "10.0.0.0/8"
    beyond = blocks_of("10.0.0.1/8")
    assert isinstance(beyond, Failure)
    assert "bits are set" in error_of(beyond).wanted
    good, bad = blocks_among(("10.0.0.0/8", "everybody", "::/0"))
    assert [block_text(one) for one in good] == ["10.0.0.0/8", "::/0"]
    assert [text for text, _ in bad] == ["everybody"]
    assert proxy_version_of("v2") == Success(ProxyVersion.V2)
    assert isinstance(proxy_version_of("2"), Failure)


@pytest.mark.shows("POLICY-ASK-001")
def test_a_whole_policy_is_read_from_a_file() -> None:
    config = read(
        "[policy]",
        "address_rate = 50",
        'endpoint_rate = "30/m"',
        "endpoint_burst = 5",
        "address_concurrent = 64",
        'address_bandwidth = "5MB"',
        'allow_ip = ["10.0.0.0/8"]',
        'deny_ip = ["10.1.0.0/16", "2001:db8::/32"]',
        "[server]",
        'proxy_from = ["192.0.2.1"]',
        "[agent]",
        "rate = 0.5",
        "concurrent = 3",
        'allow_ip = ["192.0.2.0/24"]',
        'basic_auth_file = "users"',
        'proxy_protocol = "v1"',
    )
    policy = config.policy
    assert (policy.address, policy.endpoint) == (Rates(50_000, 50, 64, 5_000_000), Rates(500, 5))
    assert [block_text(one) for one in (*policy.allow, *policy.deny)] == ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]
    assert [block_text(one) for one in config.server.proxy_from or ()] == ["192.0.2.1/32"]
    agent = config.agent
    assert (agent.rate, agent.concurrent, agent.basic_auth_file) == (500, 3, HERE / "users")
    assert agent.proxy_protocol is ProxyVersion.V1
    assert read().policy == OPEN_TO_ALL == ServerPolicy()


@pytest.mark.shows("POLICY-ASK-001", "POLICY-ASK-002")
def test_every_wrong_key_of_a_policy_is_named() -> None:
    assert faults("[policy]", 'address_rate = "fast"', "endpoint_burst = 5", 'deny_ip = "10.0.0.0/8"', "rate = 5") == [
        "policy.rate: unknown key" + faults("[policy]", "rate = 5")[0].removeprefix("policy.rate: unknown key"),
        "policy.address_rate: 'fast' is not a rate above one an hour, such as 50, 0.5, 30/m or 100/h",
        "policy.endpoint_rate: nothing, where a rate for endpoint_burst belongs",
        "policy.deny_ip: a text, where an array of texts belongs",
    ]
    assert faults("[server]", 'proxy_from = ["10.0.0.0/33", 5]') == [
        "server.proxy_from: an array, where an array of texts belongs"
    ]
    assert faults("[agent]", 'allow_ip = ["10.0.0.0/33"]') == [f"agent.allow_ip: '10.0.0.0/33' is not {BLOCK_WANTED}"]
    assert faults("[policy]", "address_rate = true") == [
        "policy.address_rate: a true or false, where a text in quotes belongs"
    ]
    assert len(POLICY_KEYS) == len(set(POLICY_KEYS)) == 10


# Users.


def users(file: Path, content: bytes, name: str = "demo") -> Outcome[object, str]:
    file.write_bytes(content)
    found = sign_ins_of(file, "--basic-auth-file", name)
    return found if isinstance(found, Success) else Failure(describe(error_of(found)))


@pytest.mark.shows("POLICY-SIGNIN-003", "POLICY-ASK-004")
def test_users_are_read_and_ask_for_the_same_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# people\n\nbert:b:colon\nanna:s3cret\n")
    first, again = sign_ins_of(file, "F", "demo"), sign_ins_of(file, "F", "demo")
    assert isinstance(first, Success)
    assert isinstance(again, Success)
    assert value_of(first) == value_of(again)
    assert len(value_of(first)) == 2
    assert is_signed_in(value_of(first), [b"Basic YW5uYTpzM2NyZXQ="])
    assert not is_signed_in(value_of(first), [b"Basic YW5uYTpndWVzcw=="])
    file.write_text("anna:s3cret\nbert:b:colon\n")
    assert sign_ins_of(file, "F", "demo") == first
    other = sign_ins_of(file, "F", "other")
    assert isinstance(other, Success)
    assert not {one.salt for one in value_of(other)} & {one.salt for one in value_of(first)}


@pytest.mark.bug("B6")
@pytest.mark.shows("POLICY-ASK-003")
@pytest.mark.parametrize(
    "content", [b"annas3cret", b":s3cret", b"anna:", b"anna:s3cret\x07", b"anna:" + b"s3cret" * 60, b"\xffs3cret:x"]
)
def test_a_line_that_is_none_is_not_repeated(tmp_path: Path, content: bytes) -> None:
    refused = users(tmp_path / "users", b"# people\n" + content)
    assert isinstance(refused, Failure)
    assert "s3cret" not in error_of(refused)
    assert "users" in error_of(refused)


def test_a_file_without_users_with_too_many_or_none_at_all_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    for content in (b"", b"# nobody\n", b"".join(b"u%d:p\n" % number for number in range(17)), b"#" * 20_000):
        assert isinstance(users(file, content), Failure)
    assert isinstance(users(file, b"".join(b"u%d:p\n" % number for number in range(16))), Success)
    missing = sign_ins_of(tmp_path / "nowhere", "--basic-auth-file", "demo")
    assert not isinstance(missing, Success)
    assert "cannot read" in describe(error_of(missing))


# The command line.


def command(*arguments: str) -> HttpCommand:
    read = read_arguments(["http", "3000", "--server", "localhost:1", *arguments])
    assert isinstance(read, HttpCommand)
    assert isinstance(read.output, Output)
    return read


def problems(*arguments: str) -> list[str]:
    """What is wrong with these flags."""
    done = agent_settings(command(*arguments), {})
    assert not isinstance(done, Success)
    return [describe(problem) for problem in error_of(done) if "no token" not in describe(problem)]


@pytest.mark.shows("POLICY-ASK-001", "POLICY-ASK-002")
def test_flags_are_judged_together(tmp_path: Path) -> None:
    assert problems("--rate", "fast", "--bandwidth", "1", "--deny-ip", "x", "--proxy-protocol", "v3") == [
        "--rate: 'fast' is not a rate above one an hour, such as 50, 0.5, 30/m or 100/h",
        "--bandwidth: '1' is not bytes a second from 16KiB on, such as 500kB, 5MB or 1MiB",
        "--deny-ip: 'x' is not an address or a block of them, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32",
        "--proxy-protocol: 'v3' is not v1 or v2",
    ]
    assert problems("--burst", "5") == ["--burst needs --rate: the two come together"]
    many = [word for number in range(65) for word in ("--allow-ip", f"10.0.0.{number}")]
    assert problems(*many) == ["--allow-ip and --deny-ip: more than 64 blocks together"]
    missing = str(tmp_path / "nowhere")
    assert problems("--basic-auth-file", missing)[0].startswith("--basic-auth-file: cannot read")
    tls = read_arguments(["http", "https://localhost:3000", "--server", "localhost:1", "--proxy-protocol", "v2"])
    assert isinstance(tls, HttpCommand)
    done = agent_settings(tls, {})
    assert not isinstance(done, Success)
    assert "--proxy-protocol: 'v2' is not of use with an https:// target" in [describe(one) for one in error_of(done)]


@pytest.mark.bug("B6")
@pytest.mark.shows("POLICY-ASK-003")
def test_a_password_on_the_command_line_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--basic-auth", "anna:s3cret"], ["--basic-auth=anna:s3cret"]):
        with pytest.raises(SystemExit) as ended:
            read_arguments(["http", "3000", *arguments])
        assert ended.value.code == 2
        told = capsys.readouterr().err
        assert "s3cret" not in told
        assert "--basic-auth-file" in told
