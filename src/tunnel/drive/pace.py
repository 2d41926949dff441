"""How much a link writes at a time: what its way passes on in a millisecond (ADR 0087)."""

from typing import Final, final

PORTION_BYTES_MIN: Final = 16 * 1024
"""One record of TLS."""
PORTION_BYTES_MAX: Final = 64 * 1024
"""One turn of the streams: on a fast way, where a turn is nothing, one call instead of four."""
_PORTION_SECONDS: Final = 0.001
"""A later frame waits behind little more than what leaves in so long."""
_PACE_SECONDS: Final = 0.01
"""Over at least so long it is seen how fast the way is: it takes in bursts what it passes on evenly."""


@final
class Pace:
    """Told what is written and when there is room again, it knows the next portion. It is never finished."""

    def __init__(self) -> None:
        self._portion_bytes = PORTION_BYTES_MIN
        self._written = 0
        """Since `_seen_at`."""
        self._seen_at = 0.0

    @property
    def portion_bytes(self) -> int:
        """How much to write at most before asking again."""
        return self._portion_bytes

    def note_written(self, count: int) -> None:
        """So many bytes are on their way."""
        self._written += count

    def note_room(self, now: float) -> None:
        """All that was written has left, or nearly so, at `now` in seconds: the way is as fast as that."""
        seconds = now - self._seen_at
        if seconds >= _PACE_SECONDS:
            left = int(self._written / seconds * _PORTION_SECONDS)
            self._portion_bytes = min(max(left, PORTION_BYTES_MIN), PORTION_BYTES_MAX)
            self._written, self._seen_at = 0, now
