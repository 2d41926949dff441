"""Signing in with an API key or a provider, signing out, and going over to another account of the same person.

These are the only pages that nobody has to be signed in for. Their form has a token too, in a cookie of its own, so
that nobody can be signed in as somebody else by a page of elsewhere.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from tunnel.api.actor import address_of, authenticate, request_id_of
from tunnel.api.pages import oidc
from tunnel.api.pages.cookies import (
    FLOW,
    FORM,
    SESSION,
    Origin,
    cookie_name,
    form_token,
    is_id,
    is_own_form,
    new_id,
    set_cookie,
)
from tunnel.api.pages.desk import Desk
from tunnel.api.pages.doors import HEADERS, moved, origin_here, to_sign_in, trouble_page, viewer_now
from tunnel.api.pages.oidc import FLOW_SECONDS, Person
from tunnel.api.pages.rendering import Frame, render
from tunnel.api.pages.signed_in import ABSOLUTE_SECONDS, open_session
from tunnel.api.pages.visit import CSRF_FIELD, FORM_REFUSED, NOT_FOUND, Page, Trouble, Viewer, read_form, trouble_of
from tunnel.core.audit.entry import AuditFacts
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.account import Member
from tunnel.core.control.act import Act
from tunnel.core.control.roles import Role
from tunnel.core.token.token import AccountId
from tunnel.store.errors import StoreError

_RANDOM_BYTES: Final = 32
_FORM_SECONDS: Final = 3600
_WAYS_MAX: Final = 200
"""Characters of the page to go back to; a longer one is not ours."""
_SLOW_DOWN: Final = Trouble(
    429, "too-many-tries", "Too many sign-ins failed", "Wait a minute, then try again with the right key.", 60
)
_NOT_A_MEMBER: Final = Trouble(
    403,
    "not-a-member",
    "You are not a member of any account here",
    "The provider knows you, this server does not: ask an owner to add your e-mail address or subject as a member.",
)


def sign_in_routes(desk: Desk) -> list[BaseRoute]:
    """The pages for those who are not signed in yet, and the way out."""

    async def show(request: Request) -> Response:
        return _form(desk, request, "")

    async def take_key(request: Request) -> Response:
        return await _take_key(desk, request)

    async def begin(request: Request) -> Response:
        return await _begin(desk, request)

    async def back(request: Request) -> Response:
        return await _back(desk, request)

    async def leave(request: Request) -> Response:
        return await _leave(desk, request)

    async def switch(request: Request) -> Response:
        return await _switch(desk, request)

    return [
        Route("/sign-in", show, methods=["GET"], include_in_schema=False),
        Route("/sign-in", take_key, methods=["POST"], include_in_schema=False),
        Route("/sign-in/provider", begin, methods=["GET"], include_in_schema=False),
        Route("/sign-in/back", back, methods=["GET"], include_in_schema=False),
        Route("/sign-out", leave, methods=["POST"], include_in_schema=False),
        Route("/switch", switch, methods=["POST"], include_in_schema=False),
    ]


def _form(desk: Desk, request: Request, wrong: str, status: int = 200) -> Response:
    origin = origin_here(desk, request)
    sent = request.cookies.get(cookie_name(FORM, origin), "")
    held = sent if is_id(sent) else new_id()
    page = Page("sign_in.html", "Sign in", {"provider": desk.oidc is not None, "to": _way(request)}, status)
    frame = Frame(None, None, form_token(held), "", "")
    shown = Page(page.template, page.title, page.record, status, {"key": wrong} if wrong else {})
    answer = HTMLResponse(render(shown, frame), status, HEADERS)
    answer.headers.append("Set-Cookie", set_cookie(FORM, held, origin, _FORM_SECONDS))
    return answer


def _way(request: Request) -> str:
    """The page of ours that a reader was on the way to."""
    wanted = request.query_params.get("to", "/")
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and len(wanted) <= _WAYS_MAX
    return wanted if is_ours and wanted.isprintable() else "/"


async def _take_key(desk: Desk, request: Request) -> Response:
    plane, origin, address = desk.plane, origin_here(desk, request), address_of(request)
    form = read_form(await request.body(), request.headers.get("content-type", ""))
    if not isinstance(form, Success):
        return trouble_page(error_of(form), None)
    held = request.cookies.get(cookie_name(FORM, origin), "")
    seen = next(iter(value_of(form).get(CSRF_FIELD, ())), "")
    if not held or not is_own_form(origin, request.headers.get("origin", ""), form_token(held), seen):
        return trouble_page(FORM_REFUSED, None)
    if not desk.tries.may_try(address, plane.clock.now()):
        return trouble_page(_SLOW_DOWN, None)
    text = next(iter(value_of(form).get("key", ())), "").strip()
    shown = await authenticate(plane, text, address, request_id_of(request))
    if not isinstance(shown, Success):
        problem, _ = error_of(shown)
        if problem.retry_seconds:
            advice = "Tunnels, agents and visitors go on without it. Try again in a moment."
            return trouble_page(
                Trouble(problem.status, problem.code, problem.title, advice, problem.retry_seconds), None
            )
        desk.tries.note_failed(address)
        return _form(desk, request, "This is no valid API key: it may be mistyped, revoked or expired.", 401)
    actor = value_of(shown)
    # By its public part and not by its label, which another account's key may share: signing out goes by identity.
    return await _enter(desk, request, f"key:{actor.act.key}", actor.account, actor.role, actor.act.key)


async def _enter(
    desk: Desk, request: Request, identity: str, account: AccountId | None, role: Role, key: str
) -> Response:
    """A new session, and on to where the reader was going; the one before, if there was one, ends."""
    now, random = desk.plane.clock.unix(), desk.plane.entropy.random_bytes(_RANDOM_BYTES)
    before = await viewer_now(desk, request, is_used=False)
    if isinstance(before, Success) and (old := value_of(before)) is not None:
        dropped = await desk.plane.store.drop_web_session(old.cookie_hash)
        if not isinstance(dropped, Success):
            return trouble_page(trouble_of(error_of(dropped)), None)
    noted = await _note(desk, request, "session.sign-in", Act(identity, address_of(request), key, ""), account)
    if not isinstance(noted, Success):
        return trouble_page(trouble_of(error_of(noted)), None)
    opened = await open_session(desk.plane.store, identity, account, role, key, random, now)
    if not isinstance(opened, Success):
        return trouble_page(trouble_of(error_of(opened)), None)
    origin = origin_here(desk, request)
    cookies = (
        set_cookie(SESSION, value_of(opened), origin, ABSOLUTE_SECONDS),
        set_cookie(FORM, "", origin, 0),
        set_cookie(FLOW, "", origin, 0),
    )
    return moved(_way(request), cookies)


async def _note(
    desk: Desk, request: Request, action: str, act: Act, account: AccountId | None
) -> Outcome[None, StoreError]:
    """One line of audit; what cannot be written down does not happen."""
    whole = Act(act.identity, act.address, act.key, request_id_of(request))
    facts = AuditFacts(whole, action, act.identity, account, "", "", desk.plane.clock.unix())
    noted = await desk.plane.store.note_audit(facts)
    return Success(None) if isinstance(noted, Success) else noted


async def _begin(desk: Desk, request: Request) -> Response:
    """To the provider. A link and no form: the policy of our pages would not let a form end elsewhere."""
    if desk.oidc is None:
        return trouble_page(NOT_FOUND, None)
    origin = origin_here(desk, request)
    begun = await desk.oidc.begin(f"{origin.text()}/sign-in/back", desk.plane.clock.now())
    if not isinstance(begun, Success):
        return _form(desk, request, oidc.describe(error_of(begun)), 503)
    started = value_of(begun)
    return moved(started.url, (set_cookie(FLOW, started.cookie, origin, FLOW_SECONDS),))


async def _back(desk: Desk, request: Request) -> Response:
    if desk.oidc is None:
        return trouble_page(NOT_FOUND, None)
    clock = desk.plane.clock
    cookie = request.cookies.get(cookie_name(FLOW, origin_here(desk, request)), "")
    ended = await desk.oidc.finish(cookie, dict(request.query_params), clock.now(), clock.unix())
    if not isinstance(ended, Success):
        return _form(desk, request, oidc.describe(error_of(ended)), 401)
    found = await _membership(desk, value_of(ended))
    if not isinstance(found, Success):
        return trouble_page(error_of(found), None)
    member = value_of(found)
    return await _enter(desk, request, member.identity, member.account, member.role, "")


async def _membership(desk: Desk, person: Person) -> Outcome[Member, Trouble]:
    """The first account that one of the person's identities is a member of."""
    for identity in person.identities:
        found = await desk.plane.store.memberships(identity)
        if not isinstance(found, Success):
            return Failure(trouble_of(error_of(found)))
        for member in value_of(found):
            return Success(member)
    return Failure(_NOT_A_MEMBER)


async def _person_with_form(
    desk: Desk, request: Request
) -> Outcome[tuple[Viewer, dict[str, tuple[str, ...]]], Response]:
    """Who sends a form that takes no right but to be signed in."""
    found = await viewer_now(desk, request, is_used=True)
    if not isinstance(found, Success):
        return Failure(trouble_page(error_of(found), None))
    viewer = value_of(found)
    if viewer is None:
        return Failure(to_sign_in(request))
    form = read_form(await request.body(), request.headers.get("content-type", ""))
    if not isinstance(form, Success):
        return Failure(trouble_page(error_of(form), viewer))
    seen = next(iter(value_of(form).get(CSRF_FIELD, ())), "")
    if not is_own_form(origin_here(desk, request), request.headers.get("origin", ""), viewer.csrf, seen):
        return Failure(trouble_page(FORM_REFUSED, viewer))
    return Success((viewer, value_of(form)))


async def _leave(desk: Desk, request: Request) -> Response:
    found = await _person_with_form(desk, request)
    if not isinstance(found, Success):
        return error_of(found)
    viewer, form = value_of(found)
    store = desk.plane.store
    dropped = await store.drop_web_session(viewer.cookie_hash)
    if isinstance(dropped, Success) and form.get("everywhere"):
        everywhere = await store.drop_web_sessions(viewer.identity)
        dropped = Success(None) if isinstance(everywhere, Success) else everywhere
    if not isinstance(dropped, Success):
        return trouble_page(trouble_of(error_of(dropped)), viewer)
    act = Act(viewer.identity, address_of(request), viewer.key, "")
    noted = await _note(desk, request, "session.sign-out", act, viewer.account)
    if not isinstance(noted, Success):
        return trouble_page(trouble_of(error_of(noted)), None)
    return moved("/sign-in", (_no_session(origin_here(desk, request)),))


def _no_session(origin: Origin) -> str:
    return set_cookie(SESSION, "", origin, 0)


async def _switch(desk: Desk, request: Request) -> Response:
    """Over to another account of the same person: a session of its own, under a new cookie."""
    found = await _person_with_form(desk, request)
    if not isinstance(found, Success):
        return error_of(found)
    viewer, form = value_of(found)
    wanted = next(iter(form.get("to_account", ())), "")
    memberships = await desk.plane.store.memberships(viewer.identity) if not viewer.key else Success(())
    if not isinstance(memberships, Success):
        return trouble_page(trouble_of(error_of(memberships)), viewer)
    for member in value_of(memberships):
        if member.account.hex() == wanted:
            return await _enter(desk, request, member.identity, member.account, member.role, "")
    return trouble_page(NOT_FOUND, viewer)
