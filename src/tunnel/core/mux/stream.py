"""One live stream: two halves, each with its credit, and what still has to be said about it on the wire."""

from typing import Final, final

from tunnel.core.base.ids import StreamId
from tunnel.core.base.partial import frame_header_bytes
from tunnel.core.mux.header import DATA, FIN, HEADER_BYTES, WINDOW_UPDATE
from tunnel.core.mux.send_queue import SendQueue
from tunnel.core.mux.window import ReceiveWindow, SendWindow

__all__ = ["Stream"]


@final
class Stream:
    """A stream from its SYN until both FINs have passed (then `is_closed`) or it is removed by a reset."""

    __slots__ = (
        "has_sent_fin",
        "id",
        "is_breaking",
        "is_crowded",
        "is_ending",
        "is_offered",
        "opening",
        "peer_ended",
        "queue",
        "receive_window",
        "send_window",
    )

    def __init__(self, stream: StreamId, opening: int, window: ReceiveWindow) -> None:
        self.id: Final = stream
        self.opening = opening  # SYN or ACK until that flag has been sent
        self.queue: Final = SendQueue()
        self.send_window: Final = SendWindow()
        self.receive_window: Final = window
        self.is_ending = False  # our side wants FIN after the queue
        self.is_breaking = False  # our side wants RST after the queue, and nothing more of the peer
        self.has_sent_fin = False
        self.peer_ended = False
        self.is_crowded = False  # its queue passed the limit and has not fallen to half of it since
        self.is_offered = False  # listed in the outbox for data

    @property
    def is_sendable(self) -> bool:
        """Whether a Data frame could go now: bytes and credit, or a FIN with nothing before it."""
        if self.queue.size:
            return self.send_window.credit > 0
        return self.is_ending and not self.has_sent_fin

    @property
    def is_broken(self) -> bool:
        """Whether all that was to go before its RST has gone."""
        return self.is_breaking and not self.queue.size

    @property
    def is_closed(self) -> bool:
        """Whether both FINs have passed."""
        return self.has_sent_fin and self.peer_ended

    def write_data(self, parts: list[bytes], payload_max: int) -> int:
        """Append one Data frame, while `is_sendable`; how many bytes the frame has.

        FIN goes in a frame of its own: @libp2p/yamux drops what comes in one frame with it once its own side has ended.
        """
        queue = self.queue
        count = min(queue.size, self.send_window.credit, payload_max)
        flags = 0
        if queue.size == 0:
            flags = FIN
            self.has_sent_fin = True
        parts.append(frame_header_bytes(DATA, flags, self.id, count))
        queue.take(count, parts)
        self.send_window.spend(count)
        return HEADER_BYTES + count

    def write_update(self, parts: list[bytes]) -> None:
        """Append one Window Update with all credit owed, and SYN or ACK if that was still to be said."""
        parts.append(frame_header_bytes(WINDOW_UPDATE, self.opening, self.id, self.receive_window.grant()))
        self.opening = 0
