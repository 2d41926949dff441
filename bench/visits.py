"""The visitors of an endurance run, one kind a method: each says what it did and what was wrong with the answer."""

import asyncio
import base64
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, final

from bench.soak_ground import PATIENCE_SECONDS, UPSTREAM, Ground, Wrong, expect
from bench.soak_local import BREAK, field_of, reset

BURST: Final = 5
RATE: Final = 1
"""Requests a second that the endpoint `rated` lets in, and as many at once as `BURST`."""
USER: Final = b"ada:correct horse"
DENIED: Final = "203.0.113.0/24"
"""The endpoint `listed` lets in nobody from there."""
_BODY_BYTES_MAX: Final = 300_000
_SMALL_BYTES: Final = 100
_IN_A_ROW: Final = 25
_RAW_BYTES_MAX: Final = 60_000
_NONSENSE: Final = (
    b"\x16\x03\x01\x00\x05hello",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)
_QUESTIONS: Final = (
    "/api/v1/accounts",
    "/api/v1/sessions",
    "/api/v1/endpoints",
    "/api/v1/audit?limit=20",
    "/api/v1/audit/state",
    "/metrics",
)
_OF_ACCOUNT: Final = ("usage?limit=20", "usage/month", "tokens?limit=20", "sessions", "audit?limit=20")
_PROXY_V1: Final = "PROXY TCP4 {source} 127.0.0.1 {port} 80\r\n"


@final
class Visits:
    """One visitor after the other, chosen by chance; `pause` is the longest rest between two."""

    def __init__(self, ground: Ground, chance: random.Random, pause: float) -> None:
        self._ground: Final = ground
        self._chance: Final = chance
        self._pause: Final = pause
        self._edge: Final = ground.trusting("http/1.1")
        self._trust: Final = ground.trusting()
        self._kinds: Final[dict[str, Callable[[], Awaitable[None]]]] = {
            "API": self.api,
            "HTTPS": self.https,
            "PROXY, from": self.behind_proxy,
            "PROXY, to TCP": self.tcp_behind_proxy,
            "TCP": self.tcp,
            "TCP broken off": self.tcp_broken_off,
            "TLS passed through": self.tls,
            "echo": self.echo,
            "left half way": self.left_half_way,
            "list (403)": self.listed,
            "nonsense": self.nonsense,
            "pool": self.pool,
            "rate (429)": self.rated,
            "service that fails": self.failing,
            "sign-in (401)": self.signed,
            "small ones": self.small,
            "unknown or gone": self.unknown,
            "upgrade": self.upgrade,
        }

    async def until(self, end: float) -> None:
        """Go on until this moment."""
        order = list(self._kinds)
        while time.monotonic() < end:
            await self.one(self._chance.choice(order))
            await asyncio.sleep(self._chance.random() * self._pause)

    async def hasty_until(self, end: float) -> None:
        """Small exchanges without a rest until this moment: what a stream leaves behind adds up."""
        while time.monotonic() < end:
            await self.one("small ones")

    async def each(self) -> None:
        """One of each kind."""
        for kind in self._kinds:
            await self.one(kind)

    async def one(self, kind: str) -> None:
        """One visit; what is wrong with it is written down."""
        since = self._ground.partner.mark()
        report = self._ground.report
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._kinds[kind]()
        except (OSError, EOFError, Wrong) as cause:
            if kind == "pool" and not self._ground.partner.is_undisturbed(since):
                report.disturbed[kind] += 1
            else:
                report.blame(kind, repr(cause))
        report.did[kind] += 1

    # HTTP.

    async def echo(self) -> None:
        """Some exchanges on one connection, each body checked."""
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            await self._echoes(reader, writer)

    async def https(self) -> None:
        """The same, over TLS at the port of the agents, where ALPN tells who is one."""
        port = self._ground.server.agents.port
        async with self._ground.opened(port, tls=self._edge) as (reader, writer):
            await self._echoes(reader, writer)

    async def small(self) -> None:
        """Many connections with a small exchange each: a stream each."""
        for _ in range(_IN_A_ROW):
            await self._ground.is_served("steady", self._chance.randbytes(_SMALL_BYTES))

    async def upgrade(self) -> None:
        """An upgrade, some turns, a half close."""
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            writer.write(self._ground.head("GET", "/", "Connection: Upgrade", "Upgrade: echo"))
            _has_status(await reader.readuntil(b"\r\n\r\n"), 101)
            await self._turns(reader, writer)
            writer.write_eof()
            expect(not await reader.read(), "more than was said")

    async def left_half_way(self) -> None:
        """A download or an upload that its visitor leaves in the middle."""
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            if self._chance.getrandbits(1):
                writer.write(self._ground.head("GET", f"/down/{3_000_000}"))
                await reader.readexactly(self._chance.randrange(1, 100_000))
            else:
                begun = bytes(self._chance.randrange(100_000))
                writer.write(self._ground.head("POST", "/echo", "Content-Length: 500000") + begun)
            reset(writer)

    async def failing(self) -> None:
        """A local service that misbehaves: 502, or an end that is seen to be too early."""
        target = self._chance.choice(("/reset", "/nonsense", "/short"))
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            writer.write(self._ground.head("GET", target, "Connection: close"))
            head = await reader.readuntil(b"\r\n\r\n")
            _has_status(head, 200 if target == "/short" else 502)
            try:
                body = await reader.read()
            except ConnectionError:
                return
        if target == "/short":
            expect(len(body) < int(field_of(head, b"content-length")), f"{len(body)} bytes, where most were missing")

    async def nonsense(self) -> None:
        """Something that is no request: an answer or a cut, but an end."""
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            writer.write(self._chance.choice(_NONSENSE))
            writer.write_eof()
            try:
                await reader.read()
            except ConnectionError:
                return

    async def unknown(self) -> None:
        """A name that nobody has, or that somebody had a moment ago or has now."""
        name = f"churn-{self._chance.randrange(8)}-http"
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            writer.write(self._ground.head("GET", "/", "Connection: close", name=name))
            try:
                await reader.read()
            except ConnectionError:
                return

    async def pool(self) -> None:
        """A name that two agents have, of which one comes and goes."""
        await self._ground.is_served("pool", self._chance.randbytes(_SMALL_BYTES))

    # Policies.

    async def rated(self) -> None:
        """More than the endpoint's rate: 200, then 429 with a time to come again."""
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            for _ in range(BURST):
                writer.write(self._ground.head("GET", "/", name="rated"))
                head, _ = await self._ground.answer(reader)
                if head.startswith(b"HTTP/1.1 200 "):
                    self._ground.report.did["rate (200)"] += 1
                else:
                    _has_status(head, 429)
                    expect(field_of(head, b"retry-after").isdigit(), "429 without a time to come again")

    async def listed(self) -> None:
        """Somebody who may not come."""
        _has_status(await self._by_proxy("listed", f"203.0.113.{self._chance.randrange(1, 255)}"), 403)

    async def signed(self) -> None:
        """Without a password, and with it."""
        right = "Authorization: Basic " + base64.b64encode(USER).decode("ascii")
        wrong = "Authorization: Basic " + base64.b64encode(USER + b"!").decode("ascii")
        async with self._ground.opened(self._ground.server.public.port) as (reader, writer):
            for fields, status in (((), 401), ((wrong,), 401), ((right,), 200)):
                writer.write(self._ground.head("GET", "/", *fields, name="signed"))
                head, _ = await self._ground.answer(reader)
                _has_status(head, status)

    # Behind a proxy.

    async def behind_proxy(self) -> None:
        """A visitor whose address a PROXY header says, and the local service is told."""
        _has_status(await self._by_proxy("listed", f"192.0.2.{self._chance.randrange(1, 255)}"), 200)

    async def _by_proxy(self, name: str, source: str) -> bytes:
        proxied = _PROXY_V1.format(source=source, port=self._chance.randrange(1024, 65_536)).encode("ascii")
        async with self._ground.opened(self._ground.server.public.port, source=UPSTREAM) as (reader, writer):
            writer.write(proxied + self._ground.head("GET", "/who", name=name))
            head, body = await self._ground.answer(reader)
        if head.startswith(b"HTTP/1.1 200 "):
            expect(body == source.encode("ascii"), f"{source} was told to the service as {body!r}")
        return head

    async def tcp_behind_proxy(self) -> None:
        """The same without HTTP: a header of one version comes in, one of the other goes out."""
        source, port = f"192.0.2.{self._chance.randrange(1, 255)}", self._chance.randrange(1024, 65_536)
        async with self._ground.opened(self._ground.tcp_ports, source=UPSTREAM) as (reader, writer):
            writer.write(_PROXY_V1.format(source=source, port=port).encode("ascii"))
            await self._raw(reader, writer, f"{source} {port}\n")

    # Without HTTP.

    async def tcp(self) -> None:
        """A TCP endpoint: the service is told who comes, and every byte passes, and each end."""
        async with self._ground.opened(self._ground.tcp_ports) as (reader, writer):
            source, port = writer.get_extra_info("sockname")
            await self._raw(reader, writer, f"{source} {port}\n")

    async def tcp_broken_off(self) -> None:
        """A TCP connection that one of its sides resets."""
        async with self._ground.opened(self._ground.tcp_ports) as (reader, writer):
            if self._chance.getrandbits(1):
                writer.write(BREAK)
                try:
                    await reader.read()
                except ConnectionError:
                    return
                expect(holds=False, otherwise="the reset of the service arrived as an end")
            writer.write(bytes(self._chance.randrange(1, _RAW_BYTES_MAX)))
            await reader.readline()
            reset(writer)

    async def tls(self) -> None:
        """TLS that the local service opens."""
        port = self._ground.server.agents.port
        async with self._ground.opened(port, tls=self._trust, name="secret") as (reader, writer):
            await self._turns(reader, writer)

    # The control process.

    async def api(self) -> None:
        """A question, as a dashboard asks them."""
        of_account = [self._ground.of_account(path) for path in _OF_ACCOUNT]
        path = self._chance.choice((*_QUESTIONS, *of_account))
        status, _ = await self._ground.asked("GET", path)
        expect(status == HTTPStatus.OK, f"{path}: {status}")

    # What they share.

    async def _echoes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._chance.randrange(1, 6)):
            said = self._chance.randbytes(self._chance.randrange(_BODY_BYTES_MAX))
            writer.write(self._ground.head("POST", "/echo", f"Content-Length: {len(said)}") + said)
            head, body = await self._ground.answer(reader)
            _has_status(head, 200)
            expect(body == said, f"{len(body)} other bytes than the {len(said)} that were sent")

    async def _raw(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str) -> None:
        told = await reader.readline()
        expect(told == who.encode("ascii"), f"{who!r} was told to the service as {told!r}")
        await self._turns(reader, writer)
        writer.write_eof()
        expect(not await reader.read(), "more than was said")

    async def _turns(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._chance.randrange(1, 6)):
            said = b"." + self._chance.randbytes(self._chance.randrange(_RAW_BYTES_MAX))
            writer.write(said)
            expect(await reader.readexactly(len(said)) == said, f"other bytes than the {len(said)} that were sent")


def _has_status(head: bytes, status: int) -> None:
    expect(head.startswith(b"HTTP/1.1 %d " % status), f"{head[:60]!r} in place of {status}")
