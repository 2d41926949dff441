"""Our end of a session: the production `Link` over real TLS 1.3, as yamux client or server; its handlers remember."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, final

from tests.support.interop_peers import Peer
from tests.support.interop_wire import Tapped, Wire
from typing_extensions import override

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.mux.session import Role
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.link import Link, StreamHandler
from tunnel.drive.reading import read_buffer
from tunnel.drive.tls import agent_context, server_context
from tunnel.drive.transport import stream_transport

ROLES: Final = ("client", "server")
QUIET: Final = Limits(heartbeat_seconds=20.0, heartbeat_deadline_seconds=60.0)


@final
class Talk:
    """One stream as we see it."""

    def __init__(self, ours: "Ours", *, is_held: bool = False, is_echo: bool = False) -> None:
        self.ours = ours
        self.stream = StreamId(0)
        self.is_held = is_held
        """Whether credit is kept back: nobody reads what comes."""
        self.is_echo = is_echo
        self.count = 0
        self.owed = 0
        self.kept = b""
        """The first bytes, as far as anybody compares them."""
        self.sum = hashlib.sha256()
        self.end = ""
        """`end` or `reset` once it has come."""

    def say(self, data: bytes) -> int:
        """Queue bytes."""
        return self.ours.link.send(self.stream, data)

    def finish(self) -> None:
        """FIN behind what is queued."""
        self.ours.link.end(self.stream)

    def reset(self) -> None:
        """RST."""
        self.ours.link.leave(self.stream, reset=True)

    def release(self) -> None:
        """Read what was kept back, and all that comes."""
        self.is_held = False
        self.ours.link.return_credit(self.stream, self.owed)
        self.owed = 0

    async def ended(self) -> str:
        """How the peer ended it, once it has."""
        await self.ours.until(lambda: bool(self.end))
        return self.end

    async def line(self) -> str:
        """The first line, once it is there; what there is when the stream ends before."""
        await self.ours.until(lambda: b"\n" in self.kept or bool(self.end))
        return self.kept.partition(b"\n")[0].decode()

    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """As told."""
        self.count += len(data)
        self.sum.update(data)
        if len(self.kept) < 4096:
            self.kept += data
        if self.is_echo:
            self.say(data)
        if self.is_held:
            self.owed += len(data)
        else:
            self.ours.link.return_credit(self.stream, len(data))
        self.ours.news.set()

    def on_stream_end(self, now: Instant) -> None:
        """As told."""
        self.end = "end"
        if self.is_echo:
            self.finish()
        self.ours.news.set()

    def on_stream_reset(self, now: Instant) -> None:
        """As told."""
        self.end = self.end or "reset"
        self.ours.news.set()

    def on_stream_writable(self, now: Instant) -> None:
        """As told."""
        self.ours.news.set()

    def abort_session(self) -> None:
        """As told."""
        self.reset()


@final
class Ours:
    """The owner of our link. Streams that the peer opens are echoed."""

    def __init__(self, role: Role, limits: Limits, wire: Wire) -> None:
        self.wire = wire
        self.news = asyncio.Event()
        self.opened: list[Talk] = []
        self.is_peer_leaving = False
        self.reason: str | None = None
        self.is_gone = False
        self.size = 0
        """How much of it the scenario is asked for."""
        self.link: Final = Link(role, limits, self, asyncio.get_running_loop(), read_buffer())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds; it is looked at whenever anything happened."""
        while not holds():
            self.news.clear()
            await self.news.wait()

    async def until_seen(self, holds: Callable[[], bool]) -> None:
        """The same for something on the wire, which tells nobody; the time limit of the scenario ends it."""
        while not holds():  # noqa: ASYNC110 - frames without an event for anybody
            await asyncio.sleep(0.005)

    def open(self, command: str, *, is_held: bool = False) -> Talk:
        """A stream of ours that begins with a command to the peer."""
        talk = Talk(self, is_held=is_held)
        opened = self.link.open_stream(talk)
        assert isinstance(opened, Success), opened
        talk.stream = value_of(opened)
        talk.say(command.encode() + b"\n")
        return talk

    async def ask(self, command: str) -> str:
        """The line that the peer answers to a command."""
        talk = self.open(command)
        answer = await talk.line()
        talk.finish()
        return answer

    def on_link_up(self, link: Link, now: Instant) -> None:
        """As told."""
        self.news.set()

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """As told."""
        talk = Talk(self, is_echo=True)
        talk.stream = stream
        self.opened.append(talk)
        return talk

    def on_peer_leaving(self, now: Instant) -> None:
        """As told."""
        self.is_peer_leaving = True
        self.news.set()

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """As told."""
        self.reason = reason
        self.news.set()

    def on_link_gone(self) -> None:
        """As told."""
        self.is_gone = True
        self.news.set()


@final
class _Drip(asyncio.Transport):
    """Writes each byte as a TLS record of its own."""

    def __init__(self, under: asyncio.Transport) -> None:
        super().__init__()
        self._under = under

    @override
    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        for at in range(len(data)):
            self._under.write(data[at : at + 1])

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._under.set_write_buffer_limits(high, low)

    @override
    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._under.get_extra_info(name, default)

    @override
    def close(self) -> None:
        self._under.close()

    @override
    def is_closing(self) -> bool:
        return self._under.is_closing()

    @override
    def abort(self) -> None:
        self._under.abort()


@final
class Dripping:
    """Stands between loop and link: every byte is a read and a write of its own."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.read_buffer = memoryview(bytearray(1 << 16))

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """As told."""
        self._link.on_connected(_Drip(stream_transport(transport)))

    def on_read(self, count: int) -> None:
        """As told, byte by byte."""
        for at in range(count):
            self._link.read_buffer[:1] = self.read_buffer[at : at + 1]
            self._link.on_read(1)

    def on_eof(self) -> bool:
        """As told."""
        return self._link.on_eof()

    def on_lost(self, exc: Exception | None) -> None:
        """As told."""
        self._link.on_lost(exc)

    def on_full(self) -> None:
        """As told."""
        self._link.on_full()

    def on_room(self) -> None:
        """As told."""
        self._link.on_room()

    def abort_session(self) -> None:
        """As told."""
        self._link.abort_session()


@asynccontextmanager
async def session(
    peer: Peer, role: str, state: Path, *, limits: Limits = QUIET, is_dripping: bool = False
) -> AsyncIterator[Ours]:
    """A session with a peer that has the other role; nothing of it is left afterwards."""
    wire = Wire()
    Tapped.wire = wire
    ours = Ours(Role.CLIENT if role == "client" else Role.SERVER, limits, wire)
    loop = asyncio.get_running_loop()

    def connection() -> Callbacks:
        return Callbacks(Dripping(ours.link) if is_dripping else ours.link)

    if role == "client":
        context = agent_context(state / "ca.pem")
        assert isinstance(context, Success)
        tapped(value_of(context))
        await loop.create_connection(
            connection, "127.0.0.1", peer.port, ssl=value_of(context), server_hostname="localhost"
        )
    else:
        presented = server_context(state / "server.pem", None)
        assert isinstance(presented, Success)
        tapped(value_of(presented))
        listening = await loop.create_server(connection, "127.0.0.1", 0, ssl=value_of(presented))
        peer.dial(listening.sockets[0].getsockname()[1])
        await ours.until(lambda: ours.link.is_up)
        listening.close()
    try:
        yield ours
    finally:
        ours.link.close("done")
        await ours.until(lambda: ours.is_gone)


def tapped(context: ssl.SSLContext) -> None:
    """Let the current wire see what passes."""
    context.sslobject_class = Tapped
