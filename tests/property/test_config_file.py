"""The config file: what is written is read back, what is wrong is all found and named, and any bytes are survived.

Files are generated as TOML text from the schema itself, so a new limit or key is covered the day it is added.
"""

import dataclasses
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnel.cli.config import (
    AGENT_KEYS,
    CONFIG_BYTES_MAX,
    LIMIT_NAMES,
    SERVER_KEYS,
    AgentTable,
    Config,
    ServerTable,
    load_config,
    read_config,
)
from tunnel.cli.problems import (
    BadValue,
    CannotRead,
    ConfigProblem,
    Contradiction,
    InConfig,
    NotToml,
    OutOfRange,
    UnknownKey,
    WrongType,
    WrongVersion,
    describe,
    describe_config,
)
from tunnel.cli.ranges import NEVER_MORE_THAN, particular_names, range_of
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.drive.address import Address

HERE: Final = Path("/etc/tunnel")
ZONE: Final = "a domain name whose sub-domains are the public names, such as tunnel.example.com"
LISTENER: Final = "HOST:PORT to listen on, such as 127.0.0.1:8080, 0.0.0.0:443 or [::]:443"
PEER: Final = "HOST:PORT of the server's agent listener, such as tunnel.example.com:7443"
DEFAULTS: Final[dict[str, int | float]] = dataclasses.asdict(DEFAULT_LIMITS)


def config_of(text: str) -> Config:
    read = read_config(text.encode(), HERE)
    assert isinstance(read, Success), read
    return value_of(read)


def problems_of(text: str | bytes) -> tuple[ConfigProblem, ...]:
    read = read_config(text.encode() if isinstance(text, str) else text, HERE)
    assert isinstance(read, Failure), read
    return error_of(read)


def limits_text(values: dict[str, int | float]) -> str:
    return "version = 1\n[limits]\n" + "".join(f"{name} = {number!r}\n" for name, number in values.items())


@st.composite
def values_in_range(draw: st.DrawFn) -> dict[str, int | float]:
    """Some limits within their ranges, both ends included, without a contradiction to each other or a default."""
    names = draw(st.lists(st.sampled_from(LIMIT_NAMES), unique=True))
    values: dict[str, int | float] = {}
    for name in names:
        allowed = range_of(name)
        if isinstance(DEFAULTS[name], int):
            values[name] = draw(st.integers(int(allowed.low), int(allowed.high)))
        else:
            values[name] = draw(st.floats(allowed.low, allowed.high))
    # As often as there are pairs: what one takes back may contradict another that was looked at before.
    for smaller, larger in NEVER_MORE_THAN * len(NEVER_MORE_THAN):
        merged = {**DEFAULTS, **values}
        if merged[smaller] > merged[larger]:
            values.pop(smaller, None)
            values.pop(larger, None)
    return values


@pytest.mark.shows("OPS-CONFIG-004")
@given(values_in_range())
@settings(max_examples=150, deadline=None)
def test_limits_within_range_are_read_back(values: dict[str, int | float]) -> None:
    limits = dataclasses.asdict(config_of(limits_text(values)).limits)
    assert limits == {**DEFAULTS, **values}
    assert {name: type(number) for name, number in limits.items()} == {n: type(d) for n, d in DEFAULTS.items()}


@pytest.mark.shows("OPS-CONFIG-004")
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_each_number_out_of_range_is_a_problem_of_its_own(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(LIMIT_NAMES), unique=True, min_size=1))
    values: dict[str, int | float] = {}
    for name in names:
        allowed = range_of(name)
        if isinstance(DEFAULTS[name], int):
            low, high = st.integers(max_value=int(allowed.low) - 1), st.integers(min_value=int(allowed.high) + 1)
            values[name] = data.draw(low | high)
        else:
            values[name] = data.draw(
                st.floats(max_value=allowed.low, exclude_max=True, allow_infinity=False)
                | st.floats(min_value=allowed.high, exclude_min=True, allow_infinity=False)
            )
    found = [problem for problem in problems_of(limits_text(values)) if isinstance(problem, OutOfRange)]
    assert {problem.path for problem in found} == {("limits", name) for name in names}


@pytest.mark.shows("OPS-CONFIG-004")
@pytest.mark.parametrize("name", LIMIT_NAMES)
def test_every_default_is_within_its_range(name: str) -> None:
    assert range_of(name).low <= DEFAULTS[name] <= range_of(name).high


def test_every_particular_range_and_pair_is_of_a_limit_there_is() -> None:
    assert particular_names() <= set(LIMIT_NAMES)
    assert {name for pair in NEVER_MORE_THAN for name in pair} <= set(LIMIT_NAMES)


@pytest.mark.shows("OPS-CONFIG-004")
@pytest.mark.parametrize("value", ["true", '"5"', "[5]", "{a = 5}", "1979-05-27", "nan", "inf", "-inf"])
@pytest.mark.parametrize("name", ["head_bytes_max", "head_seconds_max"])
def test_what_is_no_number_for_a_limit_is_refused(name: str, value: str) -> None:
    (problem,) = problems_of(f"version = 1\n[limits]\n{name} = {value}\n")
    assert isinstance(problem, WrongType | OutOfRange)
    assert problem.path == ("limits", name)


@pytest.mark.shows("OPS-CONFIG-004")
def test_a_count_is_a_whole_number_and_a_time_may_be() -> None:
    assert problems_of("version = 1\n[limits]\nlinks_max = 5.0\n") == (
        WrongType(("limits", "links_max"), "a number", "a whole number"),
    )
    seconds = config_of("version = 1\n[limits]\ngrace_seconds = 5\n").limits.grace_seconds
    assert (seconds, type(seconds)) == (5.0, float)


@pytest.mark.shows("OPS-CONFIG-007")
@pytest.mark.parametrize(("smaller", "larger"), NEVER_MORE_THAN)
def test_limits_that_contradict_each_other_are_refused(smaller: str, larger: str) -> None:
    high, low = range_of(smaller).high, range_of(larger).low
    number = int if isinstance(DEFAULTS[smaller], int) else float
    problems = problems_of(limits_text({smaller: number(high), larger: number(low)}))
    assert Contradiction(("limits", smaller), ("limits", larger), high, low) in problems


@pytest.mark.shows("OPS-CONFIG-006")
def test_a_whole_file() -> None:
    text = """
        version = 1
        [server]
        domain = "Tunnel.Example.com."
        public = "0.0.0.0:443"
        agents = "[::]:4443"
        state = "state"
        cert = "/abs/cert.pem"
        key = "key.pem"
        [agent]
        server = "tunnel.example.com:4443"
        name = "demo"
        token_file = "token"
        ca = "ca.pem"
        local_ca = "local.pem"
        host_header = "rewrite"
        [limits]
        links_max = 10
    """
    assert config_of(text) == Config(
        ServerTable(
            "tunnel.example.com",
            Address("0.0.0.0", 443),  # noqa: S104 - nothing listens here
            Address("::", 4443),
            HERE / "state",
            Path("/abs/cert.pem"),
            HERE / "key.pem",
        ),
        AgentTable(
            Address("tunnel.example.com", 4443), "demo", HERE / "token", HERE / "ca.pem", HERE / "local.pem", "rewrite"
        ),
        dataclasses.replace(DEFAULT_LIMITS, links_max=10),
    )


def test_a_file_that_says_nothing_is_a_config_of_defaults() -> None:
    assert config_of("version = 1") == Config()


@pytest.mark.shows("OPS-CONFIG-001")
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", None),
        ("version = 2", "2"),
        ("version = 0", "0"),
        ("version = true", "a true or false"),
        ("version = 1.0", "a number"),
        ('version = "1"', "a text"),
        (f"version = 0x{'f' * 9000}", "a huge number"),
    ],
)
def test_another_version_is_refused(text: str, seen: str | None) -> None:
    assert problems_of(text) == (WrongVersion(seen),)


@pytest.mark.shows("OPS-CONFIG-002")
@given(
    st.sampled_from(
        [("server", k) for k in SERVER_KEYS] + [("agent", k) for k in AGENT_KEYS] + [("limits", k) for k in LIMIT_NAMES]
    ),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_one_slip_in_a_long_key_is_answered_with_the_key(known: tuple[str, str], data: st.DataObject) -> None:
    """A key of at least six letters with one letter left out or doubled: the nearest is the key that was meant."""
    table, key = known
    at = data.draw(st.integers(0, len(key) - 1))
    slip = data.draw(st.sampled_from([key[:at] + key[at + 1 :], key[: at + 1] + key[at:]]))
    every = {"server": SERVER_KEYS, "agent": AGENT_KEYS, "limits": LIMIT_NAMES}[table]
    if len(key) < 6 or slip in every:  # nothing to be near to, or the slip made another key
        return
    assert problems_of(f"version = 1\n[{table}]\n{slip} = 1\n") == (UnknownKey((table, slip), key),)


@pytest.mark.shows("OPS-CONFIG-002")
def test_what_is_near_nothing_is_still_refused() -> None:
    assert problems_of('version = 1\nzzz = 1\n[sever]\n["a b".c]\n') == (
        UnknownKey(("zzz",), None),
        UnknownKey(("sever",), "server"),
        UnknownKey(("a b",), None),
    )


@pytest.mark.shows("OPS-CONFIG-003")
def test_all_problems_are_found_in_one_reading() -> None:
    text = """
        version = 3
        limits = 5
        [server]
        domain = "127.0.0.1"
        public = "8080"
        key = ""
        cert = 7
        keyy = 1
        [agent]
        server = "x:0"
    """
    assert set(problems_of(text)) == {
        WrongVersion("3"),
        WrongType(("limits",), "a whole number", "a table: [limits]"),
        BadValue(("server", "domain"), "127.0.0.1", ZONE),
        BadValue(("server", "public"), "8080", LISTENER),
        BadValue(("server", "key"), "", "a path"),
        WrongType(("server", "cert"), "a whole number", "a text in quotes"),
        UnknownKey(("server", "keyy"), "key"),
        BadValue(("agent", "server"), "x:0", PEER),
    }


@pytest.mark.shows("OPS-CONFIG-005")
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@example(b"a=" + b"[" * 100_000)
@example(b"a = " + b"9" * 5000)
@example(b"version = 1\n[limits]\nlinks_max = 0x" + b"f" * 5000)
@example(b"version = 1\n[limits]\nhead_seconds_max = 0x" + b"f" * 5000)
@example(b"a = 0000-00-00")
@example(b"\xff")
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_config_or_problems(content: bytes) -> None:
    read = read_config(content, HERE)
    if isinstance(read, Success):
        return
    assert error_of(read)
    for problem in error_of(read):
        told = describe_config(problem)
        assert told.isprintable()
        assert told


TOML_PIECES: Final = [
    "version = 1\n", "[server]\n", "[agent]\n", "[limits]\n", "[[limits]]\n", "domain = ", "public = ", "state = ",
    "links_max = ", '"x"\n', "1\n", "1e400\n", "-1\n", "true\n", "[1, 2]\n", "{a.b = 1}\n", "2026-11-22\n", '"""',
    "'\\u0000'\n", "= \n", "#c\n",
]  # fmt: skip


@pytest.mark.shows("OPS-CONFIG-005")
@given(st.lists(st.sampled_from(TOML_PIECES), max_size=15))
@settings(max_examples=300, deadline=None)
def test_any_order_of_toml_pieces_is_a_config_or_problems(pieces: list[str]) -> None:
    read = read_config("".join(pieces).encode(), HERE)
    assert isinstance(read, Success) or all(describe_config(problem).isprintable() for problem in error_of(read))


def test_a_file_beyond_the_limit_is_not_parsed() -> None:
    assert problems_of(b"#" * (CONFIG_BYTES_MAX + 1)) == (NotToml(f"longer than {CONFIG_BYTES_MAX} bytes"),)


@pytest.mark.shows("OPS-CONFIG-002")
def test_problems_of_a_file_on_disk_carry_its_name(tmp_path: Path) -> None:
    file = tmp_path / "tunnel.toml"
    file.write_text("version = 1\n[limits]\nhead_bytes_mx = 1\n")
    read = load_config(file)
    assert isinstance(read, Failure)
    (problem,) = error_of(read)
    assert problem == InConfig(file, UnknownKey(("limits", "head_bytes_mx"), "head_bytes_max"))
    assert describe(problem) == f"{file}: limits.head_bytes_mx: unknown key; did you mean head_bytes_max?"


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    read = load_config(tmp_path / "none.toml")
    assert isinstance(read, Failure)
    assert error_of(read) == (
        CannotRead(str(tmp_path / "none.toml"), "cannot read the config file: No such file or directory"),
    )


def test_a_file_on_disk_is_read_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "tunnel.toml").write_text('version = 1\n[server]\nstate = "s"\n')
    read = load_config(tmp_path / "tunnel.toml")
    assert isinstance(read, Success)
    assert value_of(read).server.state == tmp_path / "s"
