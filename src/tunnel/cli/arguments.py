"""The command line as typed, read into one of the records of `commands.py`.

argparse answers `--help` and usage errors by itself (exit 0 and 2), which is why nothing here returns an Outcome.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn, final

from typing_extensions import override

from tunnel.cli.agent_arguments import AGENT_VERBS, AgentTyped, add_agent, agent_command_of
from tunnel.cli.commands import (
    AuditExportCommand,
    AuditKeyCommand,
    AuditVerifyCommand,
    CheckCommand,
    Command,
    ExplainCommand,
    MigrateCommand,
    SessionsCommand,
    VersionCommand,
    WhoHoldsCommand,
)
from tunnel.cli.exits import EXIT_HELP, ExitCode
from tunnel.cli.server_arguments import (
    DATABASE,
    SERVICE_VERBS,
    ServerTyped,
    add_control,
    add_demo,
    add_reload,
    add_server,
    add_service,
    operator_command_of,
)
from tunnel.cli.store_arguments import (
    ACCOUNT_VERBS,
    BILLING_VERBS,
    KEY_VERBS,
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

_AUDIT_KEY: Final = "trust this public key: 64 hexadecimal digits, or a file that holds them; again for more keys"


class _Typed(StoreTyped, AgentTyped, ServerTyped):
    """What argparse fills in; which of it is there depends on `command`."""

    first: str | None = None
    last: str | None = None
    kick: str | None = None
    drain: str | None = None
    check: bool = False
    reason: str = ""
    file: str = "-"


def read_arguments(arguments: Sequence[str]) -> Command:
    """The command that was typed; ends the process with its help (0) or a usage error (2) when none was."""
    typed = _parser().parse_args(list(arguments), _Typed())
    owned = store_command_of(typed)
    if owned is not None:
        return owned
    if typed.command in AGENT_VERBS:
        return agent_command_of(typed, typed.command)
    return operator_command_of(typed, typed.command, arguments) or _short_command(typed)


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
    add_demo(_command(commands, "demo", "try it: server, agent, sample site and dashboard on this machine"))
    add_server(_command(commands, "server", "accept agents and visitors"))
    add_control(_command(commands, "control", "run API and dashboard by hand (a server starts them itself)"))
    add_reload(_command(commands, "reload", "put new workers in the place of those of a running server"))
    service = _group(commands, "service", "run a server or an agent under systemd")
    for verb, what in SERVICE_VERBS.items():
        add_service(_command(service, verb, what), verb)
    for verb, what in AGENT_VERBS.items():
        add_agent(_command(commands, verb, what), verb)
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
    export.add_argument("--database", metavar="URL", help=DATABASE)
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
    migrate.add_argument("--database", metavar="URL", help=DATABASE)
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
