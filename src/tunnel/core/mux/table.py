"""The live streams of a session: ids, how many there may be, and the bytes their readers have not taken."""

from typing import Final, final

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.mux.header import ACK, STREAM_ID_MAX, SYN
from tunnel.core.mux.outbox import Outbox
from tunnel.core.mux.role import Role
from tunnel.core.mux.stream import Stream
from tunnel.core.mux.tuning import WindowTuner

__all__ = ["StreamTable"]


@final
class StreamTable:
    """Streams by id. A stream is in it from its SYN until it is closed or reset, and not a moment longer."""

    __slots__ = ("_next_id", "_outbox", "_own_parity", "_streams_max", "live", "tuner", "unread")

    def __init__(self, role: Role, limits: Limits, outbox: Outbox, tuner: WindowTuner, first_id: int) -> None:
        self._own_parity: Final = 1 if role is Role.CLIENT else 0
        self._streams_max: Final = limits.streams_per_session_max
        self._outbox: Final = outbox
        self.tuner: Final = tuner
        self._next_id = first_id or 2 - self._own_parity
        self.live: Final[dict[StreamId, Stream]] = {}
        self.unread = 0

    @property
    def is_full(self) -> bool:
        """Whether no stream may be added. One whose RST has not left counts: so resets waiting are bounded, too."""
        return len(self.live) + self._outbox.resets_waiting >= self._streams_max

    @property
    def is_exhausted(self) -> bool:
        """Whether all ids of our parity were used; none is ever used again."""
        return self._next_id > STREAM_ID_MAX

    def is_ours(self, stream: StreamId) -> bool:
        """Whether the id has the parity that we open."""
        return (stream & 1) == self._own_parity

    def open_own(self) -> StreamId:
        """Begin a stream of ours; the caller asked `is_full` and `is_exhausted`."""
        stream = StreamId(self._next_id)
        self._next_id += 2
        self._add(Stream(stream, SYN, self.tuner.begin()))
        return stream

    def open_peers(self, stream: StreamId) -> None:
        """Begin a stream of the peer, acknowledged at once: one old opener ends its session after 75 s without."""
        self._add(Stream(stream, ACK, self.tuner.begin()))

    def _add(self, stream: Stream) -> None:
        self.live[stream.id] = stream
        self._outbox.owe(stream)

    def hold(self, stream: Stream, count: int) -> None:
        """Count bytes that arrived and that their reader has not taken."""
        stream.receive_window.unread += count
        self.unread += count

    def release(self, stream: Stream, count: int, now: Instant) -> bool:
        """Count up to `count` of them as taken, and let the peer know when it is worth a frame.

        Whether a whole window was taken since that was last measured: then the link is busy.
        """
        window = stream.receive_window
        taken = window.take_back(count)
        self.unread -= taken
        if stream.peer_ended:
            return False
        is_busy = self.tuner.settle(window, taken, self.unread, len(self.live), now)
        if window.is_update_due:
            self._outbox.owe(stream)
        return is_busy

    def forget(self, stream: Stream) -> None:
        """Remove a stream that is closed; its unread bytes no longer count here, its reader has them."""
        self.live.pop(stream.id, None)
        self.unread -= stream.receive_window.unread
        self.tuner.forget(stream.receive_window)
        self._outbox.withdraw(stream)

    def abandon(self, stream: Stream) -> None:
        """Remove a stream in the middle, with RST; the peer is told nothing of one that it never heard of."""
        self.forget(stream)
        if stream.opening != SYN:
            self._outbox.reset(stream.id)

    def most_unread(self, most: Stream) -> Stream:
        """The stream whose reader holds back most, starting from one that is live."""
        for stream in list(self.live.values()):
            if stream.receive_window.unread > most.receive_window.unread:
                most = stream
        return most
