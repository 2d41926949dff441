"""`/readyz`: whether all that this process is for can be done now, and what cannot; no secrets, no key needed."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse

from tunnel.api.calls import plane_of
from tunnel.api.plane import Plane
from tunnel.core.base.outcome import Success, value_of

router = APIRouter(include_in_schema=False)
_READY: Final = 200
_NOT_READY: Final = 503
_RETRY_SECONDS: Final = 2


@router.get("/readyz", response_model=None)
async def show_readiness(plane: Annotated[Plane, Depends(plane_of)]) -> JSONResponse:
    """200 when the database answers and every service does its work; else 503 and which does not."""
    health = await plane.store.health()
    parts: dict[str, object] = {"database": {"ready": isinstance(health, Success), "detail": "cannot be used now"}}
    if isinstance(health, Success):
        kind = value_of(health)
        parts["database"] = {"ready": True, "detail": f"{kind.kind}, migration {kind.migration}"}
    standings = plane.board.standings()
    for each in standings:
        parts[each.service] = {"ready": each.is_ready, "detail": each.detail}
    is_ready = isinstance(health, Success) and all(each.is_ready for each in standings)
    headers = {} if is_ready else {"Retry-After": str(_RETRY_SECONDS)}
    told = {"status": "ready" if is_ready else "not ready", "parts": parts}
    return JSONResponse(told, _READY if is_ready else _NOT_READY, headers)
