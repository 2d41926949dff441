"""One kind of route for the whole API: it lets in who may, counts, and repeats the answers of repeated writes.

A route names its scope, which is also in the description of the API (`x-scope`); one that names none lets nobody in.
Everything is decided before the body is looked at, in this order: key, rate, scope on the account of the path,
idempotency key.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final, final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from typing_extensions import override

from tunnel.api.actor import Actor, address_of, authenticate, is_key, key_text_of, request_id_of
from tunnel.api.plane import Plane
from tunnel.api.problems import KEY_REFUSED, SCOPE_MISSING, ProblemAnswer
from tunnel.api.rates import Rates
from tunnel.api.repeats import Handler, Repeats
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import Hop, Problem, rate_limited
from tunnel.core.control.roles import scope_of
from tunnel.core.token.token import ACCOUNT_BYTES, AccountId

SCOPE: Final = "x-scope"
ANY_SCOPE: Final = "any"
"""Of routes that every valid key may use."""

_IDEMPOTENCY_KEY: Final = "idempotency-key"
_SEEN_MAX: Final = 4096


@final
class Admission:
    """Who is let in to the routes of one application; lives as long as that does."""

    def __init__(self, plane: Plane) -> None:
        self._plane: Final = plane
        self._rates: Final = Rates(plane.settings.requests_second)
        self._repeats: Final = Repeats(plane)
        self._seen: Final[OrderedDict[bytes, None]] = OrderedDict()
        """Digests of keys that were valid lately: behind a proxy everybody has the address of whoever guesses there."""

    async def admit(self, request: Request, wanted: str, inner: Handler) -> Response:
        """The answer of `inner`, or why it is not asked."""
        plane, request_id, address = self._plane, request_id_of(request), address_of(request)
        text = key_text_of(request)
        digest = sha256(text.encode("utf-8", "replace")).digest()
        guesses = self._rates.guesses_wait(address, plane.clock.now())
        if guesses and is_key(text) and digest not in self._seen:
            return ProblemAnswer(_too_often(guesses), "", request_id)
        found = await authenticate(plane, text, address, request_id)
        if not isinstance(found, Success):
            problem, detail = error_of(found)
            if problem is KEY_REFUSED and is_key(text):
                self._rates.charge_guess(address, plane.clock.now())
            return ProblemAnswer(problem, detail, request_id)
        actor = value_of(found)
        self._see(digest)
        wait = self._rates.wait(actor.act.key, plane.clock.now())
        if wait:
            return ProblemAnswer(_too_often(wait), "", request_id)
        if not _is_permitted(actor, wanted, request.path_params.get("account")):
            needed = f"It needs the scope {wanted}, on this account." if wanted else ""
            return ProblemAnswer(SCOPE_MISSING, needed, request_id)
        request.state.actor = actor
        repeated = request.headers.get(_IDEMPOTENCY_KEY)
        if repeated is None or request.method in {"GET", "HEAD"}:
            return await inner(request)
        return await self._repeats.answer(request, actor, text, repeated, inner)

    def _see(self, digest: bytes) -> None:
        self._seen[digest] = None
        self._seen.move_to_end(digest)
        if len(self._seen) > _SEEN_MAX:
            self._seen.popitem(last=False)


@final
class ScopedRoute(APIRoute):
    """A route behind the admission of its application."""

    @override
    def get_route_handler(self) -> Handler:
        """What answers a request to this route."""
        inner = super().get_route_handler()
        wanted = scope_named(self.openapi_extra)

        async def handler(request: Request) -> Response:
            admission: Admission = request.app.state.admission
            return await admission.admit(request, wanted, inner)

        return handler


def scope_named(described: Mapping[str, object] | None) -> str:
    """The scope that a route's description names; "" lets nobody in."""
    return str((described or {}).get(SCOPE, ""))


def account_of(text: object) -> AccountId | None:
    """The account that a path names; None when it names none, or none that could be."""
    if not isinstance(text, str):
        return None
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return AccountId(raw) if len(raw) == ACCOUNT_BYTES else None


def _too_often(seconds: int) -> Problem:
    """The edge's own problem, said by another hop."""
    return replace(rate_limited(seconds), hop=Hop.CONTROL)


def _is_permitted(actor: Actor, wanted: str, account: object) -> bool:
    if wanted == ANY_SCOPE:
        return True
    scope = scope_of(wanted)
    return scope is not None and actor.may(scope, account_of(account))
