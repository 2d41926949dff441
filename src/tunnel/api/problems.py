"""What the API answers when it does not do as asked: problem+json as at the edge, with codes that stay (RFC 9457)."""

import json
from collections.abc import Mapping
from typing import Final, assert_never, final

from starlette.responses import Response

from tunnel.core.base.problem import Hop, Problem
from tunnel.store.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    QuotaExceeded,
    StoreError,
    StoreUnavailable,
    Unstorable,
    describe,
)

PROBLEM_TYPE: Final = "application/problem+json"
_WHY_CHARS_MAX: Final = 200

KEY_NEEDED: Final = Problem(
    "key-needed", 401, Hop.CONTROL, "This needs an API key", "Send it as `Authorization: Bearer tnlk_...`."
)
KEY_REFUSED: Final = Problem(
    "key-refused", 401, Hop.CONTROL, "The API key is not valid", "It is unknown, revoked or expired; make a new one."
)
SCOPE_MISSING: Final = Problem(
    "scope-missing",
    403,
    Hop.CONTROL,
    "The API key does not allow this",
    "Use one of this account, with the scope that the description of the API names.",
)
NO_SUCH_PLACE: Final = Problem(
    "no-such-place", 404, Hop.CONTROL, "There is nothing at this path", "See /api/v1/openapi.json for what there is."
)
NOT_FOUND: Final = Problem("not-found", 404, Hop.CONTROL, "There is no such thing", "Look at the list.")
NO_SUCH_PAGE: Final = Problem(
    "no-such-page", 404, Hop.CONTROL, "There is no such page", "Give back `next` of the page before, as it was."
)
METHOD_NOT_ALLOWED: Final = Problem(
    "method-not-allowed",
    405,
    Hop.CONTROL,
    "This path does not take that method",
    "The Allow field says which it takes.",
)
ALREADY_EXISTS: Final = Problem("already-exists", 409, Hop.CONTROL, "Such a thing is there already", "Choose another.")
CONFLICT: Final = Problem("conflict", 409, Hop.CONTROL, "What is there does not allow this", "See the detail.")
IN_PROGRESS: Final = Problem(
    "request-in-progress", 409, Hop.CONTROL, "A request with this idempotency key is running", "Ask again shortly.", 1
)
KEY_REUSED: Final = Problem(
    "idempotency-key-reused",
    422,
    Hop.CONTROL,
    "This idempotency key was used for another request",
    "Use a new one for each request; repeat one only with the same request.",
)
BODY_TOO_LONG: Final = Problem(
    "body-too-long", 413, Hop.CONTROL, "The request body is longer than this API takes", "Send at most 64 KiB."
)
NOT_JSON: Final = Problem("not-json", 400, Hop.CONTROL, "The request body is not JSON", "Send JSON in UTF-8.")
NOT_VALID: Final = Problem(
    "not-valid", 422, Hop.CONTROL, "The request is not as its description says", "`errors` names each place."
)
QUOTA_EXCEEDED: Final = Problem(
    "quota-exceeded",
    402,
    Hop.CONTROL,
    "The plan of this account does not allow more",
    "Release one, or change the plan.",
)
REQUEST_SLOW: Final = Problem(
    "request-timeout", 408, Hop.CONTROL, "The request did not arrive in time", "Send it again without a pause."
)
STORE_AWAY: Final = Problem(
    "store-away", 503, Hop.CONTROL, "The database cannot be used now", "Tunnels go on; try again shortly.", 2
)
SERVER_AWAY: Final = Problem(
    "server-away", 503, Hop.CONTROL, "The server beside this process does not answer", "Try again shortly.", 2
)
TOO_SLOW: Final = Problem("too-slow", 504, Hop.CONTROL, "The answer took too long", "Try again.", 5)
INTERNAL: Final = Problem(
    "internal", 500, Hop.CONTROL, "A defect of this program", "Please report it with the request ID."
)


@final
class ProblemAnswer(Response):
    """An answer that says what went wrong; `errors` names places in the request, if there are any."""

    def __init__(
        self,
        problem: Problem,
        detail: str,
        request_id: str,
        errors: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        more = dict(headers or {})
        if problem.retry_seconds:
            more["Retry-After"] = str(problem.retry_seconds)
        if problem.status == KEY_NEEDED.status:
            more["WWW-Authenticate"] = 'Bearer realm="tunnel"'
        body = problem_body(problem, detail, request_id, errors)
        super().__init__(body, problem.status, more, PROBLEM_TYPE)


def problem_body(problem: Problem, detail: str, request_id: str, errors: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The members of RFC 9457 and those that the edge adds, in ASCII; retry_seconds where waiting helps."""
    told: dict[str, object] = {
        "type": f"urn:tunnel:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "hop": problem.hop.value,
        "detail": detail or problem.advice,
        "request_id": request_id,
    }
    if problem.retry_seconds:
        told["retry_seconds"] = problem.retry_seconds
    if errors:
        told["errors"] = [{"at": at[:_WHY_CHARS_MAX], "why": why[:_WHY_CHARS_MAX]} for at, why in errors]
    return json.dumps(told).encode("ascii") + b"\n"


def problem_of_store(error: StoreError) -> tuple[Problem, str]:
    """What a failure of the store is to who asked, and the sentence about it; what a database says stays with us."""
    match error:
        case NotFound():
            return NOT_FOUND, describe(error)
        case AlreadyExists():
            return ALREADY_EXISTS, describe(error)
        case Conflict():
            return CONFLICT, describe(error)
        case QuotaExceeded():
            return QUOTA_EXCEEDED, describe(error)
        case Unstorable():
            return NOT_VALID, describe(error)
        case StoreUnavailable():
            return STORE_AWAY, ""
        case _:
            assert_never(error)
