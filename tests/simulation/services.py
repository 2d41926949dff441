"""The local services behind the agents: each request says by its number what its service is to do with it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from tests.simulation.exchange import BREAKS, Deed, Exchange, Framing, Sent
from tests.simulation.kernel import HOST
from tests.simulation.loop import SimLoop
from tests.simulation.sockets import SimSocket
from tests.simulation.wire import Over, Wire

_FOREVER: Final = 600.0
_LOOKS: Final = 2000
_LOOK_SECONDS: Final = 0.01


@final
@dataclass(frozen=True, slots=True)
class Habits:
    """What connections of visitors begin with."""

    opens_with_hello: bool = False
    """A TLS hello, which the service takes off; what follows is in the clear here."""
    is_told: bool = False
    """A header of the PROXY protocol, before everything else."""


_PLAIN: Final = Habits()


@final
class LocalService:
    """A server on the machine of one agent. Finished at `stop`."""

    def __init__(
        self,
        loop: SimLoop,
        agent: int,
        host: str,
        port: int,
        exchange_of: Callable[[int], Exchange | None],
        found: Callable[[str], None],
        habits: Habits = _PLAIN,
    ) -> None:
        self._habits: Final = habits
        self._loop: Final = loop
        self._agent: Final = agent
        self._host: Final = host
        self._port: Final = port
        self._exchange_of: Final = exchange_of
        self._found: Final = found
        self._listening: SimSocket | None = None
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._acceptor: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take connections (again)."""
        if self._listening is None:
            before = HOST.set(f"{self._host}/service")
            self._listening = self._loop.system.socket()
            self._listening.bind((self._host, self._port))
            self._listening.listen(64)
            self._acceptor = self._loop.create_task(self._accept(self._listening))
            HOST.reset(before)

    def refuse(self) -> None:
        """Take none for now; those that stand go on."""
        if self._listening is not None and self._acceptor is not None:
            self._acceptor.cancel()
            self._loop._remove_reader(self._listening.fileno())  # type: ignore[attr-defined]
            self._listening.close()
            self._listening = None

    async def stop(self) -> None:
        """End everything."""
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        waited = [*self._tasks, *([self._acceptor] if self._acceptor is not None else [])]
        if waited:
            await asyncio.wait(waited)

    async def _accept(self, listening: SimSocket) -> None:
        while True:
            sock, _ = await self._loop.sock_accept(listening)  # type: ignore[arg-type]
            task = self._loop.create_task(self._serve(Wire(self._loop, sock)))  # type: ignore[arg-type]
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, wire: Wire) -> None:
        is_hard = False
        try:
            told = await self._begun(wire)
            while True:
                is_kept, is_hard = await self._one(wire, told)
                if not is_kept:
                    return
        except Over:
            pass
        finally:
            wire.close(is_hard=is_hard)

    async def _begun(self, wire: Wire) -> str:
        """What comes before the first request; who the visitor is, where that is said."""
        told = ""
        if self._habits.is_told:
            line = (await wire.until(b"\r\n")).decode("latin-1")
            told = (line.split(" ") + [""] * 3)[2]
            if not line.startswith("PROXY TCP4 "):
                self._found(f"the service of agent {self._agent} was not introduced to its visitor: {line[:60]!r}")
        if self._habits.opens_with_hello:
            needed, seen = 4, b""
            while len(seen) < needed:
                record = await wire.exactly(5)
                if record[0] != 22:
                    self._found(f"the service of agent {self._agent} got {record!r} for a TLS hello")
                    return told
                seen += await wire.exactly(int.from_bytes(record[3:5], "big"))
                needed = 4 + int.from_bytes(seen[1:4], "big")
        return told

    async def _one(self, wire: Wire, told: str) -> tuple[bool, bool]:
        """One request; whether the connection is kept, and whether it ends by a reset."""
        head = await wire.until(b"\r\n\r\n")
        lines = head[:-4].decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if lines[0] == "GET /health HTTP/1.1":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return True, False
        exchange = self._exchange_of(int(fields.get("x-exchange", "-1")))
        if exchange is None:
            self._found(f"a request that nobody sent reached the service of agent {self._agent}: {lines[0]!r}")
            return False, True
        if not lines[0].startswith(f"{exchange.method} /x/{exchange.number} "):
            self._found(f"another head than was sent: {lines[0]!r} for {exchange.story()}")
        told = told or fields.get("x-forwarded-for", "")
        if told and told != exchange.client:
            self._found(f"the service was told of {told!r} in place of {exchange.client}: {exchange.story()}")
        if exchange.is_denied:
            self._found(f"a visitor that may not come came through: {exchange.story()}")
        exchange.agents.append(self._agent)
        exchange.seen_at = self._loop.time()
        exchange.seen_up = 0
        return await self._do(wire, exchange, fields)

    async def _do(self, wire: Wire, exchange: Exchange, fields: dict[str, str]) -> tuple[bool, bool]:
        deed = exchange.deed
        if deed is Deed.RESET_FIRST:
            return False, True
        if deed is Deed.EARLY:
            await self._answer(wire, exchange)
            await self._read_body(wire, exchange, fields)
            return exchange.down_framing is not Framing.CLOSE, False
        if deed is Deed.UPGRADE:
            await self._upgrade(wire, exchange)
            return False, False
        await self._read_body(wire, exchange, fields)
        if deed is Deed.SILENT:
            await asyncio.sleep(_FOREVER)
        elif deed is Deed.MALFORMED:
            await wire.send(b"HTTP/1.1 200 OK\nContent-Length: zero\n\n")
            return False, False
        elif deed is Deed.INTERIM:
            await wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        if deed is Deed.HANG_UP:
            return False, False
        is_kept = await self._answer(wire, exchange)
        if deed is Deed.RESET_AFTER:
            return False, await self._until_taken(wire)
        if deed is Deed.STALL:
            await asyncio.sleep(_FOREVER)
        return is_kept and exchange.down_framing is not Framing.CLOSE, deed is Deed.RESET_WITHIN

    async def _read_body(self, wire: Wire, exchange: Exchange, fields: dict[str, str]) -> None:
        if fields.get("transfer-encoding"):
            while True:
                size = int((await wire.until(b"\r\n"))[:-2], 16)
                if size == 0:
                    await wire.until(b"\r\n")
                    break
                self._take_up(exchange, await wire.exactly(size))
                await wire.exactly(2)
        else:
            left = int(fields.get("content-length", "0"))
            while left:
                piece = await wire.some(left)
                left -= len(piece)
                self._take_up(exchange, piece)
        if exchange.seen_up != exchange.up:
            self._found(f"a request body of another length came through whole: {exchange.story()}")

    def _take_up(self, exchange: Exchange, piece: bytes) -> None:
        if not exchange.up_body().matches(exchange.seen_up, piece):
            self._found(f"wrong bytes in a request at {exchange.seen_up}: {exchange.story()}")
        exchange.seen_up += len(piece)

    async def _answer(self, wire: Wire, exchange: Exchange) -> bool:
        """The answer, as far as it is to go; whether it went to its end."""
        framing = exchange.down_framing
        field = {
            Framing.LENGTH: f"Content-Length: {exchange.down}\r\n",
            Framing.CHUNKED: "Transfer-Encoding: chunked\r\n",
            Framing.CLOSE: "Connection: close\r\n",
        }[framing]
        head = f"HTTP/1.1 200 OK\r\nX-Exchange: {exchange.number}\r\nX-Agent: {self._agent}\r\n{field}\r\n".encode()
        breaks = exchange.deed in BREAKS
        until = exchange.down // 2 if breaks else exchange.down
        body, at = exchange.down_body(), 0
        exchange.sent.clear()
        held = head
        while at < until:
            size = min(exchange.piece, until - at)
            piece = body.part(at, size)
            at += size
            held += b"%x\r\n%s\r\n" % (size, piece) if framing is Framing.CHUNKED else piece
            exchange.sent.append(Sent(at, self._loop.time()))
            await wire.send(held)
            held = b""
            if exchange.pause and (exchange.deed is Deed.SLOWLY or exchange.piece >= 1400):
                await asyncio.sleep(exchange.pause)
        if framing is Framing.CHUNKED and not breaks:
            held += b"0\r\n\r\n"
        if held:
            await wire.send(held)
        return not breaks

    async def _until_taken(self, wire: Wire) -> bool:
        """Wait until the agent has read everything; whether it has."""
        end = wire.sock.end
        for _ in range(_LOOKS):
            if end is not None and end.peer is not None and not end.unacknowledged and not end.peer.inbox:
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def _upgrade(self, wire: Wire, exchange: Exchange) -> None:
        """101, then every byte back as another: the visitor ends when it has them all."""
        head = (
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: simulated\r\nConnection: Upgrade\r\n"
            f"X-Exchange: {exchange.number}\r\nX-Agent: {self._agent}\r\n\r\n"
        )
        await wire.send(head.encode())
        body = exchange.down_body()
        exchange.sent.clear()
        try:
            while True:
                piece = await wire.some(65_536)
                self._take_up(exchange, piece)
                exchange.sent.append(Sent(exchange.seen_up, self._loop.time()))
                await wire.send(body.part(exchange.seen_up - len(piece), len(piece)))
        except Over as over:
            if over.how == "end":
                wire.end()
