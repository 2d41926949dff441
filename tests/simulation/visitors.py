"""Visitors: they send what was planned, read what comes, and judge every byte of it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, final

from tests.simulation.exchange import Conduct, Deed, Exchange, Framing
from tests.simulation.kernel import HOST
from tests.simulation.loop import SimLoop
from tests.simulation.wire import Over, Wire

PATIENCE: Final = 400.0
"""Virtual seconds; every deadline of the server is far shorter, so who waits this long was forgotten."""
_NOT_HTTP: Final = "what came is no HTTP"
_LEFT: Final = "the visitor left"


@final
class Visitor:
    """One visitor with its exchanges, in sequence on as few connections as the server allows."""

    def __init__(
        self,
        loop: SimLoop,
        host: str,
        arrive: Callable[[str], Awaitable[Wire]],
        exchanges: list[Exchange],
        found: Callable[[str], None],
        fenced_at: Callable[[int, str], float],
    ) -> None:
        self._loop: Final = loop
        self._host: Final = host
        self._arrive: Final = arrive
        self._exchanges: Final = exchanges
        self._found: Final = found
        self._fenced_at: Final = fenced_at
        self._wire: Wire | None = None
        self._piped: Final[set[int]] = set()
        """Requests that were sent ahead of their turn."""

    async def run(self) -> None:
        """All exchanges, whatever becomes of each."""
        HOST.set(self._host)
        for exchange, following in zip(self._exchanges, [*self._exchanges[1:], None], strict=True):
            exchange.began_at = exchange.began_at or self._loop.time()
            if exchange.number in self._piped and self._wire is None:
                exchange.end, exchange.is_harmed = "sent ahead on a connection that was closed", True
                continue
            is_kept = False
            try:
                async with asyncio.timeout(PATIENCE):
                    is_kept = await self._exchange(exchange, following)
            except Over as over:
                exchange.end = exchange.end or over.how
            except TimeoutError:
                exchange.end = "patience"
                if not self._is_harmed(exchange):
                    self._found(f"a visitor was forgotten: {exchange.story()}")
            exchange.ended_at = self._loop.time()
            if not is_kept:
                self._hang_up(is_hard=exchange.conduct is Conduct.RESETS)
        self._hang_up(is_hard=False)

    def _is_harmed(self, exchange: Exchange) -> bool:
        if self._wire is None and self._host in self._loop.system.kernel.deafened:
            exchange.is_harmed = True  # before TLS stood
        end = None if self._wire is None else self._wire.sock.end
        if end is not None and (end.is_deaf or (end.peer is not None and end.peer.is_deaf)):
            exchange.is_harmed = True
        return exchange.is_harmed

    def _hang_up(self, *, is_hard: bool) -> None:
        if self._wire is not None:
            self._wire.close(is_hard=is_hard)
            self._wire = None

    async def _exchange(self, exchange: Exchange, following: Exchange | None) -> bool:
        """One exchange; whether the connection can carry another."""
        if self._wire is None:
            self._wire = await self._arrive(exchange.name)
        wire = self._wire
        if exchange.conduct is Conduct.LEAVES_SENDING:
            await self._send(wire, exchange)
            exchange.end = _LEFT
            return False
        ahead = b""
        if following is not None and _may_follow(exchange, following):
            self._piped.add(following.number)
            following.began_at, ahead = self._loop.time(), _head(following)
            # A service that closes on bytes it has not read resets, and its answer may go with that, tunnel or not.
            exchange.is_harmed |= exchange.is_raw and exchange.down_framing is Framing.CLOSE
        sending = self._loop.create_task(self._send(wire, exchange, ahead))
        try:
            is_kept = await self._receive(wire, exchange)
            if exchange.conduct is not Conduct.PLAIN and exchange.conduct is not Conduct.SLOW:
                return False
            if not sending.done() and is_kept:
                # An early answer: whoever has it may stop sending, and then the connection is of no use.
                return False
            if is_kept and following is not None and exchange.is_raw and exchange.deed is Deed.RESET_AFTER:
                following.is_harmed = True  # the end of what carries both is on its way
            return is_kept
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, Over):
                await sending
            self._is_harmed(exchange)

    async def _send(self, wire: Wire, exchange: Exchange, ahead: bytes = b"") -> None:
        """The request, and what is sent ahead of its turn; nothing of a request that was sent ahead itself."""
        held = b"" if exchange.number in self._piped else _head(exchange)
        if exchange.deed is Deed.UPGRADE:
            await wire.send(held)
            return
        until = exchange.up // 2 if exchange.conduct is Conduct.LEAVES_SENDING else exchange.up
        body, at = exchange.up_body(), 0
        while at < until:
            size = min(exchange.piece, until - at)
            piece = body.part(at, size)
            at += size
            held += b"%x\r\n%s\r\n" % (size, piece) if exchange.up_framing is Framing.CHUNKED else piece
            await wire.send(held)
            held = b""
            if exchange.pause and exchange.piece >= 1400:
                await asyncio.sleep(exchange.pause)
        if exchange.up_framing is Framing.CHUNKED and until == exchange.up:
            held += b"0\r\n\r\n"
        if held or ahead:
            await wire.send(held + ahead)
        if exchange.conduct is Conduct.HALF_CLOSES:
            wire.end()

    async def _receive(self, wire: Wire, exchange: Exchange) -> bool:
        while True:
            head = await wire.until(b"\r\n\r\n")
            lines = head[:-4].decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status >= 200 or status == 101:
                break
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        exchange.status = status
        is_ours = "x-exchange" in fields
        if is_ours:
            exchange.answered_by = int(fields["x-agent"])
            if fields["x-exchange"] != str(exchange.number):
                self._found(f"the answer to #{fields['x-exchange']} came to {exchange.story()}")
        elif status < 400:
            self._found(f"{status} out of nothing: {exchange.story()}")
        if exchange.conduct is Conduct.LEAVES_READING and not exchange.down % 2:
            exchange.end = _LEFT
            raise Over(_LEFT)
        if status == 101:
            await self._upgraded(wire, exchange)
            return False
        await self._body(wire, exchange, fields, is_ours=is_ours)
        exchange.is_whole = True
        exchange.end = "whole"
        return fields.get("connection", "").lower() != "close" and "content-length" in fields | {
            "content-length" if "transfer-encoding" in fields else "": ""
        }

    async def _body(self, wire: Wire, exchange: Exchange, fields: dict[str, str], *, is_ours: bool) -> None:
        if fields.get("transfer-encoding"):
            while True:
                size = self._chunk_size(await wire.until(b"\r\n"), exchange)
                if size == 0:
                    await wire.until(b"\r\n")
                    return
                await self._piece_by_piece(wire, exchange, size, is_ours=is_ours)
                await wire.exactly(2)
        elif "content-length" in fields:
            await self._piece_by_piece(wire, exchange, int(fields["content-length"]), is_ours=is_ours)
        else:
            try:
                await self._piece_by_piece(wire, exchange, 1 << 40, is_ours=is_ours)
            except Over as over:
                if over.how != "end":
                    raise

    def _chunk_size(self, line: bytes, exchange: Exchange) -> int:
        try:
            return int(line[:-2], 16)
        except ValueError:
            self._found(f"no chunk of {line[:20]!r} was sent: {exchange.story()}")
            raise Over(_NOT_HTTP) from None

    async def _piece_by_piece(self, wire: Wire, exchange: Exchange, count: int, *, is_ours: bool) -> None:
        left = count
        while left:
            piece = await wire.some(min(left, 8192 if exchange.conduct is Conduct.SLOW else left))
            left -= len(piece)
            if is_ours:
                self._take_down(exchange, piece)
            if exchange.conduct is Conduct.SLOW:
                await asyncio.sleep(0.05)
            leaves = exchange.conduct in {Conduct.LEAVES_READING, Conduct.RESETS}
            if leaves and exchange.got_down * 3 >= exchange.down:
                exchange.end = _LEFT
                raise Over(_LEFT)

    def _take_down(self, exchange: Exchange, piece: bytes) -> None:
        if not exchange.down_body().matches(exchange.got_down, piece):
            self._found(f"wrong bytes in an answer at {exchange.got_down}: {exchange.story()}")
        exchange.got_down += len(piece)
        fenced_at = self._fenced_at(exchange.answered_by, exchange.name)
        latest = next((sent.at for sent in exchange.sent if sent.until >= exchange.got_down), 0.0)
        if latest > fenced_at:
            self._found(f"bytes of agent {exchange.answered_by} from after its fence: {exchange.story()}")

    async def _upgraded(self, wire: Wire, exchange: Exchange) -> None:
        """Send a part, await it back, until all is done; then end our side and await the end."""
        body, at = exchange.up_body(), 0
        while at < exchange.down:
            size = min(max(exchange.piece, 1400), exchange.down - at)
            await wire.send(body.part(at, size))
            at += size
            while exchange.got_down < at:
                self._take_down(exchange, await wire.some(65_536))
        wire.end()
        try:
            self._take_down(exchange, await wire.some(65_536))
        except Over as over:
            exchange.is_whole = over.how == "end"
            exchange.end = "whole" if exchange.is_whole else over.how


def _may_follow(exchange: Exchange, following: Exchange) -> bool:
    """Whether a request may be sent together with the one before."""
    plain = exchange.conduct is Conduct.PLAIN and exchange.deed is not Deed.UPGRADE
    return following.is_piped and plain and following.deed is not Deed.UPGRADE


def _head(exchange: Exchange) -> bytes:
    framing = f"Content-Length: {exchange.up}\r\n"
    if exchange.deed is Deed.UPGRADE:
        framing = "Connection: Upgrade\r\nUpgrade: simulated\r\n"
    elif exchange.method in {"GET", "DELETE"}:
        framing = ""
    elif exchange.up_framing is Framing.CHUNKED:
        framing = "Transfer-Encoding: chunked\r\n"
    return (
        f"{exchange.method} /x/{exchange.number} HTTP/1.1\r\nHost: {exchange.name}.tunnel.test\r\n"
        f"X-Exchange: {exchange.number}\r\n{framing}\r\n"
    ).encode()
