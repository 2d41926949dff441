"""The dashboard put together: every door, and the files that never change under their address."""

from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from tunnel.api.pages import accounts, live_sessions, names, overview, people, tokens, trail, used
from tunnel.api.pages.desk import Desk, Tries
from tunnel.api.pages.doors import HEADERS, YEAR_SECONDS, Door, route_of, trouble_page
from tunnel.api.pages.live import live_routes
from tunnel.api.pages.oidc import OidcClient
from tunnel.api.pages.rendering import STATIC
from tunnel.api.pages.settings import DashboardSettings
from tunnel.api.pages.sign_in import sign_in_routes
from tunnel.api.pages.visit import NOT_FOUND
from tunnel.api.plane import Plane
from tunnel.api.rates import Rates
from tunnel.core.control.roles import Scope

_FILES: Final = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

DOORS: Final[tuple[Door, ...]] = (
    Door("GET", "/", Scope.ACCOUNT_READ, overview.overview),
    Door("GET", "/accounts", Scope.OPERATE, accounts.accounts),
    Door("POST", "/accounts", Scope.OPERATE, accounts.create),
    Door("GET", "/accounts/one", Scope.OPERATE, accounts.account),
    Door("POST", "/accounts/change", Scope.OPERATE, accounts.change),
    Door("GET", "/accounts/suspend", Scope.OPERATE, accounts.ask_suspend),
    Door("POST", "/accounts/suspend", Scope.OPERATE, accounts.suspend),
    Door("POST", "/accounts/resume", Scope.OPERATE, accounts.resume),
    Door("GET", "/sessions", Scope.SESSION_READ, live_sessions.sessions),
    Door("GET", "/sessions/{session}/kick", Scope.SESSION_WRITE, live_sessions.ask_kick),
    Door("POST", "/sessions/{session}/kick", Scope.SESSION_WRITE, live_sessions.kick),
    Door("GET", "/sessions/{session}/drain", Scope.SESSION_WRITE, live_sessions.ask_drain),
    Door("POST", "/sessions/{session}/drain", Scope.SESSION_WRITE, live_sessions.drain),
    Door("GET", "/endpoints", Scope.SESSION_READ, live_sessions.endpoints),
    Door("GET", "/endpoints/{name}", Scope.SESSION_READ, live_sessions.endpoint),
    Door("GET", "/tokens", Scope.TOKEN_READ, tokens.tokens, needs_account=True),
    Door("POST", "/tokens", Scope.TOKEN_WRITE, tokens.mint, needs_account=True),
    Door("GET", "/tokens/inspect", Scope.TOKEN_READ, tokens.inspect),
    Door("POST", "/tokens/explain", Scope.TOKEN_READ, tokens.explain),
    Door("POST", "/tokens/narrow", Scope.TOKEN_READ, tokens.narrow),
    Door("POST", "/tokens/revoke", Scope.TOKEN_WRITE, tokens.revoke_pasted),
    Door("GET", "/tokens/{token}/revoke", Scope.TOKEN_WRITE, tokens.ask_revoke),
    Door("POST", "/tokens/{token}/revoke", Scope.TOKEN_WRITE, tokens.revoke_one),
    Door("GET", "/names", Scope.NAME_READ, names.names, needs_account=True),
    Door("POST", "/names", Scope.NAME_WRITE, names.reserve, needs_account=True),
    Door("GET", "/names/{name}/release", Scope.NAME_WRITE, names.ask_release),
    Door("POST", "/names/{name}/release", Scope.NAME_WRITE, names.release),
    Door("GET", "/usage", Scope.USAGE_READ, used.usage, needs_account=True),
    Door("GET", "/people", Scope.ACCOUNT_READ, people.people),
    Door("POST", "/people/members", Scope.MEMBER_WRITE, people.add_member),
    Door("POST", "/people/members/change", Scope.MEMBER_WRITE, people.change_member),
    Door("POST", "/people/keys", Scope.KEY_WRITE, people.mint_key),
    Door("GET", "/people/keys/{key}/revoke", Scope.KEY_WRITE, people.ask_revoke_key),
    Door("POST", "/people/keys/{key}/revoke", Scope.KEY_WRITE, people.revoke_key),
    Door("GET", "/audit", Scope.AUDIT_READ, trail.audit),
)
"""Every page and every action, with the right it takes. Narrowing takes none but to read: it is done with what its
holder has, and could be done offline.
"""


NO_SETTINGS: Final = DashboardSettings()
"""A dashboard on this machine, by plain http, with keys alone."""


def desk_of(plane: Plane, settings: DashboardSettings) -> Desk:
    """A dashboard over one plane."""
    oidc = OidcClient(settings.oidc) if settings.oidc is not None else None
    return Desk(plane, settings.url, oidc, Tries(), Rates(plane.settings.requests_second))


def page_routes(desk: Desk) -> list[BaseRoute]:
    """Every route of the dashboard."""
    return [
        *sign_in_routes(desk),
        *(route_of(desk, door) for door in DOORS),
        *live_routes(desk, DOORS),
        Route("/static/{file}", _static, methods=["GET"], include_in_schema=False),
    ]


async def _static(request: Request) -> Response:
    """One of the three files; its address holds its digest, so that it may be kept."""
    file = str(request.path_params["file"])
    kind = _FILES.get(file)
    if kind is None:
        return trouble_page(NOT_FOUND, None)
    kept = {"Cache-Control": f"public, max-age={YEAR_SECONDS}, immutable"}
    return FileResponse(STATIC / file, headers={**HEADERS, **kept}, media_type=kind)
