"""One end of a TCP connection inside the kernel: what waits to be read, what waits to be sent, and what went wrong."""

import errno
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from tests.simulation.kernel import Kernel

_LATE_CHOP: Final = 40
_CHOPPED: Final = 0.02
"""So many pieces of a direction are short, and as many again now and then; were all, a megabyte would take all day."""
_GAP_BELOW: Final = 65_536
_GAP_SECONDS: Final = 0.000_1
"""Between two of them, so that a program may see the first alone."""
_GIVE_UP_SECONDS: Final = 110.0
"""How long a sender goes on sending again into nothing."""
_FIN: Final = b"<FIN>"
_RST: Final = b"<RST>"
"""Marks among the pieces that fly, told by identity."""


@final
class End:
    """Finished when it is closed and all it sent was read, reset or given up."""

    def __init__(
        self,
        kernel: "Kernel",
        number: int,
        address: tuple[str, int],
        peer_address: tuple[str, int],
        on_change: Callable[[], None],
    ) -> None:
        self._kernel: Final = kernel
        self.number: Final = number
        self.address: Final = address
        self.peer_address: Final = peer_address
        self.on_change = on_change
        self.peer: End | None = None
        self.dialled = False
        self.tells_content = True
        """Whether what passes is the same in each run of a seed, beyond its length."""
        self.is_connected = False
        self.is_closed = False
        """Nobody holds it any more."""
        self.error = 0
        """An errno, told once to whoever asks next."""
        self.is_broken = False
        self.inbox: Final = bytearray()
        self.low_water = 1
        """Fewer bytes than these are not worth waking for (SO_RCVLOWAT)."""
        self.has_fin = False
        """The peer sends no more, and all it sent is in the inbox."""
        self.read_total = 0
        self.is_deaf = False
        """What is sent to this end gets lost on the way, silently."""
        self.stalled_until = 0.0
        """Nothing arrives at this end earlier."""
        self._outbox: Final = bytearray()
        self._flying = 0
        self._fin_wanted = False
        self._fin_sent = False
        self._flight: Final[deque[tuple[float, bytes]]] = deque()
        self._is_armed = False
        self._lands_at = 0.0
        self._pieces = 0
        self._gives_up_at: float | None = None
        self._lingers = True
        self._chop: Final = kernel.weather.chop

    def join(self, other: "End") -> None:
        """Become the two ends of one connection; this one dialled."""
        self.peer, other.peer = other, self
        self.dialled = True

    def on_connected(self) -> None:
        """The answer to our SYN has come."""
        if not self.error and not self.is_closed:
            self.is_connected = True
            self.on_change()
            self.push()

    # What a program may ask.

    @property
    def is_readable(self) -> bool:
        """Whether a read would not wait."""
        return len(self.inbox) >= self.low_water or self.has_fin or bool(self.error) or self.is_broken

    @property
    def is_writable(self) -> bool:
        """Whether a write would not wait, as `poll` says it: not for a byte or two."""
        room = self._kernel.weather.buffer - self.unacknowledged
        return bool(self.error) or self.is_broken or (self.is_connected and room * 3 >= self._kernel.weather.buffer)

    @property
    def unacknowledged(self) -> int:
        """Bytes written that have not arrived (TIOCOUTQ)."""
        return len(self._outbox) + self._flying

    def take_error(self) -> int:
        """The pending error, once (SO_ERROR)."""
        error, self.error = self.error, 0
        return error

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes were taken; OSError as the system gives it."""
        self._raise_pending()
        if self.is_broken or self._fin_wanted:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if not self.is_connected:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        count = min(len(data), self._kernel.weather.buffer - self.unacknowledged)
        if count <= 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if count > 1 and self._kernel.weather.is_partial and self._kernel.random.random() < 0.25:
            count = self._kernel.random.randint(1, count)
        taken = bytes(memoryview(data)[:count])
        self._outbox.extend(taken)
        self._kernel.note("send", self.number, count, taken if self.tells_content else b"")
        self.push()
        return count

    def _raise_pending(self) -> None:
        error = self.take_error()
        if error:
            raise OSError(error, os.strerror(error))

    def receive(self, count: int, *, is_peek: bool = False) -> bytes:
        """Bytes that came, b"" at the end; OSError as the system gives it."""
        if not self.inbox:
            if self.has_fin:
                return b""  # as Linux has it: whoever sent FIN ended well, whatever came later
            self._raise_pending()
            if self.is_broken:
                return b""
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        count = min(count, len(self.inbox))
        if is_peek:
            return bytes(self.inbox[:count])
        if count > 1 and self._kernel.weather.is_partial and self._kernel.random.random() < 0.25:
            count = self._kernel.random.randint(1, count)
        taken = bytes(self.inbox[:count])
        del self.inbox[:count]
        self.read_total += count
        self._kernel.note("read", self.number, count, taken if self.tells_content else b"")
        if self.peer is not None:
            self.peer.push()
        return taken

    def shut(self) -> None:
        """Send no more: FIN behind what is queued."""
        if not self.is_connected or self.is_broken:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        self._fin_wanted = True
        self.push()

    def linger_none(self) -> None:
        """Let `close` send RST (SO_LINGER with zero seconds)."""
        self._lingers = False

    def close(self, *, is_hard: bool = False) -> None:
        """Nobody holds it any more. With unread bytes, or asked so, the peer gets RST and what is queued is dropped."""
        if self.is_closed:
            return
        self.is_closed = True
        self.on_change = _nothing
        if self.is_broken or self.peer is None:
            self._forget()
        elif is_hard or self.inbox or not self._lingers:
            self._kernel.dropped += len(self.inbox)
            self._kernel.note("close-rst", self.number, len(self._outbox))
            self._send_reset()
            self._forget()
        else:
            self._fin_wanted = True
            self.push()
            self.forget_when_through()

    # What the network does.

    def fail(self, error: int) -> None:
        """The connection is over, with an errno for who holds it."""
        if self.is_broken:
            return
        self._kernel.note(errno.errorcode[error], self.number, len(self._outbox))
        self.error = error
        self.is_broken = True
        self._kernel.dropped += len(self._outbox)
        self._outbox.clear()
        self.on_change()
        if self.is_closed:
            self._forget()

    def on_reset(self, *, keeps_unread: bool) -> None:
        """RST came. Linux lets what had arrived be read first, others discard it."""
        if self.is_broken:
            return
        if not keeps_unread:
            self._kernel.dropped += len(self.inbox)
            self.inbox.clear()
        self.fail(errno.EPIPE if self.has_fin else errno.ECONNRESET)

    def delay(self) -> float:
        """Seconds until something sent now arrives."""
        weather = self._kernel.weather
        return weather.latency + weather.jitter * self._kernel.random.random()

    def push(self) -> None:
        """Send what may be sent: as much as the peer has room for."""
        peer = self.peer
        if peer is None or not self.is_connected or self.is_broken:
            return
        room = self._kernel.weather.buffer - len(peer.inbox) - self._flying
        pieces = 0
        until = _LATE_CHOP if self._pieces < _LATE_CHOP or self._kernel.random.random() < _CHOPPED else 0
        while self._outbox and room > 0:
            size = min(len(self._outbox), room)
            if self._chop < size and pieces < until:
                size = self._kernel.random.randint(1, self._chop)
            pieces += 1
            self._pieces += 1
            piece = bytes(self._outbox[:size])
            del self._outbox[:size]
            self._flying += size
            room -= size
            self._fly(piece)
        if self._fin_wanted and not self._outbox and not self._fin_sent:
            self._fin_sent = True
            self._fly(_FIN)

    def sever(self) -> None:
        """The network itself breaks the connection: both sides hear of it, what flies is lost."""
        for end in (self, self.peer):
            if end is not None:
                self._kernel.dropped += end._flying
                end._flying = 0
                end._flight.clear()
                end.on_reset(keeps_unread=self._kernel.random.random() < 0.7)

    def land(self) -> None:
        """What flew to the peer arrives, in order, as far as the way is free."""
        self._is_armed = False
        peer = self.peer
        while self._flight and peer is not None:
            when, thing = self._flight[0]
            if peer.is_deaf or self._kernel.is_cut(self):
                self._send_again()
                return
            when = max(when, peer.stalled_until)
            if when > self._kernel.now:
                self._arm(when)
                return
            self._gives_up_at = None
            self._flight.popleft()
            self._arrive(peer, thing)

    def _fly(self, thing: bytes) -> None:
        gap = _GAP_SECONDS * self._kernel.random.random() if self._chop < _GAP_BELOW else 0.0
        self._lands_at = max(self._kernel.now + self.delay(), self._lands_at + gap)
        self._flight.append((self._lands_at, thing))
        self._arm(self._flight[0][0])

    def _arm(self, when: float) -> None:
        if not self._is_armed:
            self._is_armed = True
            self._kernel.at(when, self.land)

    def _arrive(self, peer: "End", thing: bytes) -> None:
        if thing is _FIN:
            if not peer.is_broken:
                peer.has_fin = True
                self._kernel.note("fin", peer.number)
                peer.on_change()
            self.forget_when_through()
            peer.forget_when_through()
        elif thing is _RST:
            peer.on_reset(keeps_unread=self._kernel.random.random() < 0.7)
        else:
            self._flying -= len(thing)
            if peer.is_closed or peer.is_broken:
                self._kernel.dropped += len(thing)
                self._kernel.at(self._kernel.now + self.delay(), self._on_nobody)
                return
            peer.inbox.extend(thing)
            peer.on_change()
            self.on_change()
            self.push()

    def _send_again(self) -> None:
        """Nothing gets through: in the end the sender gives up, unless the way is free before."""
        if self._gives_up_at is None:
            self._gives_up_at = self._kernel.now + _GIVE_UP_SECONDS
            self._kernel.at(self._gives_up_at, self._give_up)

    def _give_up(self) -> None:
        if self._gives_up_at is not None and self._kernel.now >= self._gives_up_at:
            self._kernel.dropped += self._flying
            self._flying = 0
            self._flight.clear()
            if not self.is_broken:
                self.fail(errno.ETIMEDOUT)
            self._forget()

    def _on_nobody(self) -> None:
        self.on_reset(keeps_unread=self._kernel.random.random() < 0.7)

    def _send_reset(self) -> None:
        self._kernel.dropped += len(self._outbox)
        self._outbox.clear()
        self._fly(_RST)

    def forget_when_through(self) -> None:
        """Leave the tables when closed and all was said."""
        if self.is_closed and self._fin_sent and not self.unacknowledged:
            self._forget()

    def _forget(self) -> None:
        self._kernel.ends.pop(self.number, None)


def _nothing() -> None:
    """Nobody is there to be told."""
