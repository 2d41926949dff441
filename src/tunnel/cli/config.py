"""The config file: TOML with a closed schema. Every problem is found in one reading; a file with any is not used.

    version = 1
    [server]  domain, public, agents, state, cert, key, keylog, tcp_ports, workers,
              redirect_http, api, database
    [agent]   server, name, token_file, ca, local_ca, host_header, keylog,
              links, pool, health_path, health_interval, ttl
    [[certificate]]  chain, key; as often as there are certificates
    [policy]  of every address: address_rate, address_burst, address_concurrent, address_bandwidth;
              of every endpoint: the same with endpoint_; of everybody: allow_ip, deny_ip
    [limits]  each name of `core/base/limits.py`

Relative paths are relative to the file, not to where the command was typed.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, final

from tunnel.cli.config_values import Table, Values, kind_of, limit_of, number_text
from tunnel.cli.places import (
    WORKERS_MAX,
    ApiPlace,
    api_of,
    database_of,
    domain_of,
    listener_of,
    log_format_of,
    peer_of,
    ports_of,
)
from tunnel.cli.policies import (
    RatesAsked,
    bandwidth_of,
    burst_of,
    concurrent_of,
    proxy_version_of,
    rate_of,
    rates_of,
)
from tunnel.cli.problems import (
    CannotRead,
    ConfigProblem,
    Contradiction,
    InConfig,
    NotToml,
    OutOfRange,
    Problems,
    WrongType,
    WrongVersion,
)
from tunnel.cli.ranges import NEVER_MORE_THAN
from tunnel.cli.sharing import check_path_of, exposure_of, interval_of
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

_TABLES: Final = ("server", "agent", "certificate", "policy", "limits")
_CERTIFICATE_KEYS: Final = ("chain", "key")
_CERTIFICATES_MAX: Final = 1000
"""One server presents a handful; each costs two TLS contexts."""
_LINKS_MAX: Final = 99_999
"""As many as the flag may say; the limit itself is `links_per_agent_max`."""


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
    redirect_http: bool = False
    proxy_from: tuple[Block, ...] | None = None
    tcp_ports: PortRange | None = None
    workers: int | None = None
    api: ApiPlace | None = None
    database: str | None = field(default=None, repr=False)
    api_proxy_from: tuple[Block, ...] | None = None
    log_format: str | None = None


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
    ttl: int | None = None
    log_format: str | None = None


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
    values = Values(directory)
    config = _Reading(values).config(value_of(parsed))
    return Failure(tuple(values.problems)) if values.problems else Success(config)


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
    """One pass over a parsed file; finished when `config` returns."""

    def __init__(self, values: Values) -> None:
        self._values: Final = values

    def config(self, top: Table) -> Config:
        """The config, with what is wrong left out; it is in the problems of the values."""
        self._check_version(top)
        self._values.check_keys(top, (), ("version", *_TABLES))
        return Config(
            self._server(self._values.table(top, "server")),
            self._agent(self._values.table(top, "agent")),
            self._limits(self._values.table(top, "limits")),
            self._certificates(top),
            self._policy(self._values.table(top, "policy")),
        )

    def _check_version(self, top: Table) -> None:
        version = top.get("version")
        if version is None:
            self._values.problems.append(WrongVersion(None))
        elif version != CONFIG_VERSION or type(version) is not int:
            self._values.problems.append(
                WrongVersion(number_text(version) if type(version) is int else kind_of(version))
            )

    def _server(self, table: Table) -> ServerTable:
        self._values.check_keys(table, ("server",), SERVER_KEYS)
        return ServerTable(
            domain=self._values.checked(table, ("server", "domain"), domain_of),
            public=self._values.checked(table, ("server", "public"), listener_of),
            agents=self._values.checked(table, ("server", "agents"), listener_of),
            state=self._values.path(table, ("server", "state")),
            cert=self._values.path(table, ("server", "cert")),
            key=self._values.path(table, ("server", "key")),
            keylog=self._values.path(table, ("server", "keylog")),
            redirect_http=self._values.flag(table, ("server", "redirect_http")),
            proxy_from=self._values.blocks(table, ("server", "proxy_from")),
            tcp_ports=self._values.checked(table, ("server", "tcp_ports"), ports_of),
            workers=self._values.whole(table, ("server", "workers"), 1, WORKERS_MAX),
            api=self._values.checked(table, ("server", "api"), api_of),
            database=self._values.checked(table, ("server", "database"), database_of),
            api_proxy_from=self._values.blocks(table, ("server", "api_proxy_from")),
            log_format=self._values.checked(table, ("server", "log_format"), log_format_of),
        )

    def _certificates(self, top: Table) -> tuple[CertificateFiles, ...]:
        """Those of which chain and key are there; one may not come without the other."""
        seen = top.get("certificate", [])
        if not isinstance(seen, list) or not all(isinstance(each, dict) for each in seen):
            self._values.problems.append(WrongType(("certificate",), kind_of(seen), "[[certificate]] tables"))
            return ()
        if len(seen) > _CERTIFICATES_MAX:
            self._values.problems.append(OutOfRange(("certificate",), f"{len(seen)} tables", 0, _CERTIFICATES_MAX))
            return ()
        found: list[CertificateFiles] = []
        for number, table in enumerate(seen, start=1):
            path = ("certificate", str(number))
            self._values.check_keys(table, path, _CERTIFICATE_KEYS)
            chain, key = self._values.path(table, (*path, "chain")), self._values.path(table, (*path, "key"))
            for name in _CERTIFICATE_KEYS:
                if name not in table:
                    self._values.problems.append(WrongType((*path, name), "nothing", "a text in quotes"))
            if chain is not None and key is not None:
                found.append(CertificateFiles(chain, key))
        return tuple(found)

    def _agent(self, table: Table) -> AgentTable:
        self._values.check_keys(table, ("agent",), AGENT_KEYS)
        return AgentTable(
            server=self._values.checked(table, ("agent", "server"), peer_of),
            name=self._values.text(table, ("agent", "name")),
            token_file=self._values.path(table, ("agent", "token_file")),
            ca=self._values.path(table, ("agent", "ca")),
            local_ca=self._values.path(table, ("agent", "local_ca")),
            host_header=self._values.text(table, ("agent", "host_header")),
            keylog=self._values.path(table, ("agent", "keylog")),
            rate=self._values.checked(table, ("agent", "rate"), rate_of),
            burst=self._values.checked(table, ("agent", "burst"), burst_of),
            concurrent=self._values.checked(table, ("agent", "concurrent"), concurrent_of),
            bandwidth=self._values.checked(table, ("agent", "bandwidth"), bandwidth_of),
            allow_ip=self._values.blocks(table, ("agent", "allow_ip")),
            deny_ip=self._values.blocks(table, ("agent", "deny_ip")),
            basic_auth_file=self._values.path(table, ("agent", "basic_auth_file")),
            proxy_protocol=self._values.checked(table, ("agent", "proxy_protocol"), proxy_version_of),
            links=self._values.whole(table, ("agent", "links"), 1, _LINKS_MAX),
            pool=self._values.flag(table, ("agent", "pool")),
            health_path=self._values.checked(table, ("agent", "health_path"), check_path_of),
            health_interval=self._values.checked(table, ("agent", "health_interval"), interval_of),
            ttl=self._values.checked(table, ("agent", "ttl"), exposure_of),
            log_format=self._values.checked(table, ("agent", "log_format"), log_format_of),
        )

    def _policy(self, table: Table) -> ServerPolicy:
        """What is asked of every address and every endpoint."""
        self._values.check_keys(table, ("policy",), POLICY_KEYS)
        return ServerPolicy(
            address=self._rates(table, "address"),
            endpoint=self._rates(table, "endpoint"),
            allow=self._values.blocks(table, ("policy", "allow_ip")) or (),
            deny=self._values.blocks(table, ("policy", "deny_ip")) or (),
        )

    def _rates(self, table: Table, what: str) -> Rates:
        asked = RatesAsked(
            rate=self._values.checked(table, ("policy", f"{what}_rate"), rate_of),
            burst=self._values.checked(table, ("policy", f"{what}_burst"), burst_of),
            concurrent=self._values.checked(table, ("policy", f"{what}_concurrent"), concurrent_of),
            bandwidth=self._values.checked(table, ("policy", f"{what}_bandwidth"), bandwidth_of),
        )
        if f"{what}_burst" in table and f"{what}_rate" not in table:
            self._values.problems.append(WrongType(("policy", f"{what}_rate"), "nothing", f"a rate for {what}_burst"))
        return rates_of(asked)

    def _limits(self, table: Table) -> Limits:
        self._values.check_keys(table, ("limits",), LIMIT_NAMES)
        read = {name: self._values.number(table, name) for name in LIMIT_NAMES if name in table}
        make: Callable[..., Limits] = Limits  # names and types are those of its own fields, checked one by one above
        limits = make(**{name: number for name, number in read.items() if number is not None})
        for smaller, larger in NEVER_MORE_THAN:
            low, high = limit_of(limits, smaller), limit_of(limits, larger)
            if low > high:
                self._values.problems.append(Contradiction(("limits", smaller), ("limits", larger), low, high))
        return limits
