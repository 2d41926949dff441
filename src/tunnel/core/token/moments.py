"""Moments and durations as text; `datetime` is not used because its conversions can fail."""

from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.partial import quotient

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_UNITS: Final = ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"))

_ERA_DAYS: Final = 146_097
"""Days of 400 Gregorian years, after which the calendar repeats."""
_MARCH_0000_TO_1970_DAYS: Final = 719_468
_JANUARY_FROM_MARCH: Final = 10


def moment_text(moment: UnixSeconds) -> str:
    """`2026-11-22 09:05:00 UTC` in the Gregorian calendar; a moment before 1970 counts as 1970."""
    seconds = max(moment, 0)
    days = quotient(seconds, _DAY)
    of_day = seconds - days * _DAY
    hour = quotient(of_day, _HOUR)
    minute = quotient(of_day - hour * _HOUR, _MINUTE)
    second = of_day - hour * _HOUR - minute * _MINUTE
    return f"{_date_text(days)} {hour:02}:{minute:02}:{second:02} UTC"


def duration_text(seconds: int) -> str:
    """`3 days`, `1 hour`, `59 minutes` or `5 seconds`: the largest unit that fits, rounded down."""
    for size, word in _UNITS:
        if seconds >= size:
            return count_text(quotient(seconds, size), word)
    return count_text(max(seconds, 0), "second")


def count_text(number: int, word: str) -> str:
    """`1 link` or `2 links`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _date_text(days: int) -> str:
    """The date that many days after 1970-01-01, counted in years that begin in March so that 29 February is last."""
    shifted = days + _MARCH_0000_TO_1970_DAYS
    era = quotient(shifted, _ERA_DAYS)
    day_of_era = shifted - era * _ERA_DAYS
    leap_days = quotient(day_of_era, 1460) - quotient(day_of_era, 36_524) + quotient(day_of_era, 146_096)
    year_of_era = quotient(day_of_era - leap_days, 365)
    day_of_year = day_of_era - (365 * year_of_era + quotient(year_of_era, 4) - quotient(year_of_era, 100))
    month_from_march = quotient(5 * day_of_year + 2, 153)
    day = day_of_year - quotient(153 * month_from_march + 2, 5) + 1
    is_next_year = month_from_march >= _JANUARY_FROM_MARCH
    month = month_from_march - 9 if is_next_year else month_from_march + 3
    year = year_of_era + era * 400 + (1 if is_next_year else 0)
    return f"{year:04}-{month:02}-{day:02}"
