"""The live parts of a page, as server-sent events: the same page, by the same door, as often as it changes (ADR 0075).

A stream holds nothing but digests of what it sent last. It ends with its reader's session, and in any case after ten
minutes: the browser then comes again by itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Final, final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from tunnel.api.pages.desk import Desk
from tunnel.api.pages.doors import HEADERS, Door, trouble_page, viewer_now, visit_of
from tunnel.api.pages.rendering import Frame, has_live_parts, live_parts
from tunnel.api.pages.visit import NOT_FOUND, Page, Trouble
from tunnel.core.base.outcome import Success, value_of

EVERY_SECONDS: Final = 2.0
"""Between two renderings: quick enough to watch, slow enough to cost nothing."""
STREAM_SECONDS_MAX: Final = 600.0
STREAMS_MAX: Final = 64
"""For all readers together; who comes later reloads by hand."""
_RETRY_MILLISECONDS: Final = 3000
_BUSY: Final = Trouble(
    503, "too-many-streams", "Too many pages are live at once", "Reload the page by hand, or close others.", 30
)


@final
class Streams:
    """How many streams are open."""

    def __init__(self) -> None:
        self.open = 0


def live_routes(desk: Desk, doors: tuple[Door, ...]) -> list[BaseRoute]:
    """The one address of all live parts."""
    streams = Streams()
    by_route = tuple((Route(door.path, _nothing, methods=["GET"]), door) for door in doors if door.method == "GET")

    async def follow(request: Request) -> Response:
        wanted = request.query_params.get("page", "")
        found = _found(by_route, wanted)
        if found is None:
            return trouble_page(NOT_FOUND, None)
        if streams.open >= STREAMS_MAX:
            return trouble_page(_BUSY, None)
        door, scope = found
        inner = Request({**request.scope, **scope}, request.receive)
        if not await _parts(desk, door, inner):
            return trouble_page(NOT_FOUND, None)
        events = _events(desk, door, inner, streams)
        return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)

    return [Route("/live", follow, methods=["GET"], include_in_schema=False)]


async def _nothing(_request: Request) -> Response:
    return trouble_page(NOT_FOUND, None)


def _found(by_route: tuple[tuple[Route, Door], ...], wanted: str) -> tuple[Door, dict[str, object]] | None:
    """The door of a page's address, and what that address adds to the request."""
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path.startswith("/"):
        return None
    scope: dict[str, object] = {"type": "http", "method": "GET", "path": parts.path, "root_path": ""}
    for route, door in by_route:
        _, child = route.matches(scope)
        if child and route.path_regex.fullmatch(parts.path):
            query = parts.query.encode("ascii", "replace")
            named = child.get("path_params", {})
            return door, {"path": parts.path, "query_string": query, "path_params": named, "method": "GET"}
    return None


async def _parts(desk: Desk, door: Door, request: Request) -> dict[str, str] | None:
    """The live parts as they are now; None when there are none (any more) for this reader; {} when nobody can say."""
    viewer = await viewer_now(desk, request, is_used=False)
    if not isinstance(viewer, Success):
        # A store that is away for a moment: the parts stay as they are, the stream goes on.
        return {}
    person = value_of(viewer)
    if person is None:
        return None
    visit = await visit_of(desk, door, request, person)
    if not isinstance(visit, Success):
        return None
    answer = await door.handler(desk, value_of(visit))
    if isinstance(answer, Trouble) and answer.retry_seconds:
        return {}
    if not isinstance(answer, Page) or not has_live_parts(answer):
        return None
    return live_parts(answer, Frame(person, value_of(visit), person.csrf, "", ""))


async def _events(desk: Desk, door: Door, request: Request, streams: Streams) -> AsyncIterator[bytes]:
    streams.open += 1
    try:
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        sent: dict[str, bytes] = {}
        until = desk.plane.clock.now() + STREAM_SECONDS_MAX
        while desk.plane.clock.now() < until:
            parts = await _parts(desk, door, request)
            if parts is None:
                yield b"event: over\ndata: {}\n\n"
                return
            told = False
            for name, markup in parts.items():
                digest = sha256(markup.encode()).digest()
                if sent.get(name) != digest:
                    sent[name], told = digest, True
                    yield f"event: part\ndata: {json.dumps({'id': name, 'markup': markup})}\n\n".encode()
            if not told:
                # A comment, so that a reader who is gone is noticed.
                yield b": as it was\n\n"
            await asyncio.sleep(EVERY_SECONDS)
    finally:
        streams.open -= 1
