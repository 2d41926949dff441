"""The config file: TOML with a closed schema. Every problem is found in one reading; a file with any is not used.

    version = 1
    [server]  domain, public, agents, state, cert, key, keylog, tcp_ports, workers
    [agent]   server, name, token_file, ca, local_ca, host_header, keylog,
              links, pool, health_path, health_interval
    [[certificate]]  chain, key; as often as there are certificates
    [policy]  of every address: address_rate, address_burst, address_concurrent, address_bandwidth;
              of every endpoint: the same with endpoint_; of everybody: allow_ip, deny_ip
    [limits]  each name of `core/base/limits.py`

Relative paths are relative to the file, not to where the command was typed.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, final

from tunnel.cli.places import WORKERS_MAX, BadText, domain_of, listener_of, peer_of, ports_of
from tunnel.cli.policies import (
    RatesAsked,
    bandwidth_of,
    blocks_among,
    burst_of,
    concurrent_of,
    proxy_version_of,
    rate_of,
    rates_of,
)
from tunnel.cli.problems import (
    BadValue,
    CannotRead,
    ConfigProblem,
    Contradiction,
    InConfig,
    NotToml,
    OutOfRange,
    Problems,
    TomlPath,
    UnknownKey,
    WrongType,
    WrongVersion,
)
from tunnel.cli.ranges import NEVER_MORE_THAN, range_of
from tunnel.cli.sharing import check_path_of, interval_of
from tunnel.core.base.limits import DEFAULT_LIMITS, MIB, Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.policy.ip import Block
from tunnel.core.policy.rules import OPEN_TO_ALL, Rates, ServerPolicy
from tunnel.core.proxy.header import ProxyVersion
from tunnel.drive.address import Address
from tunnel.server.settings import CertificateFiles, PortRange

CONFIG_VERSION: Final = 1
CONFIG_BYTES_MAX: Final = 1 * MIB
"""A hundred times what the whole schema needs; a larger file is not a config file."""

T = TypeVar("T")
Table: TypeAlias = Mapping[str, object]

_TABLES: Final = ("server", "agent", "certificate", "policy", "limits")
_CERTIFICATE_KEYS: Final = ("chain", "key")
_CERTIFICATES_MAX: Final = 1000
"""One server presents a handful; each costs two TLS contexts."""
NUMBERS: Final = ("rate", "burst", "concurrent", "bandwidth")
"""Ends of keys whose texts may be numbers."""
_LINKS_MAX: Final = 99_999
"""As many as the flag may say; the limit itself is `links_per_agent_max`."""
_NEAR: Final = 0.6
_WRITTEN_MAX: Final = 10**15


@final
@dataclass(frozen=True, slots=True)
class ServerTable:
    """`[server]`; None where the file says nothing."""

    domain: str | None = None
    public: Address | None = None
    agents: Address | None = None
    state: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keylog: Path | None = None
    proxy_from: tuple[Block, ...] | None = None
    tcp_ports: PortRange | None = None
    workers: int | None = None


@final
@dataclass(frozen=True, slots=True)
class AgentTable:
    """`[agent]`; None where the file says nothing. `host_header` is judged when the target is known."""

    server: Address | None = None
    name: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    local_ca: Path | None = None
    host_header: str | None = None
    keylog: Path | None = None
    rate: int | None = None
    burst: int | None = None
    concurrent: int | None = None
    bandwidth: int | None = None
    allow_ip: tuple[Block, ...] | None = None
    deny_ip: tuple[Block, ...] | None = None
    basic_auth_file: Path | None = None
    proxy_protocol: ProxyVersion | None = None
    links: int | None = None
    pool: bool = False
    health_path: str | None = None
    health_interval: float | None = None


@final
@dataclass(frozen=True, slots=True)
class Config:
    """A whole file, every value checked by itself."""

    server: ServerTable = ServerTable()
    agent: AgentTable = AgentTable()
    limits: Limits = DEFAULT_LIMITS
    certificates: tuple[CertificateFiles, ...] = ()
    policy: ServerPolicy = OPEN_TO_ALL


LIMIT_NAMES: Final = tuple(field.name for field in fields(Limits))
SERVER_KEYS: Final = tuple(field.name for field in fields(ServerTable))
AGENT_KEYS: Final = tuple(field.name for field in fields(AgentTable))
POLICY_KEYS: Final = (
    *(f"{what}_{field.name}" for what in ("address", "endpoint") for field in fields(RatesAsked)),
    "allow_ip",
    "deny_ip",
)


def load_config(file: Path) -> Outcome[Config, Problems]:
    """What the file says, or everything that is wrong with it."""
    try:
        with file.open("rb") as opened:
            content = opened.read(CONFIG_BYTES_MAX + 1)
    except OSError as cause:
        return Failure((CannotRead(str(file), f"cannot read the config file: {cause.strerror}"),))
    read = read_config(content, file.parent)
    if isinstance(read, Success):
        return read
    return Failure(tuple(InConfig(file, problem) for problem in error_of(read)))


def read_config(content: bytes, directory: Path) -> Outcome[Config, tuple[ConfigProblem, ...]]:
    """The same for the bytes of a file in `directory`; total: any bytes are a config or a list of problems."""
    parsed = _parse(content)
    if not isinstance(parsed, Success):
        return Failure((error_of(parsed),))
    reading = _Reading(directory)
    config = reading.config(value_of(parsed))
    return Failure(tuple(reading.problems)) if reading.problems else Success(config)


def _parse(content: bytes) -> Outcome[Table, NotToml]:
    if len(content) > CONFIG_BYTES_MAX:
        return Failure(NotToml(f"longer than {CONFIG_BYTES_MAX} bytes"))
    try:
        return Success(tomllib.loads(content.decode("utf-8")))
    except UnicodeDecodeError as cause:
        return Failure(NotToml(f"byte {cause.start} is not UTF-8"))
    except RecursionError:  # tomllib recurses on nested arrays
        return Failure(NotToml("nested too deeply"))
    except ValueError as cause:  # TOMLDecodeError, and the integers and dates that only `int` and `datetime` refuse
        return Failure(NotToml(str(cause).partition("\n")[0]))


@final
class _Reading:
    """One pass over a parsed file; finished when `config` returns, with all problems in `problems`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.problems: Final[list[ConfigProblem]] = []

    def config(self, top: Table) -> Config:
        """The config, with what is wrong left out and noted."""
        self._check_version(top)
        self._check_keys(top, (), ("version", *_TABLES))
        return Config(
            self._server(self._table(top, "server")),
            self._agent(self._table(top, "agent")),
            self._limits(self._table(top, "limits")),
            self._certificates(top),
            self._policy(self._table(top, "policy")),
        )

    def _check_version(self, top: Table) -> None:
        version = top.get("version")
        if version is None:
            self.problems.append(WrongVersion(None))
        elif version != CONFIG_VERSION or type(version) is not int:
            self.problems.append(WrongVersion(_number_text(version) if type(version) is int else _kind_of(version)))

    def _check_keys(self, table: Table, path: TomlPath, known: Iterable[str]) -> None:
        allowed = list(known)
        for key in table:
            if key not in allowed:
                near = get_close_matches(key[:64], allowed, n=1, cutoff=_NEAR)
                self.problems.append(UnknownKey((*path, key), near[0] if near else None))

    def _table(self, top: Table, name: str) -> Table:
        found = top.get(name, {})
        if isinstance(found, dict):
            return found
        self.problems.append(WrongType((name,), _kind_of(found), f"a table: [{name}]"))
        return {}

    def _server(self, table: Table) -> ServerTable:
        self._check_keys(table, ("server",), SERVER_KEYS)
        return ServerTable(
            domain=self._checked(table, ("server", "domain"), domain_of),
            public=self._checked(table, ("server", "public"), listener_of),
            agents=self._checked(table, ("server", "agents"), listener_of),
            state=self._path(table, ("server", "state")),
            cert=self._path(table, ("server", "cert")),
            key=self._path(table, ("server", "key")),
            keylog=self._path(table, ("server", "keylog")),
            proxy_from=self._blocks(table, ("server", "proxy_from")),
            tcp_ports=self._checked(table, ("server", "tcp_ports"), ports_of),
            workers=self._count(table, ("server", "workers"), WORKERS_MAX),
        )

    def _certificates(self, top: Table) -> tuple[CertificateFiles, ...]:
        """Those of which chain and key are there; one may not come without the other."""
        seen = top.get("certificate", [])
        if not isinstance(seen, list) or not all(isinstance(each, dict) for each in seen):
            self.problems.append(WrongType(("certificate",), _kind_of(seen), "[[certificate]] tables"))
            return ()
        if len(seen) > _CERTIFICATES_MAX:
            self.problems.append(OutOfRange(("certificate",), f"{len(seen)} tables", 0, _CERTIFICATES_MAX))
            return ()
        found: list[CertificateFiles] = []
        for number, table in enumerate(seen, start=1):
            path = ("certificate", str(number))
            self._check_keys(table, path, _CERTIFICATE_KEYS)
            chain, key = self._path(table, (*path, "chain")), self._path(table, (*path, "key"))
            for name in _CERTIFICATE_KEYS:
                if name not in table:
                    self.problems.append(WrongType((*path, name), "nothing", "a text in quotes"))
            if chain is not None and key is not None:
                found.append(CertificateFiles(chain, key))
        return tuple(found)

    def _agent(self, table: Table) -> AgentTable:
        self._check_keys(table, ("agent",), AGENT_KEYS)
        return AgentTable(
            server=self._checked(table, ("agent", "server"), peer_of),
            name=self._text(table, ("agent", "name")),
            token_file=self._path(table, ("agent", "token_file")),
            ca=self._path(table, ("agent", "ca")),
            local_ca=self._path(table, ("agent", "local_ca")),
            host_header=self._text(table, ("agent", "host_header")),
            keylog=self._path(table, ("agent", "keylog")),
            rate=self._checked(table, ("agent", "rate"), rate_of),
            burst=self._checked(table, ("agent", "burst"), burst_of),
            concurrent=self._checked(table, ("agent", "concurrent"), concurrent_of),
            bandwidth=self._checked(table, ("agent", "bandwidth"), bandwidth_of),
            allow_ip=self._blocks(table, ("agent", "allow_ip")),
            deny_ip=self._blocks(table, ("agent", "deny_ip")),
            basic_auth_file=self._path(table, ("agent", "basic_auth_file")),
            proxy_protocol=self._checked(table, ("agent", "proxy_protocol"), proxy_version_of),
            links=self._whole(table, ("agent", "links"), 1, _LINKS_MAX),
            pool=self._flag(table, ("agent", "pool")),
            health_path=self._checked(table, ("agent", "health_path"), check_path_of),
            health_interval=self._checked(table, ("agent", "health_interval"), interval_of),
        )

    def _policy(self, table: Table) -> ServerPolicy:
        """What is asked of every address and every endpoint."""
        self._check_keys(table, ("policy",), POLICY_KEYS)
        return ServerPolicy(
            address=self._rates(table, "address"),
            endpoint=self._rates(table, "endpoint"),
            allow=self._blocks(table, ("policy", "allow_ip")) or (),
            deny=self._blocks(table, ("policy", "deny_ip")) or (),
        )

    def _rates(self, table: Table, what: str) -> Rates:
        asked = RatesAsked(
            rate=self._checked(table, ("policy", f"{what}_rate"), rate_of),
            burst=self._checked(table, ("policy", f"{what}_burst"), burst_of),
            concurrent=self._checked(table, ("policy", f"{what}_concurrent"), concurrent_of),
            bandwidth=self._checked(table, ("policy", f"{what}_bandwidth"), bandwidth_of),
        )
        if f"{what}_burst" in table and f"{what}_rate" not in table:
            self.problems.append(WrongType(("policy", f"{what}_rate"), "nothing", f"a rate for {what}_burst"))
        return rates_of(asked)

    def _blocks(self, table: Table, path: TomlPath) -> tuple[Block, ...] | None:
        """The blocks of an array of texts."""
        seen = table.get(path[-1])
        if seen is None:
            return None
        if not isinstance(seen, list) or not all(isinstance(each, str) for each in seen):
            self.problems.append(WrongType(path, _kind_of(seen), "an array of texts"))
            return None
        blocks, wrong = blocks_among(tuple(seen))
        self.problems.extend(BadValue(path, text, bad.wanted) for text, bad in wrong)
        return blocks

    def _limits(self, table: Table) -> Limits:
        self._check_keys(table, ("limits",), LIMIT_NAMES)
        read = {name: self._number(table, name) for name in LIMIT_NAMES if name in table}
        make: Callable[..., Limits] = Limits  # names and types are those of its own fields, checked one by one above
        limits = make(**{name: number for name, number in read.items() if number is not None})
        for smaller, larger in NEVER_MORE_THAN:
            low, high = _limit(limits, smaller), _limit(limits, larger)
            if low > high:
                self.problems.append(Contradiction(("limits", smaller), ("limits", larger), low, high))
        return limits

    def _number(self, table: Table, name: str) -> float | None:
        """The number of a limit, of the type of its default; a whole number will do where any number does."""
        path, seen = ("limits", name), table.get(name)
        whole = isinstance(_limit(DEFAULT_LIMITS, name), int)
        if isinstance(seen, bool) or not isinstance(seen, int if whole else (int, float)):
            self.problems.append(WrongType(path, _kind_of(seen), "a whole number" if whole else "a number"))
            return None
        allowed = range_of(name)
        if not allowed.low <= seen <= allowed.high:  # false for nan, too
            self.problems.append(OutOfRange(path, _number_text(seen), allowed.low, allowed.high))
            return None
        return seen if whole else float(seen)

    def _count(self, table: Table, path: TomlPath, most: int) -> int | None:
        seen = table.get(path[-1])
        if seen is None:
            return None
        if isinstance(seen, bool) or not isinstance(seen, int):
            self.problems.append(WrongType(path, _kind_of(seen), "a whole number"))
            return None
        if not 1 <= seen <= most:
            self.problems.append(OutOfRange(path, _number_text(seen), 1, most))
            return None
        return seen

    def _checked(self, table: Table, path: TomlPath, parse: Callable[[str], Outcome[T, BadText]]) -> T | None:
        text = self._number_or_text(table, path) if path[-1].endswith(NUMBERS) else self._text(table, path)
        if text is None:
            return None
        parsed = parse(text)
        if isinstance(parsed, Success):
            return value_of(parsed)
        self.problems.append(BadValue(path, text, error_of(parsed).wanted))
        return None

    def _whole(self, table: Table, path: TomlPath, low: int, high: int) -> int | None:
        seen = table.get(path[-1])
        if seen is None:
            return None
        if not isinstance(seen, int) or isinstance(seen, bool):
            self.problems.append(WrongType(path, _kind_of(seen), "a whole number"))
            return None
        if not low <= seen <= high:
            self.problems.append(OutOfRange(path, _number_text(seen), low, high))
            return None
        return seen

    def _flag(self, table: Table, path: TomlPath) -> bool:
        seen = table.get(path[-1], False)
        if not isinstance(seen, bool):
            self.problems.append(WrongType(path, _kind_of(seen), "true or false"))
            return False
        return seen

    def _path(self, table: Table, path: TomlPath) -> Path | None:
        text = self._text(table, path)
        if text is None:
            return None
        if text == "" or "\0" in text:
            self.problems.append(BadValue(path, text, "a path"))
            return None
        return self._directory / text

    def _number_or_text(self, table: Table, path: TomlPath) -> str | None:
        """A quantity as it would be typed: 50 without quotes is as good as "50/s"."""
        seen = table.get(path[-1])
        return _number_text(seen) if type(seen) is int or type(seen) is float else self._text(table, path)

    def _text(self, table: Table, path: TomlPath) -> str | None:
        seen = table.get(path[-1])
        if seen is None or isinstance(seen, str):
            return seen
        self.problems.append(WrongType(path, _kind_of(seen), "a text in quotes"))
        return None


def _limit(limits: Limits, name: str) -> float:
    value: float = getattr(limits, name)
    return value


def _number_text(number: float) -> str:
    """The number in digits, unless nobody could read them and Python would refuse to write them."""
    return "a huge number" if isinstance(number, int) and abs(number) > _WRITTEN_MAX else f"{number:.15g}"


def _kind_of(seen: object) -> str:
    """What TOML calls such a value."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (list, "an array"),
        (dict, "a table"),
    )
    return next((name for kind, name in kinds if isinstance(seen, kind)), "a date or time")
