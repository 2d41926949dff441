"""What ends a yamux session or refuses a command: small records of facts, one sentence and one GOAWAY code for each."""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

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
    if isinstance(error, (UnknownVersion, UnknownKind, SessionFrameOnStream, StreamZero, FrameTooLong)):
        return _describe_frame(error)
    if isinstance(error, (WrongParity, StreamReopened, FlowControlViolated, WindowOverflow)):
        return _describe_stream(error)
    if isinstance(error, (PeerDoesNotRead, PeerSilent)):
        return _describe_peer(error)
    return _describe_refusal(error)


# Each function below ends by giving the one member that is left its type: a member that is added to a union and
# forgotten here is a type error on that line.


def _describe_frame(error: FrameRefused) -> str:
    if isinstance(error, UnknownVersion):
        return f"a yamux frame of version {error.seen} arrived, only version 0 exists: is the peer a yamux peer at all?"
    if isinstance(error, UnknownKind):
        return f"a yamux frame of type {error.seen} arrived, only 0 to 3 exist: update the peer"
    if isinstance(error, SessionFrameOnStream):
        return f"a yamux frame of type {error.kind} named stream {error.stream}, it must name 0: fix the peer"
    if isinstance(error, StreamZero):
        return f"a yamux frame of type {error.kind} named stream 0, which is never a stream: fix the peer"
    long: FrameTooLong = error
    return (
        f"stream {long.stream} announced a frame of {long.length} bytes, at most {long.limit} are taken: "
        "make the peer send shorter frames or raise frame_bytes_max"
    )


def _describe_stream(error: StreamFault) -> str:
    if isinstance(error, WrongParity):
        return f"the peer opened stream {error.stream}, an id of our own parity: are both ends in the same role?"
    if isinstance(error, StreamReopened):
        return f"the peer opened stream {error.stream} while it was still open: fix the peer"
    if isinstance(error, FlowControlViolated):
        return (
            f"the peer sent a frame of {error.length} bytes on stream {error.stream}, "
            f"its window had {error.window} left: fix the peer"
        )
    wide: WindowOverflow = error
    return (
        f"the peer widened the window of stream {wide.stream} from {wide.window} by {wide.delta}, "
        "beyond 2^32-1: fix the peer"
    )


def _describe_peer(error: PeerFault) -> str:
    if isinstance(error, PeerDoesNotRead):
        return (
            f"{error.waiting} answers wait for a peer that asks and does not read, "
            f"at most {error.limit} may: connect again"
        )
    silent: PeerSilent = error
    return (
        f"nothing was heard for {silent.silent_seconds:.1f} s, "
        f"at most {silent.limit_seconds:.1f} s are allowed: connect again"
    )


def _describe_refusal(error: CannotOpen | StreamGone) -> str:
    if isinstance(error, SessionOver):
        return "the session is over: connect again"
    if isinstance(error, SessionDraining):
        return "the session is draining and opens no more streams: use a new session"
    if isinstance(error, StreamLimitReached):
        return f"{error.limit} streams are open, which is the limit of one session: try later or raise it"
    if isinstance(error, StreamIdsExhausted):
        return f"the session has used its last stream id, {error.last}: use a new session"
    gone: StreamGone = error
    return f"stream {gone.stream} takes no more bytes, it was ended, reset or never open: open another"
