"""The first bytes of a crossing: which lease it is for and from where the visitor came, then one byte of answer.

What follows is the agent's stream, in both directions and unchanged.
"""

from collections.abc import Mapping
from typing import Final, final

from tunnel.core.base.ids import Epoch
from tunnel.core.base.outcome import Outcome, Success, value_of
from tunnel.core.base.partial import uint_at, uint_bytes
from tunnel.core.base.problem import AGENT_OFFLINE, EXPOSURE_OVER, LINK_BUSY, NOT_PERMITTED, Problem
from tunnel.core.link.errors import PrefaceMalformed
from tunnel.core.link.preface import PrefaceReader, StreamPreface, encode_preface

CROSSED: Final = b"\0"
"""The agent's stream is open; its bytes follow."""

_EPOCH_BYTES: Final = 8
_REFUSALS: Final[Mapping[bytes, Problem]] = {
    b"\1": AGENT_OFFLINE,
    b"\2": NOT_PERMITTED,
    b"\3": LINK_BUSY,
    b"\4": EXPOSURE_OVER,
}


@final
class Crossing:
    """A visitor's stream for the agent that holds the lease of this epoch."""

    def __init__(self, epoch: Epoch, preface: StreamPreface) -> None:
        self.epoch: Final = epoch
        self.preface: Final = preface


def encode_crossing(crossing: Crossing) -> bytes:
    """What is written first on a crossing."""
    return uint_bytes(crossing.epoch, _EPOCH_BYTES) + encode_preface(crossing.preface)


@final
class CrossingReader:
    """Feed the first bytes in, until the crossing comes out; it is finished then, or at its one error."""

    def __init__(self) -> None:
        self._held = b""
        self._preface: PrefaceReader | None = None

    def receive(self, data: bytes) -> Outcome[Crossing | None, PrefaceMalformed]:
        """The crossing once it is complete, else None. Not to be fed again after either end."""
        reader = self._preface
        if reader is None:
            self._held += data
            if len(self._held) < _EPOCH_BYTES:
                return Success(None)
            reader = self._preface = PrefaceReader()
            data = self._held[_EPOCH_BYTES:]
        read = reader.receive(data)
        if not isinstance(read, Success):
            return read
        preface = value_of(read)
        return Success(None if preface is None else Crossing(Epoch(uint_at(self._held, 0, _EPOCH_BYTES)), preface))

    def take_rest(self) -> bytes:
        """What came after the preface; handed over once."""
        return b"" if self._preface is None else self._preface.take_rest()


def refusal_bytes(problem: Problem) -> bytes:
    """The answer instead of `CROSSED`; what no code stands for is said as an agent that is offline."""
    for code, known in list(_REFUSALS.items()):
        if known == problem:
            return code
    return b"\1"


def problem_of_answer(answer: bytes) -> Problem | None:
    """What the one byte of answer refuses, or None when the crossing stands."""
    return None if answer == CROSSED else _REFUSALS.get(answer, AGENT_OFFLINE)
