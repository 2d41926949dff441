"""What ends a yamux session or refuses a command: small records of facts, one sentence and one GOAWAY code for each."""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never, final

from tunnel.core.base.ids import StreamId

__all__ = [
    "GO_AWAY_INTERNAL_ERROR",
    "GO_AWAY_NORMAL",
    "GO_AWAY_PROTOCOL_ERROR",
    "CannotOpen",
    "FlowControlViolated",
    "FrameRefused",
    "FrameTooLong",
    "MuxError",
    "PeerDoesNotRead",
    "PeerSilent",
    "SessionDraining",
    "SessionFrameOnStream",
    "SessionOver",
    "StreamGone",
    "StreamIdsExhausted",
    "StreamLimitReached",
    "StreamReopened",
    "StreamZero",
    "UnknownKind",
    "UnknownVersion",
    "WindowOverflow",
    "WrongParity",
    "describe",
    "go_away_code",
]

GO_AWAY_NORMAL: Final = 0
GO_AWAY_PROTOCOL_ERROR: Final = 1
GO_AWAY_INTERNAL_ERROR: Final = 2


@final
@dataclass(frozen=True, slots=True)
class UnknownVersion:
    """A frame of a protocol version other than 0."""

    seen: int


@final
@dataclass(frozen=True, slots=True)
class UnknownKind:
    """A frame whose type is none of Data, Window Update, Ping and Go Away."""

    seen: int


@final
@dataclass(frozen=True, slots=True)
class SessionFrameOnStream:
    """A Ping or Go Away that names a stream, though it speaks of the session."""

    kind: int
    stream: int


@final
@dataclass(frozen=True, slots=True)
class StreamZero:
    """A Data or Window Update frame for stream 0, which is the session itself."""

    kind: int


@final
@dataclass(frozen=True, slots=True)
class FrameTooLong:
    """A Data header that announces more payload than we ever take in one frame."""

    stream: int
    length: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class WrongParity:
    """The peer opened a stream with an id that is ours to use."""

    stream: StreamId


@final
@dataclass(frozen=True, slots=True)
class StreamReopened:
    """A second SYN for a stream that is still open."""

    stream: StreamId


@final
@dataclass(frozen=True, slots=True)
class FlowControlViolated:
    """A Data frame longer than what the peer was still allowed to send on its stream."""

    stream: StreamId
    length: int
    window: int


@final
@dataclass(frozen=True, slots=True)
class WindowOverflow:
    """A Window Update that would make our send window wider than 2^32-1."""

    stream: StreamId
    window: int
    delta: int


@final
@dataclass(frozen=True, slots=True)
class PeerDoesNotRead:
    """The peer goes on causing answers (pongs, refusals) and takes none of them."""

    waiting: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing was heard from the peer for longer than the heartbeat deadline, although we asked."""

    silent_seconds: float
    limit_seconds: float


@final
@dataclass(frozen=True, slots=True)
class SessionOver:
    """The session has ended; nothing can be opened on it."""


@final
@dataclass(frozen=True, slots=True)
class SessionDraining:
    """A GOAWAY was sent or received; running streams go on, new ones need another session."""


@final
@dataclass(frozen=True, slots=True)
class StreamLimitReached:
    """As many streams are open as one session may have."""

    limit: int


@final
@dataclass(frozen=True, slots=True)
class StreamIdsExhausted:
    """All ids of our parity were used; only a new session has more."""

    last: int


@final
@dataclass(frozen=True, slots=True)
class StreamGone:
    """The stream takes no more bytes: it was ended, reset or never open."""

    stream: StreamId


FrameRefused: TypeAlias = UnknownVersion | UnknownKind | SessionFrameOnStream | StreamZero | FrameTooLong
"""What a header alone can be refused for."""

StreamFault: TypeAlias = WrongParity | StreamReopened | FlowControlViolated | WindowOverflow
"""What a sound header can break in the state of the session."""

PeerFault: TypeAlias = PeerDoesNotRead | PeerSilent
"""A peer that keeps the frame rules and yet cannot be worked with."""

MuxError: TypeAlias = FrameRefused | StreamFault | PeerFault
"""What ends a session."""

CannotOpen: TypeAlias = SessionOver | SessionDraining | StreamLimitReached | StreamIdsExhausted
"""Why no stream could be opened."""


def go_away_code(error: MuxError) -> int:
    """The code of the GOAWAY that tells the peer: only silence is not a breach of the protocol."""
    return GO_AWAY_INTERNAL_ERROR if isinstance(error, PeerSilent) else GO_AWAY_PROTOCOL_ERROR


def describe(error: MuxError | CannotOpen | StreamGone) -> str:
    """What was seen, what was expected, and what to do, in one or two sentences."""
    match error:
        case UnknownVersion() | UnknownKind() | SessionFrameOnStream() | StreamZero() | FrameTooLong():
            return _describe_frame(error)
        case WrongParity() | StreamReopened() | FlowControlViolated() | WindowOverflow():
            return _describe_stream(error)
        case PeerDoesNotRead() | PeerSilent():
            return _describe_peer(error)
        case _:
            return _describe_refusal(error)


def _describe_frame(error: FrameRefused) -> str:
    match error:
        case UnknownVersion(seen=seen):
            return f"a yamux frame of version {seen} arrived, only version 0 exists: is the peer a yamux peer at all?"
        case UnknownKind(seen=seen):
            return f"a yamux frame of type {seen} arrived, only 0 to 3 exist: update the peer"
        case SessionFrameOnStream(kind=kind, stream=stream):
            return f"a yamux frame of type {kind} named stream {stream}, it must name 0: fix the peer"
        case StreamZero(kind=kind):
            return f"a yamux frame of type {kind} named stream 0, which is never a stream: fix the peer"
        case FrameTooLong(stream=stream, length=length, limit=limit):
            return (
                f"stream {stream} announced a frame of {length} bytes, at most {limit} are taken: "
                "make the peer send shorter frames or raise frame_bytes_max"
            )
        case _:
            assert_never(error)


def _describe_stream(error: StreamFault) -> str:
    match error:
        case WrongParity(stream=stream):
            return f"the peer opened stream {stream}, an id of our own parity: are both ends in the same role?"
        case StreamReopened(stream=stream):
            return f"the peer opened stream {stream} while it was still open: fix the peer"
        case FlowControlViolated(stream=stream, length=length, window=window):
            return f"the peer sent {length} bytes on stream {stream}, its window had {window} left: fix the peer"
        case WindowOverflow(stream=stream, window=window, delta=delta):
            return (
                f"the peer widened the window of stream {stream} from {window} by {delta}, beyond 2^32-1: fix the peer"
            )
        case _:
            assert_never(error)


def _describe_peer(error: PeerFault) -> str:
    match error:
        case PeerDoesNotRead(waiting=waiting, limit=limit):
            return f"{waiting} answers wait for a peer that asks and does not read, at most {limit} may: connect again"
        case PeerSilent(silent_seconds=silent, limit_seconds=limit):
            return f"nothing was heard for {silent:.1f} s, at most {limit:.1f} s are allowed: connect again"
        case _:
            assert_never(error)


def _describe_refusal(error: CannotOpen | StreamGone) -> str:
    match error:
        case SessionOver():
            return "the session is over: connect again"
        case SessionDraining():
            return "the session is draining and opens no more streams: use a new session"
        case StreamLimitReached(limit=limit):
            return f"{limit} streams are open, which is the limit of one session: try later or raise it"
        case StreamIdsExhausted(last=last):
            return f"the session has used its last stream id, {last}: use a new session"
        case StreamGone(stream=stream):
            return f"stream {stream} takes no more bytes, it was ended, reset or never open: open another"
        case _:
            assert_never(error)
