"""Numbers, sizes and moments as the pages write them; pure, total, and the same on every page."""

from collections.abc import Callable
from typing import Final, TypeAlias

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.token.moments import duration_text, moment_text

_KILO: Final = 1000
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB")
_TEN: Final = 10
_HUNDRED: Final = 100
ID_CHARS_SHOWN: Final = 8
"""How much of a long identifier a table shows; the whole of it stands in the title and on the page of its own."""


Words: TypeAlias = Callable[[int], str]
"""How a whole number of something is written."""


def count(number: int) -> str:
    """`12,345`: the thousands parted by commas."""
    return f"{number:,}"


def size(octets: int) -> str:
    """`0 B`, `999 B`, `1.2 kB`, `34 MB`: two or three digits that say something, in powers of a thousand."""
    if octets < _KILO:
        return f"{octets} B"
    amount, unit = octets / _KILO, _UNITS[0]
    for larger in _UNITS[1:]:
        # What would be written as 1000 of a unit is 1 of the next.
        if amount < _KILO - 0.5:
            break
        amount, unit = amount / _KILO, larger
    return f"{amount:.1f} {unit}" if amount < _TEN else f"{amount:.0f} {unit}"


def rate(per_second: float) -> str:
    """`0`, `0.25`, `4.2`, `130`: events a second, with as many digits as mean anything."""
    if per_second <= 0:
        return "0"
    if per_second < 1:
        return f"{per_second:.2f}"
    return f"{per_second:.1f}" if per_second < _TEN else f"{per_second:,.0f}"


def milliseconds(amount: float) -> str:
    """`0.4 ms`, `12 ms`, `3.4 s`: a latency in the unit that a person would say."""
    if amount <= 0:
        return "0 ms"
    if amount >= _KILO:
        return f"{amount / _KILO:.1f} s"
    return f"{amount:.1f} ms" if amount < _TEN else f"{amount:.0f} ms"


def percent(part: int, whole: int) -> int:
    """How many hundredths of `whole` `part` is, 0 to 100; all of it when there is no whole."""
    if whole <= 0:
        return _HUNDRED if part > 0 else 0
    return max(0, min(_HUNDRED, part * _HUNDRED // whole))


def moment(at: UnixSeconds) -> str:
    """`2026-11-22 09:05:00 UTC`."""
    return moment_text(at)


def machine_moment(at: UnixSeconds) -> str:
    """`2026-11-22T09:05:00Z`, what the `datetime` of a `time` element wants."""
    return moment_text(at).removesuffix(" UTC").replace(" ", "T") + "Z"


def since(at: UnixSeconds, now: UnixSeconds) -> str:
    """`5 minutes ago`, `in 3 days`, `now`."""
    if at == now:
        return "now"
    return f"{duration_text(now - at)} ago" if at < now else f"in {duration_text(at - now)}"


def short(identifier: str) -> str:
    """The beginning of a long identifier, with a mark that there is more."""
    return identifier if len(identifier) <= ID_CHARS_SHOWN + 2 else identifier[:ID_CHARS_SHOWN] + "…"
