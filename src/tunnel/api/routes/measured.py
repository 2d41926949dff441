"""`/metrics`, for Prometheus. Open to this machine, as names and accounts are in none of it; others need a key.

Whoever comes by a proxy is not of this machine, wherever the proxy runs and whether or not it is trusted.
"""

from fastapi import APIRouter, Request
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from tunnel.api.door import is_this_machine
from tunnel.api.metrics import registry_of, scrape
from tunnel.api.plane import Plane
from tunnel.api.proxied import is_forwarded
from tunnel.api.scoped import Admission
from tunnel.core.control.roles import Scope

router = APIRouter(include_in_schema=False)


@router.get("/metrics", response_model=None)
async def show_metrics(request: Request) -> Response:
    """All metrics, in the form that `Accept` asks for."""
    plane: Plane = request.app.state.plane
    if is_this_machine(plane.settings.api.host) and not is_forwarded(request.scope["headers"]):
        return await _text(request)
    admission: Admission = request.app.state.admission
    return await admission.admit(request, Scope.OPERATE.value, _text)


async def _text(request: Request) -> Response:
    plane: Plane = request.app.state.plane
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry_of(await scrape(plane))), headers={"Content-Type": content_type})
