"""The one way into every page: who is it, may they, is the form theirs; then the page, framed and guarded (DASH-DOOR).

A page is a function from a visit to an answer and knows nothing of cookies, headers or HTML. What a door asks for
stands in its row of the table, so that one test can try every row as every role.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tunnel.api.actor import address_of, request_id_of
from tunnel.api.pages.cookies import SESSION, Origin, cookie_name, is_own_form, origin_of
from tunnel.api.pages.desk import Desk
from tunnel.api.pages.notices import notice_of
from tunnel.api.pages.rendering import Frame, has_live_parts, render
from tunnel.api.pages.signed_in import viewer_of
from tunnel.api.pages.visit import (
    CSRF_FIELD,
    FORM_REFUSED,
    NOT_ALLOWED,
    NOT_FOUND,
    Answer,
    Moved,
    Page,
    Trouble,
    Viewer,
    Visit,
    read_form,
    trouble_of,
)
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.account import Account
from tunnel.core.control.act import Act
from tunnel.core.control.page import Page as StorePage
from tunnel.core.control.roles import Scope
from tunnel.core.token.token import ACCOUNT_BYTES, AccountId

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""`same-origin`, not `no-referrer`: under the latter browsers send `Origin: null` with our own forms."""
YEAR_SECONDS: Final = 31_536_000

Handler: TypeAlias = Callable[[Desk, Visit], Awaitable[Answer]]


@final
@dataclass(frozen=True, slots=True)
class Door:
    """One page or one action: `scope` is the right it takes, `needs_account` that it is about one account."""

    method: str
    path: str
    scope: Scope
    handler: Handler
    needs_account: bool = False


def route_of(desk: Desk, door: Door) -> Route:
    """The door as a route of the application."""

    async def enter(request: Request) -> Response:
        viewer = await viewer_now(desk, request, is_used=True)
        if not isinstance(viewer, Success):
            return trouble_page(error_of(viewer), None)
        person = value_of(viewer)
        if person is None:
            return to_sign_in(request)
        wait = desk.rates.wait(person.cookie_hash.hex(), desk.plane.clock.now())
        if wait:
            return trouble_page(too_often(wait), person)
        visit = await visit_of(desk, door, request, person)
        if not isinstance(visit, Success):
            return trouble_page(error_of(visit), person)
        return _answered(await door.handler(desk, value_of(visit)), value_of(visit), request)

    return Route(door.path, enter, methods=[door.method], include_in_schema=False)


def too_often(seconds: int) -> Trouble:
    """One browser session asks for more than people can look at."""
    advice = "Nothing was changed by this request. The page comes again by itself."
    return Trouble(429, "rate-limited", "Too many requests", advice, seconds)


def origin_here(desk: Desk, request: Request) -> Origin:
    """Where the browser thinks it is."""
    return origin_of(desk.url, request.headers.get("host", ""), request.url.scheme)


async def viewer_now(desk: Desk, request: Request, *, is_used: bool) -> Outcome[Viewer | None, Trouble]:
    """Who sends this request, by their cookie."""
    cookie = request.cookies.get(cookie_name(SESSION, origin_here(desk, request)), "")
    found = await viewer_of(desk.plane.store, cookie, desk.plane.clock.unix(), is_used=is_used)
    return found if isinstance(found, Success) else Failure(trouble_of(error_of(found)))


async def visit_of(desk: Desk, door: Door, request: Request, viewer: Viewer) -> Outcome[Visit, Trouble]:
    """The visit, once it is known that this viewer may go through this door with this form."""
    if not viewer.may(door.scope):
        return Failure(NOT_ALLOWED)
    form: dict[str, tuple[str, ...]] = {}
    if door.method == "POST":
        read = read_form(await request.body(), request.headers.get("content-type", ""))
        if not isinstance(read, Success):
            return read
        form = value_of(read)
        token = next(iter(form.get(CSRF_FIELD, ())), "")
        if not is_own_form(origin_here(desk, request), request.headers.get("origin", ""), viewer.csrf, token):
            return Failure(FORM_REFUSED)
    query = dict(request.query_params)
    wanted = next(iter(form.get("account", ())), query.get("account", ""))
    account = await _account_of(desk, viewer, wanted, is_needed=door.needs_account)
    if not isinstance(account, Success):
        return account
    act = Act(viewer.identity, address_of(request), viewer.key, request_id_of(request))
    names = {name: str(value) for name, value in request.path_params.items()}
    now = desk.plane.clock.unix()
    return Success(Visit(viewer, value_of(account), request.url.path, names, query, form, act, now))


async def _account_of(desk: Desk, viewer: Viewer, wanted: str, *, is_needed: bool) -> Outcome[Account | None, Trouble]:
    """The account that it is about: a member's own; an operator names one, if there are several."""
    chosen = viewer.account if viewer.account is not None else account_id_of(wanted)
    if viewer.account is not None and wanted and account_id_of(wanted) != viewer.account:
        return Failure(NOT_FOUND)
    if chosen is not None:
        found = await desk.plane.store.account(chosen)
        return found if isinstance(found, Success) else Failure(trouble_of(error_of(found)))
    if wanted:
        return Failure(NOT_FOUND)
    if not is_needed:
        return Success(None)
    accounts = await desk.plane.store.accounts(StorePage(limit=2))
    if not isinstance(accounts, Success):
        return Failure(trouble_of(error_of(accounts)))
    items = value_of(accounts).items
    return Success(items[0] if len(items) == 1 else None)


def account_id_of(text: str) -> AccountId | None:
    """The account that 32 hexadecimal digits name."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return AccountId(raw) if len(raw) == ACCOUNT_BYTES else None


def _answered(answer: Answer, visit: Visit, request: Request) -> Response:
    if isinstance(answer, Moved):
        return moved(answer.path)
    if isinstance(answer, Trouble):
        return trouble_page(answer, visit.viewer)
    return HTMLResponse(render(answer, frame_of(visit, answer, request)), answer.status, HEADERS)


def frame_of(visit: Visit, page: Page, request: Request) -> Frame:
    """What stands around this page for this viewer."""
    is_live = request.method == "GET" and has_live_parts(page)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    live = f"/live?page={quote(asked, safe='')}" if is_live else ""
    return Frame(visit.viewer, visit, visit.viewer.csrf, notice_of(visit.query.get("done", "")), live)


def moved(path: str, cookies: tuple[str, ...] = ()) -> Response:
    """On to another page, by GET."""
    answer = RedirectResponse(path, 303, HEADERS)
    for cookie in cookies:
        answer.headers.append("Set-Cookie", cookie)
    return answer


def to_sign_in(request: Request) -> Response:
    """To the sign-in page, which brings a reader back to where they were going."""
    wanted = request.url.path if request.method == "GET" else "/"
    return moved(f"/sign-in?to={quote(wanted, safe='/')}" if wanted != "/" else "/sign-in")


def trouble_page(trouble: Trouble, viewer: Viewer | None) -> Response:
    """The page that says why not; with a Retry-After it also comes again by itself."""
    page = Page("trouble.html", trouble.title, trouble, trouble.status)
    headers = dict(HEADERS)
    if trouble.retry_seconds:
        headers["Retry-After"] = str(trouble.retry_seconds)
        headers["Refresh"] = str(trouble.retry_seconds)
    frame = Frame(viewer, None, "", "", "")
    return HTMLResponse(render(page, frame), trouble.status, headers)
