"""What passes on the wire of one session, read from the plaintext that OpenSSL was given and gave, not by our code.

`Wire` keeps every header in order and judges both sides by the specification's rules on windows, ends and numbers.
"""

import ssl
from dataclasses import dataclass
from struct import Struct
from typing import Final, final

from typing_extensions import Buffer, override

DATA, UPDATE, PING, AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW: Final = 262_144
_HEADER: Final = Struct(">BBHII")


@final
@dataclass(frozen=True, slots=True)
class Frame:
    """One header; `ours` says who sent it."""

    ours: bool
    kind: int
    flags: int
    stream: int
    length: int


@final
class _Cutter:
    """Headers out of the bytes of one direction; payloads are counted and dropped."""

    def __init__(self) -> None:
        self._held = b""
        self._payload = 0

    def cut(self, data: bytes) -> list[tuple[int, int, int, int, int]]:
        """The headers that are complete now."""
        found: list[tuple[int, int, int, int, int]] = []
        self._held += data
        while True:
            skipped = min(self._payload, len(self._held))
            self._payload -= skipped
            self._held = self._held[skipped:]
            if self._payload or len(self._held) < _HEADER.size:
                return found
            header: tuple[int, int, int, int, int] = _HEADER.unpack(self._held[: _HEADER.size])
            self._held = self._held[_HEADER.size :]
            self._payload = header[4] if header[1] == DATA else 0
            found.append(header)


@final
class Wire:
    """Both directions of one session."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.faults: list[str] = []
        self._cutters: Final = {True: _Cutter(), False: _Cutter()}
        self._credit: Final[dict[tuple[bool, int], int]] = {}
        self._is_ended: Final[set[tuple[bool, int]]] = set()
        self._is_reset: Final[set[int]] = set()

    def passed(self, data: bytes, *, ours: bool) -> None:
        """Take bytes of one direction."""
        for version, kind, flags, stream, length in self._cutters[ours].cut(data):
            frame = Frame(ours, kind, flags, stream, length)
            if version != 0:
                self.faults.append(f"version {version}")
            self.frames.append(frame)
            if kind in {DATA, UPDATE}:
                self._judge(frame)

    def of(self, kind: int, *, ours: bool, flags: int = 0, stream: int | None = None) -> list[Frame]:
        """The frames of a kind that one side sent, with at least these flags."""
        return [
            frame
            for frame in self.frames
            if frame.ours is ours
            and frame.kind == kind
            and frame.flags & flags == flags
            and stream in {None, frame.stream}
        ]

    def data_bytes(self, stream: int, *, ours: bool) -> int:
        """Payload that one side has sent on a stream."""
        return sum(frame.length for frame in self.of(DATA, ours=ours, stream=stream))

    def _judge(self, frame: Frame) -> None:
        me, other = (frame.ours, frame.stream), (not frame.ours, frame.stream)
        if frame.flags & SYN:
            self._begin(frame.stream)
        if frame.stream in self._is_reset:
            return
        if frame.kind == UPDATE:
            self._credit[other] = self._credit.get(other, WINDOW) + frame.length
        else:
            self._credit[me] = self._credit.get(me, WINDOW) - frame.length
            if self._credit[me] < 0:
                self._fault(frame, f"sent {-self._credit[me]} bytes more than the window")
        if me in self._is_ended and (frame.flags & FIN or (frame.kind == DATA and frame.length)):
            self._fault(frame, "sent more after the end")
        if frame.flags & FIN:
            self._is_ended.add(me)
        if frame.flags & RST:
            self._is_reset.add(frame.stream)

    def _begin(self, stream: int) -> None:
        for ours in (True, False):
            self._credit[ours, stream] = WINDOW
            self._is_ended.discard((ours, stream))
        self._is_reset.discard(stream)

    def _fault(self, frame: Frame, text: str) -> None:
        self.faults.append(f"{'we' if frame.ours else 'the peer'} {text} of stream {frame.stream}")


class Tapped(ssl.SSLObject):
    """One end of a TLS connection whose plaintext the current `wire` sees."""

    wire: Wire = Wire()

    @override
    def do_handshake(self) -> None:
        super().do_handshake()
        self.seen = Tapped.wire

    @override
    def write(self, data: Buffer) -> int:
        taken = super().write(data)
        self.seen.passed(bytes(memoryview(data)[:taken]), ours=True)
        return taken

    @override
    def read(self, len: int = 1024, buffer: Buffer | None = None) -> bytes:
        heard = super().read(len, buffer)
        # With a buffer it answers a count, whatever the type says.
        self.seen.passed(heard if buffer is None else bytes(memoryview(buffer)[: int(heard)]), ours=False)
        return heard
