"""What a session tells its owner. Plain final classes: built once or more for every read (ADR 0004)."""

from typing import Final, TypeAlias, final

from tunnel.core.base.ids import StreamId

__all__ = [
    "Event",
    "PeerGoingAway",
    "Pong",
    "StreamData",
    "StreamEnded",
    "StreamOpened",
    "StreamReset",
    "StreamWritable",
]


@final
class StreamOpened:
    """The peer opened a stream; it is acknowledged already."""

    __slots__ = ("stream",)

    def __init__(self, stream: StreamId) -> None:
        self.stream: Final = stream


@final
class StreamData:
    """Bytes of a stream, in order, never empty; they count as unread until `return_credit` takes them back."""

    __slots__ = ("data", "stream")

    def __init__(self, stream: StreamId, data: bytes) -> None:
        self.stream: Final = stream
        self.data: Final = data


@final
class StreamEnded:
    """The peer sends nothing more on this stream (FIN); all its data was told before. We may still send."""

    __slots__ = ("stream",)

    def __init__(self, stream: StreamId) -> None:
        self.stream: Final = stream


@final
class StreamReset:
    """The stream broke, by the peer, by a limit or with the link; it is gone in both directions."""

    __slots__ = ("stream",)

    def __init__(self, stream: StreamId) -> None:
        self.stream: Final = stream


@final
class StreamWritable:
    """The queue of a stream that was above its limit has fallen to half of it; its source may go on."""

    __slots__ = ("stream",)

    def __init__(self, stream: StreamId) -> None:
        self.stream: Final = stream


@final
class PeerGoingAway:
    """The peer sent GOAWAY: 0 normal, 1 protocol error, 2 internal error. Open streams go on, we open no more."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code: Final = code


@final
class Pong:
    """The peer answered our latest ping, this many seconds after it was asked for."""

    __slots__ = ("rtt_seconds",)

    def __init__(self, rtt_seconds: float) -> None:
        self.rtt_seconds: Final = rtt_seconds


Event: TypeAlias = StreamOpened | StreamData | StreamEnded | StreamReset | StreamWritable | PeerGoingAway | Pong
