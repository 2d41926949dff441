"""The sample site as a running thing: pages, an event stream, a WebSocket echo, an upload that is hashed as it arrives.

aiohttp serves it (ADR 0023). Nothing here knows about tunnels: what it tells of the way is read from the request.
"""

import asyncio
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, final

from aiohttp import BodyPartReader, ClientPayloadError, WSMsgType, hdrs, web

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.demo.pages import asset, fragment, page, table_rows
from tunnel.drive.address import Address

EVENT_SECONDS: Final = 1.0
READ_BYTES: Final = 64 * 1024
MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""A WebSocket message has to be held whole to be echoed; larger ones end the socket with code 1009."""
SHUTDOWN_SECONDS: Final = 0.2
"""Streams end by themselves when told to; what is then still open is cut."""

_STOPPING: Final = web.AppKey("stopping", asyncio.Event)
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@final
@dataclass(frozen=True, slots=True)
class SiteNotStarted:
    """The system refused the address."""

    address: Address
    reason: str


@final
@dataclass(frozen=True, slots=True)
class _Arrived:
    name: str
    size: int
    digest: str


@final
class Site:
    """A started site; finished after `stop`, which ends its open streams too."""

    def __init__(self, runner: web.AppRunner, address: Address) -> None:
        self._runner = runner
        self.address: Final = address

    async def stop(self) -> None:
        """Close the listener and every connection; a second call does nothing."""
        await self._runner.cleanup()


async def start_site(listen: Address) -> Outcome[Site, SiteNotStarted]:
    """A site that accepts connections on `listen` (port 0: the system chooses; `Site.address` tells which)."""
    runner = web.AppRunner(_application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as cause:
        await runner.cleanup()
        return Failure(SiteNotStarted(listen, os.strerror(cause.errno or 0)))
    port = next((int(name[1]) for name in runner.addresses), listen.port)
    return Success(Site(runner, Address(listen.host, port)))


def _application() -> web.Application:
    application = web.Application()
    application[_STOPPING] = asyncio.Event()
    application.on_shutdown.append(_tell_streams)
    application.on_response_prepare.append(_add_headers)
    application.add_routes(
        [
            web.get("/", _index),
            web.get("/style.css", _style),
            web.get("/site.js", _script),
            web.get("/events", _events, allow_head=False),
            web.get("/echo", _echo_page),
            web.get("/ws", _echo, allow_head=False),
            web.get("/upload", _upload_page),
            web.post("/upload", _upload),
            web.put("/upload", _upload),
            web.put("/upload/{name}", _upload),  # curl -T adds the file's name to an address that ends in a slash
            web.get("/headers", _headers),
        ]
    )
    return application


async def _tell_streams(application: web.Application) -> None:
    application[_STOPPING].set()


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


async def _index(request: web.Request) -> web.Response:
    request_id = request.headers.get("X-Request-Id")
    if request_id is None:
        headline, way = "It works, without the tunnel.", "The way a request takes through it"
        explanation = "You opened the sample site directly on its own port."
    else:
        headline, way = "It works.", "The way your request came"
        explanation = (
            "This page comes from a web server that listens on a private port of one machine. It reached you through "
            "a tunnel: the machine dialled out, and your request travelled back along that connection."
        )
    texts = {
        "headline": headline,
        "explanation": explanation,
        "way": way,
        "host": request.headers.get(hdrs.X_FORWARDED_HOST, request.host),
        "listener": _listener(request),
        "request_id": request_id or "none",
        "visitor": request.headers.get(hdrs.X_FORWARDED_FOR, request.remote or "unknown"),
        "request_line": f"{request.method} {request.raw_path}",
    }
    return _html(page("Overview", "index.html", texts, {"fields": table_rows(_fields(request))}))


async def _style(_request: web.Request) -> web.Response:
    return web.Response(text=asset("style.css"), content_type="text/css", charset="utf-8")


async def _script(_request: web.Request) -> web.Response:
    return web.Response(text=asset("site.js"), content_type="text/javascript", charset="utf-8")


async def _headers(request: web.Request) -> web.Response:
    seen = {"method": request.method, "target": request.raw_path, "fields": [list(pair) for pair in _fields(request)]}
    return web.json_response(seen, dumps=_dumps)


async def _events(request: web.Request) -> web.StreamResponse:
    """One event a second until the visitor leaves or the site stops; the first at once."""
    stopping = request.app[_STOPPING]
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream"})
    await response.prepare(request)
    number = 0
    try:
        while not stopping.is_set():
            told = {"number": number, "time": f"{datetime.now(UTC):%H:%M:%S} UTC"}
            await response.write(f"id: {number}\ndata: {json.dumps(told)}\n\n".encode())
            number += 1
            await _rest(stopping, EVENT_SECONDS)
        await response.write_eof()
    except ConnectionError:
        pass  # the visitor left, which is how event streams end
    return response


async def _rest(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


async def _echo_page(_request: web.Request) -> web.Response:
    return _html(page("Echo", "echo.html", {}))


async def _echo(request: web.Request) -> web.StreamResponse:
    """Each message comes back as it was, text as text and binary as binary, until either side closes."""
    socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES_MAX)
    if not socket.can_prepare(request).ok:
        return web.Response(status=426, text="this address speaks WebSocket\n", headers={hdrs.UPGRADE: "websocket"})
    await socket.prepare(request)
    closing = asyncio.create_task(_close_when_stopping(socket, request.app[_STOPPING]))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
    except ConnectionError:
        return socket  # gone in the middle of an echo
    finally:
        closing.cancel()
    return socket


async def _close_when_stopping(socket: web.WebSocketResponse, stopping: asyncio.Event) -> None:
    await stopping.wait()
    await socket.close(code=1001, message=b"the sample site is stopping")


async def _upload_page(request: web.Request) -> web.Response:
    return _html(_upload_document(request, ""))


async def _upload(request: web.Request) -> web.Response:
    """Name, size and SHA-256 of what arrived: a page for a browser's form, JSON for anything else."""
    try:
        arrived = await _arrived(request)
    except (ConnectionError, ClientPayloadError):
        return web.Response(status=400, text="the upload broke off\n")  # for the record; nobody is there to read it
    except ValueError as cause:
        return web.Response(status=400, text=f"not a form this page can read: {cause}\n")
    if arrived is None:
        return web.Response(status=400, text="the form holds no file\n")
    if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        texts = {"name": arrived.name, "size": str(arrived.size), "digest": arrived.digest}
        return _html(_upload_document(request, fragment("result.html", texts)))
    return web.json_response({"name": arrived.name, "bytes": arrived.size, "sha256": arrived.digest}, dumps=_dumps)


async def _arrived(request: web.Request) -> _Arrived | None:
    """The first file of a form, or the whole body of anything else, hashed piece by piece; None without a file."""
    if request.content_type != "multipart/form-data":
        return _Arrived(request.match_info.get("name", "unnamed"), *await _digest_of_body(request))
    part = await _first_file(request)
    if part is None:
        return None
    return _Arrived(part.filename or "unnamed", *await _digest_of_part(part))


async def _first_file(request: web.Request) -> BodyPartReader | None:
    parts = await request.multipart()
    async for part in parts:
        if isinstance(part, BodyPartReader) and part.filename is not None:
            return part
    return None


async def _digest_of_part(part: BodyPartReader) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while piece := await part.read_chunk(READ_BYTES):
        size += len(piece)
        digest.update(piece)
    return size, digest.hexdigest()


async def _digest_of_body(request: web.Request) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    async for piece in request.content.iter_any():
        size += len(piece)
        digest.update(piece)
    return size, digest.hexdigest()


def _upload_document(request: web.Request, result: str) -> str:
    scheme = request.headers.get(hdrs.X_FORWARDED_PROTO, request.scheme)
    host = request.headers.get(hdrs.X_FORWARDED_HOST, request.host)
    return page("Upload", "upload.html", {"url": f"{scheme}://{host}/upload"}, {"result": result})


def _html(document: str) -> web.Response:
    return web.Response(text=document, content_type="text/html", charset="utf-8")


def _dumps(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _fields(request: web.Request) -> list[tuple[str, str]]:
    """Names and values as they arrived, in order; bytes that are no UTF-8 show as replacement characters."""
    return [(name.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for name, value in request.raw_headers]


def _listener(request: web.Request) -> str:
    transport = request.transport
    name: object = None if transport is None else transport.get_extra_info("sockname")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "a private port"
