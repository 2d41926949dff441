"""What visitors and agents of an endurance run stand on: the server's doors, the local services, the API, the tally."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, final

from bench.failure import BenchError
from bench.fleet import DOMAIN, Host
from bench.pair import LOOPBACK
from bench.soak_local import LocalServices, field_of
from bench.soak_report import Report

from tunnel.drive.address import Address
from tunnel.server.state import AUTHORITY

PATIENCE_SECONDS: Final = 120.0
"""No expectation: only how long something may hang before it is called wrong."""
UPSTREAM: Final = "127.0.0.2"
"""Connections from there begin with a PROXY header."""
_DISTURBED_SECONDS: Final = 2.0
"""For so long after an agent was cut the server may not have noticed."""
_AGAIN_SECONDS: Final = 0.1
_SERVED: Final = b"HTTP/1.1 200 "


@final
class Wrong(Exception):  # noqa: N818
    """Something that nothing disturbed was not answered as it had to be."""


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001
    """Raise `Wrong` unless it holds."""
    if not holds:
        raise Wrong(otherwise)


@final
class Partner:
    """When the second agent of the pool was last ended: a request that it had then may have gone with it."""

    def __init__(self) -> None:
        self._ended = 0
        self._ended_at = 0.0

    def end(self) -> None:
        """It is being ended, or has just been."""
        self._ended += 1
        self._ended_at = time.monotonic()

    def mark(self) -> tuple[int, float]:
        """What `is_undisturbed` compares with."""
        return self._ended, time.monotonic()

    def is_undisturbed(self, since: tuple[int, float]) -> bool:
        """Whether nothing of it ended since the mark, nor shortly before."""
        return self._ended == since[0] and since[1] - self._ended_at > _DISTURBED_SECONDS


@final
@dataclass(frozen=True, slots=True)
class Ground:
    """One run's."""

    server: Host
    local: LocalServices
    report: Report
    account: bytes
    tcp_ports: int
    """The first of those that the server gives out; it is that of the agent that stays."""
    api: Address
    key: str
    partner: Partner

    @asynccontextmanager
    async def opened(
        self, port: int, *, tls: ssl.SSLContext | None = None, name: str = "", source: str = ""
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to one of the server's ports, ended with the block; `name` is whom TLS is to find there."""
        reader, writer = await asyncio.open_connection(
            LOOPBACK,
            port,
            ssl=tls,
            server_hostname=(f"{name}.{DOMAIN}" if name else DOMAIN) if tls is not None else None,
            local_addr=(source, 0) if source else None,  # the kernel reuses a port sooner that it chooses itself
        )
        try:
            yield reader, writer
        except BaseException:
            writer.transport.abort()
            raise
        writer.close()

    def head(self, method: str, target: str, *fields: str, name: str = "steady") -> bytes:
        """A request head for one of our names."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {name}.{DOMAIN}:{self.server.public.port}", *fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    async def answer(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        """The head and the body of an answer; one that the local service gave is among those that were answered."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(field_of(head, b"content-length") or b"0"))
        if head.startswith(_SERVED):
            answered, stored = self.report.usage
            self.report.usage = answered + 1, stored
        return head, body

    async def is_served(self, name: str, said: bytes = b"ping") -> None:
        """One exchange with an HTTP endpoint, which has to succeed."""
        async with self.opened(self.server.public.port) as (reader, writer):
            writer.write(self.head("POST", "/echo", f"Content-Length: {len(said)}", name=name) + said)
            head, body = await self.answer(reader)
        is_right = head.startswith(_SERVED) and body == said
        expect(is_right, f"{name}: {head[:60]!r}, {len(body)} of {len(said)} bytes")

    def trusting(self, *protocols: str) -> ssl.SSLContext:
        """A client that trusts the server's own authority alone."""
        context = ssl.create_default_context(cafile=str(self.server.state / AUTHORITY))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    async def asked(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        """What the API answers: its status, and the JSON of its body."""
        said = b"" if body is None else json.dumps(body).encode("ascii")
        fields = [f"Host: {self.api}", f"Authorization: Bearer {self.key}", "Connection: close"]
        if said:
            fields += ["Content-Type: application/json", f"Content-Length: {len(said)}"]
        async with self.opened(self.api.port) as (reader, writer):
            writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode("ascii") + said)
            head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        is_json = b"\r\ncontent-type: application/json" in head.lower()
        return int(head[9:12] or b"0"), json.loads(rest) if is_json else None

    def of_account(self, path: str) -> str:
        """A path of the API below our account."""
        return f"/api/v1/accounts/{self.account.hex()}/{path}"

    async def until_ready(self) -> None:
        """Return once the API can do its work."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not await self._is_ready():
            if time.monotonic() > until:
                message = f"the control process did not start: {self.server.said()}"
                raise BenchError(message)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def until_stored(self) -> None:
        """Return once the database has the requests that were answered, or patience is over."""
        answered, stored = self.report.usage
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            status, told = await self.asked("GET", self.of_account("usage/month"))
            if status != HTTPStatus.OK or not isinstance(told, dict):
                message = f"the API does not tell the usage: {status}"
                raise BenchError(message)
            stored = int(told["requests"])
            if stored >= answered:
                break
            await asyncio.sleep(_AGAIN_SECONDS)
        self.report.usage = answered, stored

    async def _is_ready(self) -> bool:
        try:
            status, _ = await self.asked("GET", "/readyz")
        except OSError:
            return False
        return status == HTTPStatus.OK
