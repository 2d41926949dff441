"""Who asks: an API key shown with a request, judged by the store's record of it (API-KEY)."""

from dataclasses import dataclass
from typing import Final, final

from fastapi import Request

from tunnel.api.plane import Plane
from tunnel.api.problems import KEY_NEEDED, KEY_REFUSED, problem_of_store
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import is_same_secret
from tunnel.core.base.problem import Problem
from tunnel.core.control.act import Act
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import read_key
from tunnel.core.control.rights import effective_scopes, may
from tunnel.core.control.roles import NO_SCOPES, Role, Scope
from tunnel.core.token.token import AccountId
from tunnel.store.errors import NotFound

_BEARER: Final = "bearer "
_USED_SECONDS: Final = 60
"""A key's last use is written when it was more than so long ago: reading should cost no write."""


@final
@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who may do something: `account` None is an operator."""

    act: Act
    account: AccountId | None
    role: Role
    scopes: frozenset[Scope]

    def may(self, scope: Scope, account: AccountId | None) -> bool:
        """Whether they may do `scope` to this account; None is what belongs to no account."""
        return may(self.scopes, self.account, scope, account)


NOBODY: Final = Actor(Act("nobody", "", "", ""), None, Role.AUDITOR, NO_SCOPES)
"""Who has shown no key; may do nothing."""


def actor_of(request: Request) -> Actor:
    """Who asks, once the route has let them in."""
    found = getattr(request.state, "actor", NOBODY)
    return found if isinstance(found, Actor) else NOBODY


def request_id_of(request: Request) -> str:
    """The name of this request, as in the answer's X-Request-Id."""
    return str(getattr(request.state, "request_id", ""))


def address_of(request: Request) -> str:
    """From where it came; "" when that cannot be known."""
    return "" if request.client is None else request.client.host


def key_text_of(request: Request) -> str:
    """What the request shows as a key; "" when nothing."""
    shown = request.headers.getlist("authorization")
    if len(shown) != 1 or not shown[0].lower().startswith(_BEARER):
        return ""
    return shown[0][len(_BEARER) :].strip(" ")


def is_key(text: str) -> bool:
    """Whether the text has the form of a key, so that it takes the database to know better."""
    return isinstance(read_key(text), Success)


async def authenticate(plane: Plane, text: str, address: str, request_id: str) -> Outcome[Actor, tuple[Problem, str]]:
    """Who holds the key `text`; or the problem, and its detail, that nobody valid does."""
    if text == "":
        return Failure((KEY_NEEDED, ""))
    read = read_key(text)
    if not isinstance(read, Success):
        return Failure((KEY_REFUSED, ""))
    shown = value_of(read)
    found = await plane.store.key(shown.key)
    if not isinstance(found, Success):
        error = error_of(found)
        return Failure((KEY_REFUSED, "") if isinstance(error, NotFound) else problem_of_store(error))
    record, now = value_of(found), plane.clock.unix()
    is_over = record.revoked is not None or (record.expires is not None and record.expires <= now)
    if not is_same_secret(record.secret_hash, shown.secret_hash) or is_over:
        return Failure((KEY_REFUSED, ""))
    if record.last_used is None or record.last_used + _USED_SECONDS <= now:
        noted = await plane.store.note_key_used(record.key, now)
        if not isinstance(noted, Success):
            return Failure(problem_of_store(error_of(noted)))
    return Success(Actor(_act(record, address, request_id), record.account, record.role, effective_scopes(record)))


def _act(record: KeyRecord, address: str, request_id: str) -> Act:
    return Act(f"key:{record.label or record.key}", address, record.key, request_id)
