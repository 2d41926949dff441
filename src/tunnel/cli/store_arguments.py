"""The flags of the commands about accounts, members, keys, tokens and names, and the records that they make."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Final

from tunnel.cli.commands import (
    DEFAULT_ACCOUNT,
    AccountCommand,
    Amounts,
    BillingCommand,
    KeyCommand,
    MemberCommand,
    MintCommand,
    NameCommand,
    NarrowCommand,
    PlanCommand,
    StoreCommand,
    StorePlace,
    TokenCommand,
)
from tunnel.core.control.roles import Role, Scope
from tunnel.core.token.token import EndpointKind

KINDS: Final = {"http": EndpointKind.HTTP, "tcp": EndpointKind.TCP, "tls": EndpointKind.TLS}

ACCOUNT_VERBS: Final[Mapping[str, str]] = {
    "create": "make an account",
    "list": "show all accounts",
    "show": "show one account with its people and names",
    "change": "change how long its tokens live, or its plan",
    "suspend": "serve it no more, until it is resumed",
    "resume": "serve it again",
}
MEMBER_VERBS: Final[Mapping[str, str]] = {
    "add": "let a person act for an account",
    "list": "show the people of an account",
    "remove": "let a person act for it no more",
}
KEY_VERBS: Final[Mapping[str, str]] = {
    "mint": "make an API key; print it once, or write it to a file of mode 0600",
    "list": "show keys, never their secrets",
    "revoke": "make a key void",
}
TOKEN_VERBS: Final[Mapping[str, str]] = {
    "mint": "make a token; print it, or write it to a file of mode 0600",
    "list": "show the tokens that were minted here",
    "show": "show what is known of one token",
    "revoke": "make a token void, with all that was narrowed from it",
    "narrow": "make a weaker token of one, without the server",
}
NAME_VERBS: Final[Mapping[str, str]] = {
    "reserve": "keep a name for one account",
    "list": "show reserved names",
    "release": "let anybody have a name again",
}

PLAN_VERBS: Final[Mapping[str, str]] = {
    "list": "show all plans",
    "set": "make or change a plan; what is not said stays, and is no limit at first",
}
BILLING_VERBS: Final[Mapping[str, str]] = {
    "list": "show the accounts that are customers at Stripe",
    "link": "make an account a customer, whose subscriptions decide its plan",
}
_PLAN_FLAGS: Final[Mapping[str, str]] = {
    "--names": "names that it may reserve",
    "--endpoints": "endpoints at once",
    "--requests-month": "requests a month",
    "--bytes-month": "bytes a month",
    "--requests-second": "requests a second",
}

_DATABASE: Final = "postgresql://USER@HOST/NAME or sqlite:FILE (TUNNEL_DATABASE; default: in the state directory)"
_LIFE: Final = "how long it is valid: 30s, 15m, 1h, 7d"
_PATTERN: Final = "one name, *, *-suffix or prefix-*"
_ROLES: Final = [role.value for role in Role]
_ROLE: Final = "what they may do (default developer)"
_KEY_ROLE: Final = "what its holder may do (default owner)"


class StoreTyped(Namespace):
    """What argparse fills in of these commands."""

    noun: str = ""
    command: str = ""
    state: str | None = None
    database: str | None = None
    output: str | None = None
    name: str | None = None
    account: str | None = None
    identity: str = ""
    role: str = Role.DEVELOPER.value
    label: str = ""
    note: str = ""
    scope: list[str] | None = None
    api_key: str = ""
    token: str | None = None
    token_file: str | None = None
    ttl: str | None = None
    ttl_default: str | None = None
    ttl_max: str | None = None
    starts: str | None = None
    plan: str | None = None
    customer: str | None = None
    email: str | None = None
    endpoints: str | None = None
    requests_month: str | None = None
    bytes_month: str | None = None
    requests_second: str | None = None
    kind: list[str] | None = None
    names: str | None = None
    streams: str | None = None
    sessions: str | None = None
    is_sealed: bool = False
    out: str | None = None


def store_command_of(typed: StoreTyped) -> StoreCommand | NarrowCommand | None:
    """The command that was typed, when it is one of these."""
    verb = typed.command
    place = StorePlace(typed.state or "", typed.database, typed.output == "json")
    match typed.noun:
        case "account":
            return AccountCommand(verb, place, typed.name or "", typed.ttl_default, typed.ttl_max, typed.plan)
        case "member":
            return MemberCommand(verb, place, typed.account or "", typed.identity, typed.role)
        case "key":
            about = (typed.api_key, typed.label, typed.role, tuple(typed.scope or ()))
            return KeyCommand(verb, place, typed.account, *about, typed.ttl, typed.out)
        case "name":
            return NameCommand(verb, place, typed.account, typed.name or "", typed.note)
        case "token":
            return _token_command(typed, place)
        case "plan":
            said = (typed.names, typed.endpoints, typed.requests_month, typed.bytes_month, typed.requests_second)
            return PlanCommand(verb, place, typed.plan or "", tuple(zip(_PLAN_FLAGS, said, strict=True)))
        case "billing":
            return BillingCommand(verb, place, typed.account or "", typed.customer, typed.email)
        case _:
            return None


def _token_command(typed: StoreTyped, place: StorePlace) -> StoreCommand | NarrowCommand:
    amounts = Amounts(typed.names, typed.streams, typed.sessions)
    if typed.command == "mint":
        kinds = tuple(KINDS[kind] for kind in typed.kind or ["http"])
        account = typed.account or DEFAULT_ACCOUNT
        limits = (amounts, typed.label, typed.is_sealed)
        return MintCommand(place, typed.name or "", typed.ttl, account, typed.out, kinds, *limits)
    if typed.command == "narrow":
        kinds = tuple(KINDS[kind] for kind in typed.kind or ())
        files = (typed.token_file or "", typed.out or "")
        return NarrowCommand(*files, typed.name, kinds, typed.ttl, typed.starts, amounts, typed.is_sealed)
    return TokenCommand(typed.command, place, typed.account, typed.token, typed.token_file)


def add_account(parser: ArgumentParser, verb: str) -> None:
    """The flags of `account VERB`."""
    _add_place(parser, "account")
    if verb != "list":
        parser.add_argument("name", metavar="NAME", help="of the account")
    if verb in {"create", "change"}:
        parser.add_argument("--ttl-default", metavar="T", help="life of a token or an exposure when nobody says: 8h")
        parser.add_argument("--ttl-max", metavar="T", help="the longest that may be asked for: 30d; none: no limit")
        parser.add_argument("--plan", metavar="PLAN", help="what it may use")


def add_member(parser: ArgumentParser, verb: str) -> None:
    """The flags of `member VERB`."""
    _add_place(parser, "member")
    parser.add_argument("account", metavar="ACCOUNT", help="the name of the account")
    if verb != "list":
        parser.add_argument("identity", metavar="IDENTITY", help="an e-mail address, or ISSUER|SUBJECT of OpenID")
    if verb == "add":
        parser.add_argument("--role", choices=_ROLES, default=Role.DEVELOPER.value, help=_ROLE)


def add_key(parser: ArgumentParser, verb: str) -> None:
    """The flags of `key VERB`."""
    _add_place(parser, "key")
    if verb == "revoke":
        parser.add_argument("api_key", metavar="KEY", help="its public part, k_...")
        return
    whose = (
        "of this account (default: all)" if verb == "list" else "for this account (default: the operator's, for all)"
    )
    parser.add_argument("--account", metavar="NAME", help=whose)
    if verb == "mint":
        parser.add_argument("--role", choices=_ROLES, default=Role.OWNER.value, help=_KEY_ROLE)
        parser.add_argument("--scope", metavar="SCOPE", choices=_SCOPES, action="append", help=_SCOPE)
        parser.add_argument("--label", metavar="TEXT", default="", help="to know it by")
        parser.add_argument("--ttl", metavar="T", help=f"{_LIFE} (default: until it is revoked)")
        parser.add_argument("--out", metavar="F", help="write the key there")


_SCOPES: Final = [scope.value for scope in Scope]
_SCOPE: Final = f"only this of what the role may do; again for more: {', '.join(_SCOPES)}"


def add_token(parser: ArgumentParser, verb: str) -> None:
    """The flags of `token VERB`."""
    if verb == "narrow":
        parser.set_defaults(noun="token")
        parser.add_argument("--token-file", metavar="F", required=True, help="holds the token; - is standard input")
        parser.add_argument("--out", metavar="F", required=True, help="write the narrowed token there, mode 0600")
        parser.add_argument("--name", metavar="PATTERN", help=f"only this of its names: {_PATTERN}")
        parser.add_argument("--kind", choices=list(KINDS), action="append", help="only this kind; again for more")
        parser.add_argument("--ttl", metavar="T", help="valid so long from now, or from its start: 30s, 15m, 7d")
        parser.add_argument("--starts-in", dest="starts", metavar="T", help="not valid before that: 15m")
        _add_amounts(parser)
        return
    _add_place(parser, "token")
    if verb == "mint":
        parser.add_argument("--name", metavar="PATTERN", required=True, help=_PATTERN)
        parser.add_argument("--ttl", metavar="T", help=f"{_LIFE} (default: the account's, or 24h)")
        parser.add_argument("--account", metavar="NAME", help=f"whose it is (default {DEFAULT_ACCOUNT})")
        parser.add_argument(
            "--kind", choices=list(KINDS), action="append", help="what it may expose (default http); again for more"
        )
        parser.add_argument("--label", metavar="TEXT", default="", help="to know it by")
        _add_amounts(parser)
        parser.add_argument("--out", metavar="F", help="write the token there")
    elif verb == "list":
        parser.add_argument("--account", metavar="NAME", help="only of this account")
    else:
        parser.add_argument("token", metavar="ID", nargs="?", help="its ID, 32 hexadecimal digits")
        parser.add_argument("--token-file", metavar="F", help="holds the token; - is standard input")


def add_name(parser: ArgumentParser, verb: str) -> None:
    """The flags of `name VERB`."""
    _add_place(parser, "name")
    if verb != "list":
        parser.add_argument("name", metavar="NAME", help="the name, without the domain")
    whose = "the account that it is to be for" if verb == "reserve" else "only of this account"
    parser.add_argument("--account", metavar="NAME", required=verb == "reserve", help=whose)
    if verb == "reserve":
        parser.add_argument("--note", metavar="TEXT", default="", help="why")


def add_plan(parser: ArgumentParser, verb: str) -> None:
    """The flags of `plan VERB`."""
    _add_place(parser, "plan")
    if verb == "set":
        parser.add_argument("plan", metavar="PLAN", help="its name; a price at Stripe has it as tunnel_plan")
        for flag, what in _PLAN_FLAGS.items():
            parser.add_argument(flag, metavar="N", help=f"{what}; 0 is no limit")


def add_billing(parser: ArgumentParser, verb: str) -> None:
    """The flags of `billing VERB`."""
    _add_place(parser, "billing")
    if verb == "link":
        parser.add_argument("account", metavar="ACCOUNT", help="the name of the account")
        one = parser.add_mutually_exclusive_group(required=True)
        one.add_argument("--customer", metavar="ID", help="a customer that is there: cus_...")
        one.add_argument("--email", metavar="EMAIL", help="make a customer at Stripe (TUNNEL_STRIPE_KEY_FILE)")


def _add_amounts(parser: ArgumentParser) -> None:
    parser.add_argument("--names", metavar="N", help="names at once")
    parser.add_argument("--streams", metavar="N", help="visitors' streams at once")
    parser.add_argument("--sessions", metavar="N", help="links at once")
    parser.add_argument("--sealed", dest="is_sealed", action="store_true", help="nobody can narrow it")


def _add_place(parser: ArgumentParser, noun: str) -> None:
    """Where what is known is kept."""
    parser.set_defaults(noun=noun)
    parser.add_argument("--state", metavar="DIR", required=True, help="the server's state directory")
    parser.add_argument("--database", metavar="URL", help=_DATABASE)
    parser.add_argument("--output", choices=["json"], help="one JSON object in place of words")
