"""Bytes in, whole heads out: finds the empty line that ends a head, within a limit and without reading twice."""

from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.http.diagnosis import line_fault
from tunnel.core.http.errors import FirstLineTooLong, HeadError, HeadTooLong
from tunnel.core.http.grammar import CRLF, HEAD_END


@final
class HeadReader:
    """Collects one head at a time, and then the next; a first error is final.

    A head handed out holds no NUL and no line end but CR LF; whether its lines mean anything is for the parsers. Bytes
    after it are kept until `take_rest`, or begin the next head. The verdict does not depend on how bytes are cut.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max: Final = bytes_max
        self._held = bytearray()
        self._seen = 0
        self._error: HeadError | None = None

    @property
    def held(self) -> int:
        """Bytes held: 0 between messages, the part of a head that has come, or what came after it."""
        return len(self._held)

    def receive(self, data: bytes) -> Outcome[bytes | None, HeadError]:
        """The next whole head, to its last CR LF, or None while bytes are missing."""
        if not self._held and self._error is None:
            end = data.find(HEAD_END) + len(HEAD_END)
            if len(HEAD_END) <= end <= self._bytes_max:
                raw = data[:end]
                if raw.count(b"\n") == raw.count(CRLF) == raw.count(b"\r") and b"\x00" not in raw:
                    if end < len(data):
                        self._held += data[end:]
                    return Success(raw)
        return self._receive_slowly(data)

    def take_rest(self) -> bytes:
        """The bytes that came after the head, handed over once; call it when `receive` has given a head."""
        rest = bytes(self._held)
        self._held.clear()
        self._seen = 0
        return rest

    def _receive_slowly(self, data: bytes) -> Outcome[bytes | None, HeadError]:
        """The general case: a head over several reads, one that is refused, or one that waited as rest."""
        if self._error is not None:
            return Failure(self._error)
        self._held += data
        held_bytes = len(self._held)
        end = self._held.find(HEAD_END, max(0, self._seen - len(HEAD_END) + 1))
        is_whole = 0 <= end <= self._bytes_max - len(HEAD_END)
        known = end + len(HEAD_END) if is_whole else min(held_bytes, self._bytes_max)
        error = self._fault(known)
        if error is None and not is_whole and held_bytes > self._bytes_max:
            error = self._too_long()
        if error is not None:
            self._error = error
            return Failure(error)
        if not is_whole:
            self._seen = held_bytes
            return Success(None)
        raw = bytes(self._held[:known])
        del self._held[:known]
        self._seen = 0
        return Success(raw)

    def _fault(self, known: int) -> HeadError | None:
        """The first NUL or lone CR or LF among the bytes up to `known` that were not looked at before."""
        before = max(0, self._seen - 1)
        return line_fault(bytes(self._held[before:known]), self._seen - before, before)

    def _too_long(self) -> HeadError:
        """Which part of the head was too long, so that a visitor is told 414 or 431."""
        if self._held.find(CRLF, len(CRLF), self._bytes_max) < 0:
            return FirstLineTooLong(self._bytes_max)
        return HeadTooLong(self._bytes_max)
