"""Times to live as people write them: `30s`, `15m`, `2h`, `7d`."""

import re
from typing import Final

from tunnel.core.base.partial import ascii_bytes, decimal, latin1_text, quotient, two_groups

TTL_SECONDS_MAX: Final = 10 * 365 * 86_400
"""Ten years: beyond that nobody remembers why it was given."""
TTL_FORMS: Final = "a time to live of at most ten years: 30s, 15m, 1h or 7d"

_TTL: Final = re.compile(rb"([1-9][0-9]{0,8})([smhd])")
_LARGER: Final = (("d", 86_400), ("h", 3600), ("m", 60))
_UNITS: Final = (*_LARGER, ("s", 1))


def ttl_of(text: str) -> int | None:
    """The seconds that `text` says, 1 to `TTL_SECONDS_MAX`, or None."""
    found = two_groups(_TTL, ascii_bytes(text) or b"")
    if found is None:
        return None
    unit = latin1_text(found[1])
    seconds = (decimal(found[0]) or 0) * sum([size for name, size in _UNITS if name == unit])
    return seconds if seconds <= TTL_SECONDS_MAX else None


def ttl_text(seconds: int) -> str:
    """The shortest form that `ttl_of` reads back; `none` for 0, which is no limit."""
    if seconds <= 0:
        return "none"
    for name, size in _LARGER:
        count = quotient(seconds, size)
        if count * size == seconds:
            return f"{count}{name}"
    return f"{seconds}s"
