"""The application: every route of the API, its description, and answers for what no route takes."""

import re
from typing import Final, final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from typing_extensions import override

from tunnel import __version__
from tunnel.api.actor import request_id_of
from tunnel.api.pages.doors import trouble_page
from tunnel.api.pages.mount import NO_SETTINGS, desk_of, page_routes
from tunnel.api.pages.settings import DashboardSettings
from tunnel.api.pages.visit import NOT_FOUND as NO_PAGE
from tunnel.api.plane import Plane
from tunnel.api.problems import (
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NO_SUCH_PLACE,
    NOT_JSON,
    NOT_VALID,
    PROBLEM_TYPE,
    ProblemAnswer,
)
from tunnel.api.routes import accounts, audit, keys, measured, members, names, readiness, sessions, tokens, usage
from tunnel.api.scoped import Admission
from tunnel.core.base.problem import Hop, Problem
from tunnel.core.relay.answer import wants_page
from tunnel.observe.escapes import note_escape

PREFIX: Final = "/api/v1"
_METHOD_NOT_ALLOWED: Final = 405
_NOT_FOUND: Final = 404
_ABOUT: Final = (
    "Accounts, keys, tokens, names, sessions, usage and audit of a tunnel server. Every failure is a problem "
    "(RFC 9457) whose `code` stays. Lists come a page at a time: give `next` back as `after`."
)
_NOUNS: Final = (accounts, members, keys, tokens, names, sessions, usage, audit)
_ROUTERS: Final[tuple[APIRouter, ...]] = tuple(each.noun for each in _NOUNS)


@final
class ControlApi(FastAPI):
    """The application with its description (OpenAPI 3.1), made from the types of the routes."""

    @override
    def openapi(self) -> dict[str, object]:
        """The description, made once."""
        if not self.openapi_schema:
            described = get_openapi(
                title="tunnel",
                version=__version__,
                description=_ABOUT,
                routes=self.routes,
                separate_input_output_schemas=False,
            )
            components = described.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = _PROBLEM
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "tnlk_..."}}
            self.openapi_schema = described
        return self.openapi_schema

    def methods_at(self, path: str) -> str:
        """The methods that a path takes, for Allow, where the framework has one route's; "" when it is not ours."""
        paths = self.openapi().get("paths")
        for described, methods in paths.items() if isinstance(paths, dict) else ():
            if _pattern_of(described).fullmatch(path):
                return ", ".join(sorted(method.upper() for method in methods))
        return ""


def _pattern_of(path: str) -> re.Pattern[str]:
    """What matches the paths that a path of the description stands for."""
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))


def build_app(
    plane: Plane, dashboard: DashboardSettings = NO_SETTINGS, extras: tuple[APIRouter, ...] = ()
) -> ControlApi:
    """The application over one plane, its dashboard and what else is at its root; it is called through a `Door`."""
    app = ControlApi(docs_url=None, redoc_url=None, openapi_url=f"{PREFIX}/openapi.json", redirect_slashes=False)
    app.state.plane = plane
    app.state.admission = Admission(plane)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX, responses=_RESPONSES)
    app.include_router(readiness.router)
    app.include_router(measured.router)
    for router in extras:
        app.include_router(router)
    app.router.routes.extend(page_routes(desk_of(plane, dashboard)))
    app.add_exception_handler(RequestValidationError, _on_not_valid)
    app.add_exception_handler(HTTPException, _on_refused)
    app.add_exception_handler(Exception, _on_escape)
    return app


async def _on_not_valid(request: Request, cause: Exception) -> Response:
    """Say each place of the request that is not as described, never what was seen there: it may be a secret."""
    found = cause.errors() if isinstance(cause, RequestValidationError) else []
    if any(each["type"] == "json_invalid" for each in found):
        return ProblemAnswer(NOT_JSON, "", request_id_of(request))
    errors = tuple((".".join(str(part) for part in each["loc"]), str(each["msg"])) for each in found)
    return ProblemAnswer(NOT_VALID, "", request_id_of(request), errors)


async def _on_refused(request: Request, cause: Exception) -> Response:
    """What the framework refuses by itself: no such path, no such method."""
    status = cause.status_code if isinstance(cause, HTTPException) else INTERNAL.status
    if status == _NOT_FOUND and not request.url.path.startswith("/api/") and _is_read(request):
        return trouble_page(NO_PAGE, None)
    headers = cause.headers if isinstance(cause, HTTPException) else None
    if status == _METHOD_NOT_ALLOWED and isinstance(request.app, ControlApi):
        allowed = request.app.methods_at(request.url.path)
        headers = {"Allow": allowed} if allowed else headers
    known = {_NOT_FOUND: NO_SUCH_PLACE, _METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED, NOT_JSON.status: NOT_JSON}
    unknown = Problem("refused", status, Hop.CONTROL, "The request was refused", "")
    return ProblemAnswer(known.get(status, unknown), "", request_id_of(request), headers=headers)


def _is_read(request: Request) -> bool:
    """Whether a person asks, who has more of a page than of a problem."""
    return any(wants_page(value.encode("latin-1", "replace")) for value in request.headers.getlist("accept"))


async def _on_escape(request: Request, cause: Exception) -> Response:
    """The last resort: a defect of ours costs one request, and is counted."""
    note_escape(f"{request.method} {request.scope.get('route', '')}", cause)
    return ProblemAnswer(INTERNAL, "", request_id_of(request))


def _problem(description: str) -> dict[str, object]:
    return {"description": description, "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


_RESPONSES: Final[dict[int | str, dict[str, object]]] = {
    400: _problem("The request is not JSON."),
    401: _problem("No key, or none that is valid."),
    402: _problem("The plan of the account does not allow more."),
    403: _problem("The key does not allow this."),
    404: _problem("There is no such thing."),
    408: _problem("The request did not arrive in time."),
    409: _problem("What is there does not allow this."),
    413: _problem("The request is too long."),
    422: _problem("The request is not as described."),
    429: _problem("Too many requests; Retry-After says when the next one fits."),
    503: _problem("The database or the server is away; Retry-After says when to try again."),
    504: _problem("The answer took too long."),
}
_PROBLEM: Final[dict[str, object]] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457). `code` stays, `title` and `detail` are for people.",
    "required": ["type", "title", "status", "code", "hop", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "urn:tunnel:problem: and the code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "hop": {"type": "string", "enum": [hop.value for hop in Hop]},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "retry_seconds": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["at", "why"],
                "properties": {"at": {"type": "string"}, "why": {"type": "string"}},
            },
        },
    },
    "additionalProperties": False,
}
