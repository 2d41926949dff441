"""The command line as typed, read into one of the records of `commands.py`.

argparse answers `--help` and usage errors by itself (exit 0 and 2), which is why nothing here returns an Outcome.
"""

from argparse import REMAINDER, SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn, final

from typing_extensions import override

from tunnel.cli.commands import (
    AuditExportCommand,
    AuditKeyCommand,
    AuditVerifyCommand,
    CheckCommand,
    Command,
    ControlCommand,
    DemoCommand,
    ExplainCommand,
    HttpCommand,
    MigrateCommand,
    Output,
    ReloadCommand,
    ServerCommand,
    ServiceCommand,
    SessionsCommand,
    Sharing,
    VersionCommand,
    WhoHoldsCommand,
)
from tunnel.cli.exits import EXIT_HELP, ExitCode
from tunnel.cli.policies import PolicyFlags, add_policy_flags
from tunnel.cli.said_aloud import RefusePassword, RefuseToken
from tunnel.cli.store_arguments import (
    ACCOUNT_VERBS,
    BILLING_VERBS,
    KEY_VERBS,
    KINDS,
    MEMBER_VERBS,
    NAME_VERBS,
    PLAN_VERBS,
    TOKEN_VERBS,
    StoreTyped,
    add_account,
    add_billing,
    add_key,
    add_member,
    add_name,
    add_plan,
    add_token,
    store_command_of,
)

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_HOST_HEADER: Final = "what the local service sees as Host: keep (the default), rewrite to its own address, or a value"
_KEYLOG: Final = "append the keys of TLS to this file, to read captures in Wireshark; for debugging only"
_CERTIFICATE: Final = (
    "certificate chain (PEM) instead of a development one; again, each with its --key, for one more, chosen by name"
)
_TRUST_PROXY: Final = (
    "connections from such addresses begin with a PROXY protocol header, which says who the visitor is (repeatable)"
)
_API: Final = "where API and dashboard answer (default 127.0.0.1:7480); none: there are none, and no database"
_DEMO_API: Final = "where dashboard and API answer (default 127.0.0.1:7480, or the next free port)"
_DATABASE: Final = "postgresql://USER@HOST/NAME or sqlite:FILE (TUNNEL_DATABASE; default: in the state directory)"
_AUDIT_KEY: Final = "trust this public key: 64 hexadecimal digits, or a file that holds them; again for more keys"
_REDIRECT: Final = "send visitors who come without TLS to the https address (308); needs --cert and --key"
_POOL: Final = "share the name with other agents of the account that say --pool, too; requests go to the least busy"
_HEALTH: Final = "GET this of the local service now and then, and take no requests while it fails"
_LOG: Final = "a log on standard error in place of the screen: one line an exchange, a session, an event"
_JSON: Final = 'one JSON object a line on standard output, the first {"event":"ready","url":...}'


class _Typed(StoreTyped):
    """What argparse fills in; which of it is there depends on `command`."""

    local: str | None = None
    public: str | None = None
    domain: str | None = None
    agents: str | None = None
    cert: list[str] | None = None
    key: list[str] | None = None
    keylog: str | None = None
    config: str | None = None
    target: str = ""
    server: str | None = None
    ca: str | None = None
    local_ca: str | None = None
    host_header: str | None = None
    trust_proxy: list[str] | None = None
    redirect_http: bool = False
    rate: str | None = None
    burst: str | None = None
    concurrent: str | None = None
    bandwidth: str | None = None
    allow_ip: list[str] | None = None
    deny_ip: list[str] | None = None
    basic_auth_file: str | None = None
    proxy_protocol: str | None = None
    links: str | None = None
    pool: bool = False
    health_path: str | None = None
    health_interval: str | None = None
    port: str | None = None
    tcp_ports: str | None = None
    first: str | None = None
    last: str | None = None
    workers: str | None = None
    api: str | None = None
    user: bool = False
    dry_run: bool = False
    kick: str | None = None
    drain: str | None = None
    check: bool = False
    reason: str = ""
    sockets: bool = False
    units: str | None = None
    arguments: tuple[str, ...] = ()
    file: str = "-"
    output: str | None = None
    quiet: bool = False
    log_format: str | None = None


def read_arguments(arguments: Sequence[str]) -> Command:
    """The command that was typed; ends the process with its help (0) or a usage error (2) when none was."""
    typed = _parser().parse_args(list(arguments), _Typed())
    output = Output(is_json=typed.output == "json", is_quiet=typed.quiet, log_format=typed.log_format)
    owned = store_command_of(typed)
    if owned is not None:
        return owned
    match typed.command:
        case "demo":
            return DemoCommand(typed.local, typed.public, output, typed.api)
        case "server":
            places = (typed.domain, typed.public, typed.agents, typed.state)
            certificates = (tuple(typed.cert or ()), tuple(typed.key or ()))
            files = (typed.keylog, typed.tcp_ports, typed.config)
            upstreams = tuple(typed.trust_proxy or ())
            said = tuple(arguments)
            return ServerCommand(
                *places, *certificates, *files, output, typed.workers, said, upstreams, typed.api, typed.database,
                redirect_http=typed.redirect_http,
            )  # fmt: skip
        case "control":
            return ControlCommand(typed.state, typed.api, typed.database, typed.config, output)
        case "reload":
            return ReloadCommand(typed.state, typed.config)
        case "install" | "uninstall" | "status":
            how = (typed.user, typed.dry_run, typed.sockets, typed.units)
            return ServiceCommand(typed.command, typed.name, *how, tuple(typed.arguments))
        case "http" | "tcp" | "tls":
            names = (typed.target, typed.name, typed.server, typed.token_file)
            trust = (typed.ca, typed.local_ca, typed.host_header, typed.keylog)
            sharing = Sharing(typed.links, typed.pool, typed.health_path, typed.health_interval)
            what, asked = (KINDS[typed.command], typed.port), _policy_flags(typed)
            return HttpCommand(what[0], what[1], *names, *trust, typed.config, output, asked, sharing, typed.ttl)
        case _:
            return _short_command(typed)


def _short_command(typed: _Typed) -> Command:
    """One that ends by itself."""
    match typed.command:
        case "explain":
            return ExplainCommand(typed.file)
        case "check":
            return CheckCommand(typed.file)
        case "migrate":
            return MigrateCommand(typed.state or "", typed.database, typed.check)
        case "audit export":
            return AuditExportCommand(typed.state or "", typed.database, typed.first, typed.last, typed.out)
        case "audit verify":
            return AuditVerifyCommand(typed.file, tuple(typed.key or ()))
        case "audit key":
            return AuditKeyCommand(typed.state or "")
        case "who-holds":
            return WhoHoldsCommand(typed.name or "", typed.state or "", typed.database, typed.output == "json")
        case "sessions":
            orders = (typed.kick, typed.drain, typed.reason)
            return SessionsCommand(typed.state or "", *orders, typed.output == "json")
        case _:
            return VersionCommand()


def _policy_flags(typed: _Typed) -> PolicyFlags:
    return PolicyFlags(
        typed.rate,
        typed.burst,
        typed.concurrent,
        typed.bandwidth,
        tuple(typed.allow_ip or ()),
        tuple(typed.deny_ip or ()),
        typed.basic_auth_file,
        typed.proxy_protocol,
    )


@final
class _Parser(ArgumentParser):
    """An argparse parser whose usage errors are one line that says it and one that says where help is."""

    @override
    def error(self, message: str) -> NoReturn:
        """End the process with exit code 2."""
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n(see `{self.prog} --help`)\n")


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog="tunnel",
        description="Give a service on this machine a public name.",
        epilog=EXIT_HELP,
        allow_abbrev=False,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_server(commands)
    _add_control(commands)
    _add_reload(commands)
    _add_service(commands)
    _add_http(commands)
    _add_raw(commands)
    _add_token(commands)
    _add_watching(commands)
    _add_audit(commands)
    _add_migrate(commands)
    _add_owned(commands)
    config = _group(commands, "config", "look at config files")
    check = _command(config, "check", "say everything that is wrong with a config file")
    check.add_argument("file", metavar="FILE")
    _command(commands, "version", "say which version this is")
    return parser


def _add_demo(commands: "_SubParsersAction[_Parser]") -> None:
    demo = _command(commands, "demo", "try it: server, agent, sample site and dashboard on this machine")
    demo.add_argument("--local", metavar="TARGET", help="expose this instead of the sample site: 3000, host:3000, ...")
    demo.add_argument(
        "--public", metavar="HOST:PORT", help="where visitors come (default 127.0.0.1:8080, or the next free port)"
    )
    demo.add_argument("--api", metavar="HOST:PORT|none", help=_DEMO_API)
    _add_output(demo)


def _add_server(commands: "_SubParsersAction[_Parser]") -> None:
    server = _command(commands, "server", "accept agents and visitors")
    server.add_argument("--domain", metavar="NAME", help="the zone: visitors reach NAME.DOMAIN")
    server.add_argument("--public", metavar="HOST:PORT", help="where visitors come")
    server.add_argument("--agents", metavar="HOST:PORT", help="where agents come (TLS)")
    server.add_argument("--state", metavar="DIR", help="keys, certificates, database, journal; made when missing")
    server.add_argument("--cert", metavar="F", action="append", help=_CERTIFICATE)
    server.add_argument("--key", metavar="F", action="append", help="its private key (PEM)")
    server.add_argument("--workers", metavar="N", help="so many processes under a supervisor (default: one without)")
    server.add_argument("--tcp-ports", metavar="LOW-HIGH", help="public TCP ports to give out to `tunnel tcp`")
    server.add_argument("--keylog", metavar="F", help=_KEYLOG)
    server.add_argument("--trust-proxy", metavar="BLOCK", action="append", help=_TRUST_PROXY)
    server.add_argument("--redirect-http", action="store_true", help=_REDIRECT)
    _add_control_flags(server)
    server.add_argument("--config", metavar="FILE", help="a config file; flags override it")
    _add_output(server)


def _add_control_flags(parser: "_Parser") -> None:
    parser.add_argument("--api", metavar="HOST:PORT|none", help=_API)
    parser.add_argument("--database", metavar="URL", help=_DATABASE)


def _add_control(commands: "_SubParsersAction[_Parser]") -> None:
    control = _command(commands, "control", "run API and dashboard by hand (a server starts them itself)")
    control.add_argument("--state", metavar="DIR", help="the state directory of the server")
    _add_control_flags(control)
    control.add_argument("--config", metavar="FILE", help="the server's config file; flags override it")
    _add_output(control)


def _add_reload(commands: "_SubParsersAction[_Parser]") -> None:
    reload = _command(commands, "reload", "put new workers in the place of those of a running server")
    reload.add_argument("--state", metavar="DIR", help="the state directory of the server")
    reload.add_argument("--config", metavar="FILE", help="its config file, when that names the directory")


def _add_service(commands: "_SubParsersAction[_Parser]") -> None:
    service = _group(commands, "service", "run a server or an agent under systemd")
    install = _command(service, "install", "write unit files, enable and start them")
    install.add_argument("--sockets", action="store_true", help="let systemd open the ports of a server")
    uninstall = _command(service, "uninstall", "stop, disable and remove them")
    status = _command(service, "status", "show the unit files and what runs")
    for each in (install, uninstall, status):
        each.add_argument("--name", metavar="NAME", help="of the units (default tunnel-server, or tunnel-NAME)")
        each.add_argument("--user", action="store_true", help="a service of your own instead of the system's")
        each.add_argument("--units", metavar="DIR", help="write there and start nothing")
    for each in (install, uninstall):
        each.add_argument("--dry-run", action="store_true", help="show what would be done")
    install.add_argument(
        "arguments",
        metavar="COMMAND",
        nargs=REMAINDER,
        help="what to run, behind all flags: server --config F, http 3000 --name web ...",
    )


def _add_http(commands: "_SubParsersAction[_Parser]") -> None:
    http = _command(commands, "http", "expose a local HTTP service")
    http.add_argument("target", metavar="TARGET", help="3000, host:3000, http://host:3000 or https://host:3000")
    http.add_argument("--local-ca", metavar="F", help="trust this authority (PEM) for an https target")
    http.add_argument("--host-header", metavar="rewrite|keep|VALUE", help=_HOST_HEADER)
    http.add_argument("--basic-auth-file", metavar="F", help="ask visitors to sign in; holds user:password lines")
    http.add_argument("--basic-auth", action=RefusePassword, nargs="?", help=SUPPRESS)
    http.add_argument("--health-path", metavar="PATH", help=_HEALTH)
    http.add_argument("--health-interval", metavar="TIME", help="between two checks: 5s (the default), 30s, 2m")
    _add_agent(http)


def _add_raw(commands: "_SubParsersAction[_Parser]") -> None:
    tcp = _command(commands, "tcp", "expose a local TCP service at a public port")
    tcp.add_argument("target", metavar="TARGET", help="3000 or host:3000")
    tcp.add_argument("--port", metavar="N", help="the public port (default: any that the server gives out)")
    _add_agent(tcp)
    tls = _command(commands, "tls", "expose a local TLS service; its TLS passes through unopened")
    tls.add_argument("target", metavar="TARGET", help="3000 or host:3000")
    _add_agent(tls)


def _add_agent(parser: ArgumentParser) -> None:
    """What every kind of endpoint takes."""
    parser.add_argument("--name", "--subdomain", metavar="NAME", help="the public name (default: any free one)")
    parser.add_argument("--server", metavar="HOST:PORT", help="the server's agent listener (TUNNEL_SERVER)")
    parser.add_argument(
        "--token-file", metavar="F", help="holds the token; - is standard input (TUNNEL_TOKEN_FILE, or TUNNEL_TOKEN)"
    )
    parser.add_argument("--token", action=RefuseToken, nargs="?", help=SUPPRESS)
    parser.add_argument("--ca", metavar="F", help="trust this authority (PEM) for the server instead of the system's")
    parser.add_argument("--ttl", metavar="T", help="expose it for so long, then end: 30m, 2h (default: the account's)")
    add_policy_flags(parser)
    parser.add_argument(
        "--links", metavar="N", help="links to keep up; losing one loses only what runs on it (default 1)"
    )
    parser.add_argument("--pool", action="store_true", help=_POOL)
    parser.add_argument("--keylog", metavar="F", help=_KEYLOG)
    parser.add_argument("--config", metavar="FILE", help="a config file; flags and environment override it")
    _add_output(parser)


def _add_owned(commands: "_SubParsersAction[_Parser]") -> None:
    """What is kept of accounts: the commands of `store_arguments.py`."""
    account = _group(commands, "account", "who owns names and tokens")
    for verb, what in ACCOUNT_VERBS.items():
        add_account(_command(account, verb, what), verb)
    member = _group(commands, "member", "the people of an account")
    for verb, what in MEMBER_VERBS.items():
        add_member(_command(member, verb, what), verb)
    key = _group(commands, "key", "keys of the API and the dashboard")
    for verb, what in KEY_VERBS.items():
        add_key(_command(key, verb, what), verb)
    name = _group(commands, "name", "names that are one account's")
    for verb, what in NAME_VERBS.items():
        add_name(_command(name, verb, what), verb)
    plan = _group(commands, "plan", "how much accounts may use")
    for verb, what in PLAN_VERBS.items():
        add_plan(_command(plan, verb, what), verb)
    billing = _group(commands, "billing", "accounts that pay through Stripe")
    for verb, what in BILLING_VERBS.items():
        add_billing(_command(billing, verb, what), verb)


def _add_token(commands: "_SubParsersAction[_Parser]") -> None:
    token = _group(commands, "token", "make, narrow, read and revoke capability tokens")
    for verb, what in TOKEN_VERBS.items():
        add_token(_command(token, verb, what), verb)
    explain = _command(token, "explain", "say in words what a token allows, and how it was narrowed")
    explain.add_argument("file", metavar="F", nargs="?", default="-", help="holds the token (default: standard input)")


def _add_watching(commands: "_SubParsersAction[_Parser]") -> None:
    holds = _command(commands, "who-holds", "say who holds a name: account, address, epoch, heartbeat, until when")
    holds.add_argument("name", metavar="NAME", help="the name, without the domain")
    holds.add_argument("--database", metavar="URL", help="where accounts are, if not in the state directory")
    sessions = _command(commands, "sessions", "list the agents of a running server, end one, or let it move")
    one = sessions.add_mutually_exclusive_group()
    one.add_argument("--kick", metavar="N", help="end session N; its agent is told, and does not come back by itself")
    one.add_argument("--drain", metavar="N", help="let the agent of session N dial again; what runs may finish")
    sessions.add_argument("--reason", metavar="TEXT", default="", help="what the agent of --kick is told")
    for each in (holds, sessions):
        each.add_argument("--state", metavar="DIR", required=True, help="the state directory of the server")
        each.add_argument("--output", choices=["json"], help="one line of JSON in place of words")


def _add_audit(commands: "_SubParsersAction[_Parser]") -> None:
    audit = _group(commands, "audit", "write the audit trail out, and look for tampering in it")
    export = _command(audit, "export", "write the audit trail out, sealed, as lines of JSON")
    export.set_defaults(command="audit export")
    export.add_argument("--state", metavar="DIR", required=True, help="the server's state directory")
    export.add_argument("--database", metavar="URL", help=_DATABASE)
    export.add_argument("--from", dest="first", metavar="N", help="begin with this entry (default 1)")
    export.add_argument("--to", dest="last", metavar="N", help="end with this entry (default: the last there is)")
    export.add_argument("--out", metavar="F", help="write it there (mode 0600) instead of to standard output")
    verify = _command(audit, "verify", "say whether an export was tampered with, and where; needs no server")
    verify.set_defaults(command="audit verify")
    verify.add_argument("file", metavar="FILE", help="the export; - is standard input")
    verify.add_argument("--key", metavar="KEY", action="append", help=_AUDIT_KEY)
    key = _command(audit, "key", "show the public key that signs the audit trail")
    key.set_defaults(command="audit key")
    key.add_argument("--state", metavar="DIR", required=True, help="the server's state directory")


def _add_migrate(commands: "_SubParsersAction[_Parser]") -> None:
    migrate = _command(commands, "migrate", "bring the database to what this version wants")
    migrate.add_argument("--state", metavar="DIR", required=True, help="the server's state directory")
    migrate.add_argument("--database", metavar="URL", help=_DATABASE)
    migrate.add_argument("--check", action="store_true", help="change nothing, only say what is pending (exit code 1)")


def _group(commands: "_SubParsersAction[_Parser]", name: str, description: str) -> "_SubParsersAction[_Parser]":
    group = _command(commands, name, description)
    return group.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")


def _command(commands: "_SubParsersAction[_Parser]", name: str, description: str) -> _Parser:
    """A parser without abbreviations: `--token` must never be read as `--token-file`."""
    return commands.add_parser(
        name,
        help=description,
        description=f"{description[:1].upper()}{description[1:]}.",
        epilog=EXIT_HELP,
        allow_abbrev=False,
        formatter_class=RawDescriptionHelpFormatter,
    )


def _add_output(parser: ArgumentParser) -> None:
    parser.add_argument("--output", choices=["json"], help=_JSON)
    parser.add_argument("--quiet", action="store_true", help="say nothing of single requests")
    parser.add_argument("--log-format", choices=["json", "console"], help=_LOG)
