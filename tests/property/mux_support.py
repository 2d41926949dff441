"""What the mux tests share: frames written and read without the code under test, and a link of two sessions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, TypeAlias

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.mux.errors import MuxError
from tunnel.core.mux.events import (
    Event,
    PeerGoingAway,
    Pong,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from tunnel.core.mux.session import Role, Session

DATA, UPDATE, PING, AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW: Final = 262_144
START: Final = Instant(1000.0)
PLENTY: Final = 1 << 24

_HEADER: Final = Struct(">BBHII")

Fact: TypeAlias = tuple[str | int | bytes | float, ...]
"""An event as a value: its name, then what it holds."""

Seen: TypeAlias = tuple[int, int, int, int, bytes]
"""A frame as it was sent: type, flags, stream, length, payload."""


def header(kind: int, flags: int, stream: int, length: int, version: int = 0) -> bytes:
    """Any header, sound or not."""
    return _HEADER.pack(version, kind, flags, stream, length)


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    return header(DATA, flags, stream, len(payload)) + payload


def update(stream: int, delta: int, flags: int = 0) -> bytes:
    return header(UPDATE, flags, stream, delta)


def frames_of(wire: bytes) -> list[Seen]:
    """The frames of `wire`, which must be whole; read here, so that the code under test does not judge itself."""
    seen: list[Seen] = []
    at = 0
    while at < len(wire):
        version, kind, flags, stream, length = _HEADER.unpack_from(wire, at)
        assert version == 0
        at += _HEADER.size
        end = at + (length if kind == DATA else 0)
        assert end <= len(wire)
        seen.append((kind, flags, stream, length, wire[at:end]))
        at = end
    return seen


def fact(event: Event) -> Fact:
    match event:
        case StreamOpened():
            return ("opened", event.stream)
        case StreamData():
            return ("data", event.stream, event.data)
        case StreamEnded():
            return ("ended", event.stream)
        case StreamReset():
            return ("reset", event.stream)
        case StreamWritable():
            return ("writable", event.stream)
        case PeerGoingAway():
            return ("going away", event.code)
        case Pong():
            return ("pong", event.rtt_seconds)


def facts(events: Iterable[Event]) -> list[Fact]:
    return [fact(event) for event in events]


def joined(events: Iterable[Event]) -> list[Fact]:
    """Events with neighbouring data of one stream put together: where reads were cut is nobody's business."""
    told: list[Fact] = []
    for event in events:
        last = told[-1] if told else None
        if isinstance(event, StreamData) and last is not None and last[:2] == ("data", event.stream):
            assert isinstance(last[2], bytes)
            told[-1] = ("data", event.stream, last[2] + event.data)
        else:
            told.append(fact(event))
    return told


def server(limits: Limits = DEFAULT_LIMITS) -> Session:
    return Session(Role.SERVER, limits, START)


def client(limits: Limits = DEFAULT_LIMITS) -> Session:
    return Session(Role.CLIENT, limits, START)


def hear(session: Session, wire: bytes, now: Instant = START) -> list[Fact]:
    """What a session tells about bytes that it must accept."""
    outcome = session.receive(wire, now)
    assert isinstance(outcome, Success), error_of(outcome)
    return facts(value_of(outcome))


def refusal(session: Session, wire: bytes, now: Instant = START) -> MuxError:
    """Why a session ended over bytes that it must not accept, having checked that it ended as it should."""
    outcome = session.receive(wire, now)
    assert isinstance(outcome, Failure)
    assert session.is_over
    assert sent(session) == [(AWAY, 0, 0, 1, b"")]
    assert not session.has_output
    return error_of(outcome)


def sent(session: Session, bytes_max: int = PLENTY) -> list[Seen]:
    """The frames that a session wants to send now."""
    return frames_of(session.poll_output(bytes_max))


def opened(session: Session) -> StreamId:
    """A new stream of ours, its SYN sent."""
    outcome = session.open_stream()
    assert isinstance(outcome, Success), error_of(outcome)
    sent(session)
    return value_of(outcome)


def queue(session: Session, stream: StreamId, payload: bytes) -> int:
    outcome = session.send(stream, payload)
    assert isinstance(outcome, Success), error_of(outcome)
    return value_of(outcome)


def accepted(session: Session, stream: int) -> StreamId:
    """A stream of the peer, its ACK sent; no more than that leaves."""
    assert hear(session, update(stream, 0, SYN)) == [("opened", stream)]
    assert sent(session, 12) == [(UPDATE, ACK, stream, 0, b"")]
    return StreamId(stream)


@dataclass
class Link:
    """Two sessions and the bytes between them; `told` keeps what each end heard, client first."""

    limits: Limits = DEFAULT_LIMITS
    ends: tuple[Session, Session] = field(init=False)
    wires: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))

    def __post_init__(self) -> None:
        self.ends = (client(self.limits), server(self.limits))

    def write(self, end: int, bytes_max: int) -> int:
        """Move output of an end to the wire; how many bytes."""
        out = self.ends[end].poll_output(bytes_max)
        assert len(out) <= bytes_max
        self.wires[end].extend(out)
        return len(out)

    def read(self, end: int, bytes_max: int, now: Instant = START) -> list[Event]:
        """Let an end receive what the other one wrote, up to some bytes, and whatever else it has to tell."""
        wire = self.wires[1 - end]
        outcome = self.ends[end].receive(bytes(wire[:bytes_max]), now)
        del wire[:bytes_max]
        assert isinstance(outcome, Success), error_of(outcome)
        return value_of(outcome)
