"""A socket with a reader, as visitors and local services use it: they are coroutines on the simulated loop."""

import asyncio
import errno
import ssl
from typing import Final, final

from tests.simulation.loop import SimLoop
from tests.simulation.sockets import SimSocket

END: Final = "end"
"""How a connection is over that its peer ended well."""


_OF_TLS: Final = (21, 22)
"""The first bytes of records with an alert and with a handshake (RFC 8446 section 5.1)."""
CUT: Final = "cut within TLS"
"""How it is over when the peer ended the connection and not TLS before."""


@final
class Over(Exception):  # noqa: N818 - said between two coroutines, never to a person
    """The connection is over: `how` is `end` or the name of the errno."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how: Final = how


@final
class Wire:
    """One connection. Finished at `close`."""

    def __init__(self, loop: SimLoop, sock: SimSocket) -> None:
        self._loop: Final = loop
        self.sock: Final = sock
        self._held: Final = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._incoming = self._outgoing = ssl.MemoryBIO()
        self.received = 0
        self.was_turned_away = False
        """What came first is the server's own TLS: no service is behind it, or none that a hello is passed on to."""
        self.sent_at_most = 0
        """Bytes handed to the system, whatever became of them."""

    @property
    def held(self) -> int:
        """Bytes received and not yet taken."""
        return len(self._held)

    async def more(self) -> None:
        """Wait for more bytes; Over when none will come."""
        if self._tls is None:
            self._held.extend(await self._more_raw())
            return
        while True:
            try:
                data = self._tls.read(65_536)
            except ssl.SSLWantReadError:
                await self._feed()
            except ssl.SSLError as cause:
                raise _broken(cause) from None
            else:
                if not data:
                    raise Over(END)
                self._held.extend(data)
                return

    async def secure(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        """Speak TLS from here on; Over when the handshake fails."""
        self._tls, self._incoming, self._outgoing = tls, incoming, outgoing
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_raw(outgoing.read())
                await self._feed()
            except ssl.SSLError as cause:
                raise _broken(cause) from None
            else:
                await self._send_raw(outgoing.read())
                return

    async def _feed(self) -> None:
        try:
            self._incoming.write(await self._more_raw())
        except Over as over:
            if over.how != END:
                raise
            raise Over(CUT) from None

    async def _more_raw(self) -> bytes:
        try:
            data: bytes = await self._loop.sock_recv(self.sock, 65_536)  # type: ignore[arg-type]
        except OSError as cause:
            raise Over(errno.errorcode.get(cause.errno or 0, "error")) from None
        if not data:
            raise Over(END)
        if not self.received and data[0] in _OF_TLS:
            self.was_turned_away = True
        self.received += len(data)
        return data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to a mark, which is part of it."""
        seen = 0
        while (found := self._held.find(mark, max(seen - len(mark), 0))) < 0:
            seen = len(self._held)
            await self.more()
        return self.taken(found + len(mark))

    async def some(self, count: int) -> bytes:
        """At least one byte and at most `count`."""
        while not self._held:
            await self.more()
        return self.taken(count)

    async def exactly(self, count: int) -> bytes:
        """`count` bytes."""
        while len(self._held) < count:
            await self.more()
        return self.taken(count)

    def taken(self, count: int) -> bytes:
        """What is held, up to `count` bytes, out of it."""
        data = bytes(self._held[:count])
        del self._held[:count]
        return data

    async def send(self, data: bytes) -> None:
        """Send all of it; Over when it cannot be sent."""
        if self._tls is None:
            await self._send_raw(data)
            return
        while data:
            data = data[self._tls.write(data) :]
        await self._send_raw(self._outgoing.read())

    async def _send_raw(self, data: bytes) -> None:
        self.sent_at_most += len(data)
        try:
            await self._loop.sock_sendall(self.sock, data)  # type: ignore[arg-type]
        except OSError as cause:
            raise Over(errno.errorcode.get(cause.errno or 0, "error")) from None

    def end(self) -> None:
        """End our side."""
        try:
            self.sock.shutdown(1)
        except OSError:
            return

    def close(self, *, is_hard: bool = False) -> None:
        """Give it up; hard is with RST."""
        if is_hard and self.sock.end is not None:
            self.sock.end.linger_none()
        self._loop._remove_reader(self.sock.fileno())  # type: ignore[attr-defined]
        self._loop._remove_writer(self.sock.fileno())  # type: ignore[attr-defined]
        self.sock.close()


def _broken(cause: ssl.SSLError) -> Over:
    return Over(f"TLS: {cause.reason}")


async def dial(loop: SimLoop, host: str, port: int) -> Wire:
    """A connection; Over when there is none."""
    sock = loop.system.socket()
    try:
        await loop.sock_connect(sock, (host, port))  # type: ignore[arg-type]
    except OSError as cause:
        sock.close()
        raise Over(errno.errorcode.get(cause.errno or 0, "error")) from None
    except asyncio.CancelledError:
        sock.close()
        raise
    return Wire(loop, sock)
