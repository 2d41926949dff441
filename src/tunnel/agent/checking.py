"""Active checks of the local service: one GET now and then, and what it means that it is answered or not."""

import asyncio
from typing import Final

import anyio

from tunnel.agent.crew import Crew
from tunnel.agent.local import LocalGround
from tunnel.agent.settings import Checks
from tunnel.core.base.limits import READ_BYTES
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.http.reader import HeadReader
from tunnel.core.http.response import ResponseHead, parse_response_head
from tunnel.core.proxy.writer import proxy_header_bytes
from tunnel.core.route.checks import Verdict
from tunnel.observe.events import LocalHealth

_OK: Final = range(200, 400)


async def keep_checking(crew: Crew, checks: Checks) -> None:
    """Check until the agent stops, and tell every change; the first check begins at once."""
    ground = crew.ground
    verdict = Verdict(ground.limits)
    while not crew.stop.is_set():
        failure = await check_once(ground, checks.path)
        if verdict.take(is_passed=not failure):
            detail = f"GET {checks.path}: {failure}" if failure else f"GET {checks.path} is answered"
            ground.events.emit(LocalHealth(str(ground.service.address), verdict.is_up, detail))
            crew.on_checked(is_up=verdict.is_up, detail=detail)
        with anyio.move_on_after(checks.interval_seconds):
            await crew.stop.wait()


async def check_once(ground: LocalGround, path: str) -> str:
    """What is wrong with the local service, for people; "" when it answers with a status of 200 to 399 in time."""
    address, limits = ground.service.address, ground.limits
    try:
        with anyio.fail_after(limits.check_seconds_max):
            reader, writer = await asyncio.open_connection(
                address.host,
                address.port,
                ssl=ground.tls,
                server_hostname=None if ground.tls is None else address.host,
            )
            try:
                fields = f"Host: {address}\r\nUser-Agent: tunnel-check\r\nConnection: close\r\n"
                writer.write(_introduction(ground) + f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
                return await _read_answer(ground, reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return f"no answer within {limits.check_seconds_max:g} s"
    except OSError as cause:
        return cause.strerror or str(cause) or "it closed the connection"
    except UnicodeError:
        return f"{address.host} is not a host name"


def _introduction(ground: LocalGround) -> bytes:
    """What a service that is told of its visitors waits for: that this connection is from none (LOCAL, or UNKNOWN)."""
    version = ground.proxy_protocol
    return b"" if version is None else proxy_header_bytes(version, "", 0, "", 0)


async def _read_answer(ground: LocalGround, reader: asyncio.StreamReader) -> str:
    heads = HeadReader(ground.limits.head_bytes_max)
    while True:
        data = await reader.read(READ_BYTES)
        if not data:
            return "it closed the connection without an answer"
        while data:
            head = _head_of(heads, data, ground)
            if isinstance(head, str):
                return head
            if head is not None and not head.is_interim:
                return "" if head.status in _OK else f"status {head.status}"
            data = b"" if head is None else heads.take_rest()


def _head_of(heads: HeadReader, data: bytes, ground: LocalGround) -> ResponseHead | str | None:
    """The head that these bytes complete, None while it is not whole, or what is wrong with it."""
    read = heads.receive(data)
    if not isinstance(read, Success):
        return "what it answers is not HTTP/1.1"
    raw = value_of(read)
    if raw is None:
        return None
    parsed = parse_response_head(raw, b"GET", ground.limits)
    return value_of(parsed) if isinstance(parsed, Success) else "what it answers is not HTTP/1.1"
