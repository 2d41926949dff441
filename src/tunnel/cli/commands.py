"""The closed set of commands, each a small record of texts as they were typed; `settings.py` judges them."""

from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from tunnel.cli.policies import PolicyFlags
from tunnel.core.token.token import EndpointKind

DEFAULT_TTL: Final = "24h"
DEFAULT_ACCOUNT: Final = "owner"


@final
@dataclass(frozen=True, slots=True)
class Output:
    """How to tell what happens."""

    is_json: bool
    is_quiet: bool


@final
@dataclass(frozen=True, slots=True)
class DemoCommand:
    """Server, agent and sample site together on this machine."""

    local: str | None
    public: str | None
    output: Output
    api: str | None = None


@final
@dataclass(frozen=True, slots=True)
class ServerCommand:
    """Run a server."""

    domain: str | None
    public: str | None
    agents: str | None
    state: str | None
    cert: tuple[str, ...]
    key: tuple[str, ...]
    keylog: str | None
    tcp_ports: str | None
    config: str | None
    output: Output
    workers: str | None = None
    typed: tuple[str, ...] = ()
    """The arguments themselves, for the workers."""
    trust_proxy: tuple[str, ...] = ()
    api: str | None = None
    database: str | None = field(default=None, repr=False)


@final
@dataclass(frozen=True, slots=True)
class ControlCommand:
    """Run a control process by hand, beside whatever server uses the state directory."""

    state: str | None
    api: str | None
    database: str | None = field(repr=False)
    config: str | None
    output: Output


@final
@dataclass(frozen=True, slots=True)
class ReloadCommand:
    """Put new workers in the place of those of a running server."""

    state: str | None
    config: str | None


@final
@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """Install, uninstall or show a service of systemd; `arguments` are those of the `tunnel` that it runs."""

    action: str
    name: str | None
    is_of_user: bool
    is_dry_run: bool
    with_sockets: bool
    directory: str | None
    arguments: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Sharing:
    """With how many links, with whom, and whether the local service is checked."""

    links: str | None = None
    is_pooled: bool = False
    health_path: str | None = None
    health_interval: str | None = None


@final
@dataclass(frozen=True, slots=True)
class HttpCommand:
    """Expose a local service: HTTP, or as `kind` says raw TCP or TLS."""

    kind: EndpointKind
    port: str | None
    target: str
    name: str | None
    server: str | None
    token_file: str | None
    ca: str | None
    local_ca: str | None
    host_header: str | None
    keylog: str | None
    config: str | None
    output: Output
    policy: PolicyFlags
    sharing: Sharing = Sharing()


@final
@dataclass(frozen=True, slots=True)
class MintCommand:
    """Make a token."""

    state: str
    name: str
    ttl: str
    account: str
    out: str | None
    kinds: tuple[EndpointKind, ...] = (EndpointKind.HTTP,)


@final
@dataclass(frozen=True, slots=True)
class ExplainCommand:
    """Say in words what a token allows; `-` is standard input."""

    file: str


@final
@dataclass(frozen=True, slots=True)
class CheckCommand:
    """Say what is wrong with a config file."""

    file: str


@final
@dataclass(frozen=True, slots=True)
class AuditExportCommand:
    """Write the audit trail of a database out; `first` and `last` are entry numbers."""

    state: str
    database: str | None = field(repr=False)
    first: str | None
    last: str | None
    out: str | None


@final
@dataclass(frozen=True, slots=True)
class AuditVerifyCommand:
    """Look for tampering in an export (`-`: standard input); `keys` are trusted: hexadecimal, or files that hold it."""

    file: str
    keys: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class AuditKeyCommand:
    """Show the public key that signs the audit trail."""

    state: str


AuditCommand: TypeAlias = AuditExportCommand | AuditVerifyCommand | AuditKeyCommand


@final
@dataclass(frozen=True, slots=True)
class VersionCommand:
    """Say which version this is."""


Command: TypeAlias = (
    DemoCommand
    | ServerCommand
    | ControlCommand
    | ReloadCommand
    | ServiceCommand
    | HttpCommand
    | MintCommand
    | ExplainCommand
    | CheckCommand
    | AuditCommand
    | VersionCommand
)
