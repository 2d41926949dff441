"""One visit to a page: who is there, what was asked, and what a page may answer; all as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final
from urllib.parse import parse_qsl, quote, urlencode

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.control.account import Account
from tunnel.core.control.act import Act
from tunnel.core.control.roles import Role, Scope
from tunnel.core.token.token import AccountId
from tunnel.store.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    QuotaExceeded,
    StoreError,
    StoreUnavailable,
    Unstorable,
)
from tunnel.store.errors import describe as describe_store

FORM_BYTES_MAX: Final = 64 * 1024
FIELDS_MAX: Final = 64
CSRF_FIELD: Final = "csrf"
"""Where a form repeats what its reader was given."""


@final
@dataclass(frozen=True, slots=True)
class Viewer:
    """Someone signed in; without an account an operator. `scopes` is what they may do, `csrf` what their forms say.

    `name` is for people; `identity` is what the audit trail says.
    """

    identity: str
    name: str
    role: Role
    scopes: frozenset[Scope]
    account: AccountId | None
    key: str
    csrf: str = field(repr=False)
    cookie_hash: bytes = field(repr=False)

    @property
    def is_operator(self) -> bool:
        """Whether every account is theirs to act on."""
        return self.account is None

    def may(self, scope: Scope) -> bool:
        """Whether they hold the right."""
        return scope in self.scopes

    def role_text(self) -> str:
        """What they are, in a word."""
        return "operator" if self.is_operator else self.role.value


@final
@dataclass(frozen=True, slots=True)
class Visit:
    """What was asked. `account` is whose things it is about: the viewer's, or what an operator chose; None: all."""

    viewer: Viewer
    account: Account | None
    path: str
    names: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, tuple[str, ...]]
    act: Act
    now: UnixSeconds

    def said(self, name: str) -> str:
        """The form's text under this name, without blanks around it; "" when there is none."""
        return next(iter(self.form.get(name, ())), "").strip()

    def link(self, path: str, **query: str) -> str:
        """A way to another page that keeps the account which an operator looks at."""
        kept = {name: value for name, value in query.items() if value}
        if self.viewer.is_operator and self.account is not None:
            kept["account"] = self.account.account.hex()
        return f"{path}?{urlencode(kept)}" if kept else path


@final
@dataclass(frozen=True, slots=True)
class Page:
    """A page: which template, what it shows, and the form that has to be corrected, if one has."""

    template: str
    title: str
    record: object
    status: int = 200
    wrong: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Moved:
    """Done; the browser goes on to `path`, so that a reload does nothing twice."""

    path: str


@final
@dataclass(frozen=True, slots=True)
class Trouble:
    """A page that says why not: a stable code, a title and what to do. `retry_seconds` 0: no use in trying again."""

    status: int
    code: str
    title: str
    advice: str
    retry_seconds: int = 0


Answer: TypeAlias = Page | Moved | Trouble

NOT_FOUND: Final = Trouble(
    404,
    "not-found",
    "There is nothing here",
    "The address may be mistyped, or what it named is gone or belongs to an account that you are not in.",
)
NOT_ALLOWED: Final = Trouble(
    403,
    "not-allowed",
    "This is not yours to do",
    "Your role in this account does not include it. An owner of the account can do it, or give you another role.",
)
FORM_REFUSED: Final = Trouble(
    403,
    "form-refused",
    "The form did not come from this dashboard",
    "Nothing was changed. Go back, load the page again and send the form from there.",
)
FORM_TOO_LONG: Final = Trouble(
    413, "form-too-long", "The form is too long", "Nothing was changed. Send less text; 64 KiB is the most."
)
FEED_AWAY: Final = Trouble(
    503,
    "data-plane-away",
    "The data plane does not answer",
    "Tunnels may well be running: this page asks for them over a socket in the state directory, and nobody answered.",
    5,
)


def trouble_of(error: StoreError) -> Trouble:
    """The page for what the store said."""
    said = describe_store(error)
    match error:
        case NotFound():
            return Trouble(404, "not-found", "There is nothing here", said)
        case AlreadyExists():
            return Trouble(409, "already-exists", "It is there already", said)
        case Conflict():
            return Trouble(409, "conflict", "Something stands in the way", said)
        case QuotaExceeded():
            return Trouble(402, "quota-exceeded", "The plan does not allow more", said)
        case Unstorable():
            return Trouble(422, "not-storable", "This cannot be kept", said)
        case StoreUnavailable(retry_seconds=seconds):
            return Trouble(
                503,
                "store-unavailable",
                "The database does not answer",
                "Tunnels, agents and visitors go on without it. This page tries again by itself.",
                max(seconds, 1),
            )


def read_form(raw: bytes, kind: str) -> Outcome[dict[str, tuple[str, ...]], Trouble]:
    """The fields of an urlencoded form, each with all its values in order."""
    if len(raw) > FORM_BYTES_MAX:
        return Failure(FORM_TOO_LONG)
    if kind.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return Failure(FORM_REFUSED)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        # Not UTF-8, or more fields than any form of ours has.
        return Failure(FORM_REFUSED)
    form: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        form[name] = (*form.get(name, ()), value)
    return Success(form)


def path_part(text: str) -> str:
    """`text` as one part of a path."""
    return quote(text, safe="")
