"""Fuzz targets of the mux part: a reader that means the same in any cut, and a session against any peer and owner.

`frames` takes raw bytes: the first one says where to cut the rest. `session` and `windows` take a list of actions: a
byte for what happens, then its arguments; so a mutation changes one action and not the meaning of all that follows.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import MIB, Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.mux.errors import describe
from tunnel.core.mux.events import Event, PeerGoingAway, Pong, StreamData, StreamEnded, StreamOpened, StreamReset
from tunnel.core.mux.header import INITIAL_WINDOW_BYTES
from tunnel.core.mux.keepalive import Keepalive
from tunnel.core.mux.reader import Frame, FrameReader
from tunnel.core.mux.session import Role, Session
from tunnel.core.mux.tuning import WindowTuner
from tunnel.core.mux.window import ReceiveWindow

HEADER: Final = Struct(">BBHII")
FRAME_BYTES_MAX: Final = 64
LIMITS: Final = Limits(
    frame_bytes_max=300,
    frame_bytes_sent_max=50,
    session_buffer_bytes_max=2000,
    streams_per_session_max=4,
    stream_queue_bytes=200,
    control_frames_max=8,
)
WIDE: Final = Limits(
    stream_window_bytes_max=2 * MIB, session_growth_bytes_max=4 * MIB, session_buffer_bytes_max=2 * MIB
)
START: Final = Instant(0.0)
PLENTY: Final = 1 << 20


def fuzz_frames(data: bytes) -> None:
    """The same frames whole and cut; payload never beyond what was announced; nothing after a fault."""
    step, wire = (data[0] or 1, data[1:]) if data else (1, data)
    whole, cut = FrameReader(FRAME_BYTES_MAX), FrameReader(FRAME_BYTES_MAX)
    at_once = whole.receive(wire)
    pieces = [frame for at in range(0, len(wire), step) for frame in cut.receive(wire[at : at + step])]
    assert whole.fault == cut.fault
    assert _headers(at_once) == _headers(pieces)
    assert b"".join(frame.payload for frame in at_once) == b"".join(frame.payload for frame in pieces)
    assert sum(len(frame.payload) for frame in at_once) <= sum(frame.length for frame in at_once if frame.kind == 0)
    if whole.fault is not None:
        assert describe(whole.fault)
        assert whole.receive(wire) == []


def _headers(frames: list[Frame]) -> list[tuple[int, int, int, int]]:
    """What the headers said; later pieces of a frame have none, but for the FIN that they may carry."""
    seen: list[tuple[int, int, int, int]] = []
    left = 0
    for frame in frames:
        if left:
            kind, flags, stream, length = seen[-1]
            assert (frame.kind, frame.stream, frame.length) == (kind, stream, 0)
            seen[-1] = (kind, flags | frame.flags, stream, length)
        else:
            seen.append((frame.kind, frame.flags, frame.stream, frame.length))
            left = frame.length if frame.kind == 0 else 0
        left -= len(frame.payload)
        assert left >= 0
    return seen


class _Actions:
    """The bytes of a fuzz input, taken from the front; zeros when they have run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def is_left(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        return self.some(1)[0] if self.is_left() else 0

    def some(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken


class _Owner:
    """What an owner of a session may rely on, checked against every event."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.live: set[StreamId] = set()
        self.ended: set[StreamId] = set()
        self.ending: set[StreamId] = set()
        self.unread: dict[StreamId, int] = {}

    def hear(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, PeerGoingAway | Pong):
                continue
            stream = event.stream
            if isinstance(event, StreamOpened):
                assert stream not in self.live or self.may_be_closed(stream)
                self.begin(stream)
                continue
            assert stream in self.live
            if isinstance(event, StreamData):
                assert event.data
                assert stream not in self.ended
                self.unread[stream] += len(event.data)
            elif isinstance(event, StreamEnded):
                assert stream not in self.ended
                self.ended.add(stream)
            elif isinstance(event, StreamReset):
                self.live.discard(stream)

    def begin(self, stream: StreamId) -> None:
        self.live.add(stream)
        self.ended.discard(stream)
        self.ending.discard(stream)
        self.unread[stream] = 0

    def may_be_closed(self, stream: StreamId) -> bool:
        """Both ends have said FIN: the stream is gone once ours has left, and no event tells an owner what it knows."""
        return stream in self.ended and stream in self.ending


def fuzz_session(data: bytes) -> None:
    """Frames of a hostile peer, commands of an owner and ticks of a clock, in any order."""
    actions = _Actions(data)
    session = Session(Role.SERVER if actions.byte() & 1 else Role.CLIENT, LIMITS, START)
    owner = _Owner(session)
    now = START
    while actions.is_left():
        verb = actions.byte() % 10
        if verb < 4:
            _receive(session, owner, _wire(verb, actions), now)
        elif verb == 4:
            now = Instant(now + actions.byte() / 16)
            _tick(session, now)
        else:
            _command(session, owner, verb, actions, now)
        _check(session, owner)
    left = session.live_streams
    session.take_events()
    assert len(session.on_link_lost()) == left
    assert session.poll_output(PLENTY) == b""
    assert session.unread == session.live_streams == 0


def _wire(verb: int, actions: _Actions) -> bytes:
    if verb == 0:
        return actions.some(actions.byte())
    if verb == 1:
        payload = bytes(actions.byte())
        return HEADER.pack(0, 0, actions.byte(), actions.byte() % 8, len(payload)) + payload
    if verb == 2:
        return HEADER.pack(0, 1, actions.byte(), actions.byte() % 8, actions.byte() << (actions.byte() % 25))
    return HEADER.pack(0, 2 + actions.byte() % 2, actions.byte(), 0, actions.byte())


def _receive(session: Session, owner: _Owner, wire: bytes, now: Instant) -> None:
    was_over = session.is_over
    outcome = session.receive(wire, now)
    if isinstance(outcome, Success):
        assert not (was_over and value_of(outcome))
        owner.hear(value_of(outcome))
        return
    assert describe(error_of(outcome))
    assert session.is_over
    owner.hear(session.take_events())
    assert session.poll_output(PLENTY) == HEADER.pack(0, 3, 0, 0, 1)


def _tick(session: Session, now: Instant) -> None:
    outcome = session.on_time(now)
    if not isinstance(outcome, Success):
        assert session.is_over
        assert now >= session.heard_at + LIMITS.heartbeat_deadline_seconds
    else:
        assert session.next_deadline() > now


def _command(session: Session, owner: _Owner, verb: int, actions: _Actions, now: Instant) -> None:
    stream = StreamId(actions.byte() % 8)
    if verb == 5:
        opened = session.open_stream()
        if isinstance(opened, Success):
            owner.begin(value_of(opened))
    elif verb == 6:
        before = session.queued(stream)
        size = actions.byte()
        sent = session.send(stream, bytes(size))
        assert session.queued(stream) == (before + size if isinstance(sent, Success) else before)
    elif verb == 7:
        session.end(stream)
        owner.ending.add(stream)
    elif verb == 8:
        kind = actions.byte()
        if kind & 1:
            session.return_credit(stream, actions.byte(), now)
        elif kind & 2:
            session.go_away(kind >> 6)
        elif kind & 4:
            session.ping(now)
        elif not session.is_over:
            session.reset(stream)
            owner.live.discard(stream)
    else:
        room = actions.byte()
        _check_frames(session.poll_output(room), room)
        owner.hear(session.take_events())


def _check_frames(wire: bytes, room: int) -> None:
    """Whole frames of ours, in the room given, none longer than we promise."""
    assert len(wire) <= room
    reader = FrameReader(LIMITS.frame_bytes_sent_max)
    frames = reader.receive(wire)
    assert reader.fault is None
    assert len(wire) == sum(HEADER.size + len(frame.payload) for frame in frames)


def _check(session: Session, owner: _Owner) -> None:
    assert session.live_streams <= LIMITS.streams_per_session_max
    known = [stream for stream in owner.live if not owner.may_be_closed(stream)]
    assert len(known) <= session.live_streams <= len(owner.live)
    assert session.unread <= LIMITS.session_buffer_bytes_max
    assert session.unread <= session.granted
    assert session.granted <= INITIAL_WINDOW_BYTES * session.live_streams + LIMITS.session_growth_bytes_max
    assert session.unread <= sum(owner.unread[stream] for stream in owner.live)


def fuzz_windows(data: bytes) -> None:
    """Windows of one session in whole units of 16 KiB: the books are right, and no stream rests for ever."""
    actions = _Actions(data)
    keepalive = Keepalive(5.0, 15.0, START)
    tuner = WindowTuner(WIDE, keepalive)
    windows = [tuner.begin()]
    now = START
    while actions.is_left():
        verb, window = actions.byte() % 8, windows[actions.byte() % len(windows)]
        if verb == 0:
            now = Instant(now + actions.byte() / 64)
        elif verb == 1:
            keepalive.round_trip(keepalive.ask(now), now := Instant(now + actions.byte() / 256))
        elif verb == 2 and len(windows) < 12:
            windows.append(tuner.begin())
        elif verb == 3 and len(windows) > 1:
            windows.remove(window)
            tuner.forget(window)
        elif verb == 4 and window.is_update_due:
            assert window.grant() > 0
        elif verb < 6:
            size = min(actions.byte() << 14, window.credit)
            assert window.spend(size)
            window.unread += size
        else:
            taken = window.take_back(actions.byte() << 14)
            tuner.settle(window, taken, sum(one.unread for one in windows), len(windows), now)
        _check_windows(tuner, windows)


def _check_windows(tuner: WindowTuner, windows: list[ReceiveWindow]) -> None:
    for window in windows:
        assert window.credit + window.unread + window.owed == window.size
        assert min(window.credit, window.unread, window.owed) >= 0
        assert WIDE.stream_window_bytes_min <= window.target <= window.size <= WIDE.stream_window_bytes_max
        assert window.unread or window.credit or window.is_update_due
    assert tuner.granted == sum(window.size for window in windows)
    assert tuner.granted <= WIDE.stream_window_bytes * len(windows) + WIDE.session_growth_bytes_max


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": fuzz_frames,
    "session": fuzz_session,
    "windows": fuzz_windows,
}
