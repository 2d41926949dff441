"""What every request passes before anything of ours looks at it, and every answer on its way out (API-DOOR).

Who asks, also behind a proxy that is trusted; a Host of this machine when we listen for this machine alone (a page of
elsewhere could otherwise reach us by a name that it points here: DNS rebinding); a whole body of bounded size within a
bounded time; a request ID; an answer in time, or a 504. No header of CORS is ever sent: pages of other origins read
nothing here.
"""

import asyncio
import ipaddress
import re
from collections.abc import MutableMapping
from typing import Final, final

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunnel.api.problems import BODY_TOO_LONG, REQUEST_SLOW, STORE_AWAY, TOO_SLOW, ProblemAnswer
from tunnel.api.proxied import visitor_of
from tunnel.core.base.limits import KIB
from tunnel.core.base.partial import base32_text
from tunnel.core.base.problem import WRONG_HOST, Problem
from tunnel.core.policy.ip import Block
from tunnel.core.relay.answer import wants_page
from tunnel.drive.clock import SystemEntropy

BODY_BYTES_MAX: Final = 64 * KIB
"""Any request here is a few hundred bytes; events of a payment provider reach some ten KiB."""
BODY_SECONDS_MAX: Final = 10.0
ANSWER_SECONDS_MAX: Final = 20.0
"""Until an answer begins; a slow database has its own, shorter deadlines."""
_REQUEST_ID_BYTES: Final = 15
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(:[0-9]{1,5})?")
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Of every answer that does not say otherwise itself."""
_WAIT_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3">
<title>503 The database cannot be used now</title><h1>The database cannot be used now</h1>
<p>Tunnels go on. This page tries again every three seconds.</p></html>
"""


@final
class Door:
    """The one ASGI application that the server calls; behind it is whatever it was turned to last.

    `/healthz` it answers itself: the process lives. As long as there is no database all else is 503.
    """

    def __init__(self, listens_at: str, proxies: tuple[Block, ...] = ()) -> None:
        self._proxies: Final = proxies
        self._is_private: Final = is_this_machine(listens_at)
        self._entropy: Final = SystemEntropy()
        self._inner: ASGIApp = _absent
        self.is_open: Final = asyncio.Event()
        """Set once there is something behind it."""
        self._name = ""

    def answer_to(self, name: str) -> None:
        """Take this host too, under which a proxy of the operator's brings visitors here; "" is none."""
        self._name = name

    def turn_to(self, inner: ASGIApp) -> None:
        """Answer with this application from the next request on."""
        self._inner = inner
        self.is_open.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request_id = base32_text(self._entropy.random_bytes(_REQUEST_ID_BYTES))
        self._learn_visitor(scope)
        scope["state"] = {"request_id": request_id}
        out = _Out(send, request_id)
        body = self._host_refusal(scope) or await _whole_body(receive)
        if isinstance(body, Problem):
            await ProblemAnswer(body, "", request_id, headers={"Connection": "close"})(scope, receive, out.send)
            return
        if scope["path"] == "/healthz":
            await JSONResponse({"status": "ok"})(scope, receive, out.send)
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX) as limit:
                out.limit = limit
                await self._inner(scope, _Replayed(body, receive).receive, out.send)
        except TimeoutError:
            out.limit = None
            if not out.has_begun:
                await ProblemAnswer(TOO_SLOW, "", request_id)(scope, receive, out.send)

    def _learn_visitor(self, scope: Scope) -> None:
        """Say who asks and how, for all behind: whom a trusted proxy saw, where it comes from one."""
        client = scope.get("client")
        visitor = visitor_of(client[0] if client else "", scope["headers"], self._proxies)
        if client and visitor.address != client[0]:
            scope["client"] = (visitor.address, 0)
        scope["scheme"] = visitor.scheme

    def _host_refusal(self, scope: Scope) -> Problem | None:
        if not self._is_private:
            return None
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        found = _HOST.fullmatch(hosts[0].decode("latin-1").lower()) if len(hosts) == 1 else None
        if found is None:
            return WRONG_HOST
        host = found[1].strip("[]")
        return None if is_this_machine(host) or (self._name and host == self._name) else WRONG_HOST


def is_this_machine(host: str) -> bool:
    """Whether a host can be nobody but this machine: a loopback address, localhost, or a name below it (RFC 6761)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@final
class _Out:
    """The way out: fields that every answer has, and the end of the deadline once it has begun."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send: Final = send
        self._request_id: Final = request_id
        self.has_begun = False
        self.limit: asyncio.Timeout | None = None

    async def send(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            if self.limit is not None:
                self.limit.reschedule(None)
            _add_headers(message, self._request_id)
        await self._send(message)


def _add_headers(message: MutableMapping[str, object], request_id: str) -> None:
    given = message.get("headers")
    held = list(given) if isinstance(given, list) else []
    there = {name.lower() for name, _ in held}
    held.extend(pair for pair in _HEADERS if pair[0] not in there)
    held.append((b"x-request-id", request_id.encode("ascii")))
    message["headers"] = held


@final
class _Replayed:
    """A body that has been read already, and then whatever comes: the visitor's leaving."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive: Final = receive

    async def receive(self) -> Message:
        """The next message."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _whole_body(receive: Receive) -> bytes | Problem:
    """The body of a request, or why we do not take it."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return REQUEST_SLOW
                part = message.get("body", b"")
                size += len(part)
                if size > BODY_BYTES_MAX:
                    return BODY_TOO_LONG
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        return REQUEST_SLOW


async def _absent(scope: Scope, receive: Receive, send: Send) -> None:
    """What is answered as long as there is no database."""
    request_id: str = scope["state"]["request_id"]
    accepted = [value for name, value in scope["headers"] if name == b"accept"]
    if any(wants_page(value) for value in accepted) and not scope["path"].startswith("/api/"):
        fields = {"Retry-After": str(STORE_AWAY.retry_seconds), "Content-Type": "text/html; charset=utf-8"}
        await Response(_WAIT_PAGE, STORE_AWAY.status, fields)(scope, receive, send)
    else:
        await ProblemAnswer(STORE_AWAY, "", request_id)(scope, receive, send)
