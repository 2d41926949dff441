"""One application for uvicorn (ASGI) and gunicorn (WSGI): a page, a large file, an echo, events, a socket."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

SITE = Path.cwd()
Scope: TypeAlias = dict[str, str]
Message: TypeAlias = dict[str, object]
HTML = "text/html; charset=utf-8"


class Body(Protocol):
    """What a WSGI server gives to read from."""

    def read(self, size: int = -1) -> bytes:
        """Some bytes."""


def content(path: str) -> tuple[int, str, bytes]:
    """Status, type and body of what does not move."""
    if path == "/":
        return 200, HTML, (SITE / "index.html").read_bytes()
    if path == "/large.bin":
        return 200, "application/octet-stream", (SITE / "large.bin").read_bytes()
    return 404, "text/plain", b"nothing here\n"


async def asgi(
    scope: Scope, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The application as uvicorn calls it."""
    if scope["type"] == "websocket":
        await socket(receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)


async def socket(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """Every message back."""
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        else:
            return


async def answer(
    scope: Scope, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """One request."""
    pieces: list[bytes] = []
    if scope["path"] == "/echo":
        is_more = True
        while is_more:
            event = await receive()
            body = event.get("body", b"")
            pieces.append(body if isinstance(body, bytes) else b"")
            is_more = bool(event.get("more_body"))
        status, kind, told = 200, "text/plain", echoed(b"".join(pieces))
    elif scope["path"] == "/events":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for event_bytes in events():
            await send({"type": "http.response.body", "body": event_bytes, "more_body": True})
        await send({"type": "http.response.body"})
        return
    else:
        status, kind, told = content(scope["path"])
    head = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(told))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": told})


def echoed(body: bytes) -> bytes:
    """What `/echo` says of a body."""
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def events() -> Iterator[bytes]:
    """Three of them."""
    for number in range(3):
        yield b"data: event %d\n\n" % number


def wsgi(
    environment: dict[str, object], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """The application as gunicorn calls it."""
    path = environment["PATH_INFO"]
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events()
    if path == "/echo":
        body: Body = environment["wsgi.input"]  # type: ignore[assignment]
        status, kind, told = 200, "text/plain", echoed(body.read())
    else:
        status, kind, told = content(str(path))
    start_response(f"{status} OK", [("Content-Type", kind), ("Content-Length", str(len(told)))])
    return [told]
