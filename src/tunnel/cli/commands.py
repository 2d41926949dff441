"""The closed set of commands, each a small record of texts as they were typed; `settings.py` judges them."""

from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from tunnel.cli.policies import PolicyFlags
from tunnel.core.token.token import EndpointKind

DEFAULT_ACCOUNT: Final = "owner"


@final
@dataclass(frozen=True, slots=True)
class Output:
    """How to tell what happens."""

    is_json: bool
    is_quiet: bool
    log_format: str | None = None


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
    redirect_http: bool = False
    api_trust_proxy: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class ControlCommand:
    """Run a control process by hand, beside whatever server uses the state directory."""

    state: str | None
    api: str | None
    database: str | None = field(repr=False)
    config: str | None
    output: Output
    api_trust_proxy: tuple[str, ...] = ()


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
    ttl: str | None = None
    """For how long the endpoint is exposed."""


@final
@dataclass(frozen=True, slots=True)
class StorePlace:
    """Which store a command is about, and whether its answer is JSON."""

    state: str
    database: str | None = field(default=None, repr=False)
    is_json: bool = False


@final
@dataclass(frozen=True, slots=True)
class AccountCommand:
    """Create, list, show, change, suspend or resume accounts."""

    verb: str
    place: StorePlace
    name: str
    ttl_default: str | None = None
    ttl_max: str | None = None
    plan: str | None = None


@final
@dataclass(frozen=True, slots=True)
class MemberCommand:
    """Add, list or remove the people of an account."""

    verb: str
    place: StorePlace
    account: str
    identity: str
    role: str


@final
@dataclass(frozen=True, slots=True)
class KeyCommand:
    """Mint, list or revoke API keys; one without an account is an operator's."""

    verb: str
    place: StorePlace
    account: str | None
    key: str
    label: str
    role: str
    scopes: tuple[str, ...]
    ttl: str | None
    out: str | None


@final
@dataclass(frozen=True, slots=True)
class TokenCommand:
    """List, show or revoke tokens, which are named by ID or by a file that holds one."""

    verb: str
    place: StorePlace
    account: str | None
    token: str | None
    token_file: str | None


@final
@dataclass(frozen=True, slots=True)
class NameCommand:
    """Reserve, list or release names."""

    verb: str
    place: StorePlace
    account: str | None
    name: str
    note: str


@final
@dataclass(frozen=True, slots=True)
class PlanCommand:
    """List plans, or set one; each amount with its flag, None leaves it as it is."""

    verb: str
    place: StorePlace
    plan: str
    amounts: tuple[tuple[str, str | None], ...]


@final
@dataclass(frozen=True, slots=True)
class BillingCommand:
    """List customers, or make an account one: that which is named, or a new one with this e-mail address."""

    verb: str
    place: StorePlace
    account: str
    customer: str | None
    email: str | None


@final
@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of each a token allows at once; None leaves it as it is."""

    names: str | None = None
    streams: str | None = None
    sessions: str | None = None


@final
@dataclass(frozen=True, slots=True)
class MintCommand:
    """Make a token, and record it."""

    place: StorePlace
    name: str
    ttl: str | None
    account: str
    out: str | None
    kinds: tuple[EndpointKind, ...] = (EndpointKind.HTTP,)
    amounts: Amounts = Amounts()
    label: str = ""
    is_sealed: bool = False


@final
@dataclass(frozen=True, slots=True)
class NarrowCommand:
    """Make a weaker token of one, with nothing but that."""

    token_file: str
    out: str
    name: str | None
    kinds: tuple[EndpointKind, ...]
    ttl: str | None
    starts: str | None
    amounts: Amounts
    is_sealed: bool


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


@final
@dataclass(frozen=True, slots=True)
class WhoHoldsCommand:
    """Say who holds a name."""

    name: str
    state: str
    database: str | None = field(repr=False)
    is_json: bool


@final
@dataclass(frozen=True, slots=True)
class SessionsCommand:
    """List the sessions of a running server; or end one, or let its agent move."""

    state: str
    kick: str | None
    drain: str | None
    reason: str
    is_json: bool


@final
@dataclass(frozen=True, slots=True)
class MigrateCommand:
    """Bring a database to what this version wants; with `is_check` only say what it lacks."""

    state: str
    database: str | None = field(repr=False)
    is_check: bool


WatchCommand: TypeAlias = WhoHoldsCommand | SessionsCommand
AuditCommand: TypeAlias = AuditExportCommand | AuditVerifyCommand | AuditKeyCommand


@final
@dataclass(frozen=True, slots=True)
class VersionCommand:
    """Say which version this is."""


StoreCommand: TypeAlias = (
    AccountCommand
    | MemberCommand
    | KeyCommand
    | TokenCommand
    | NameCommand
    | MintCommand
    | PlanCommand
    | BillingCommand
)
Command: TypeAlias = (
    DemoCommand
    | ServerCommand
    | ControlCommand
    | ReloadCommand
    | ServiceCommand
    | HttpCommand
    | StoreCommand
    | NarrowCommand
    | ExplainCommand
    | CheckCommand
    | AuditCommand
    | WatchCommand
    | MigrateCommand
    | VersionCommand
)
