"""Months of UTC: quotas are counted by them."""

from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.partial import quotient

_DAY: Final = 86_400
_ERA_DAYS: Final = 146_097
"""Days of 400 Gregorian years, after which the calendar repeats."""
_MARCH_0000_TO_1970_DAYS: Final = 719_468


def month_of(moment: UnixSeconds) -> UnixSeconds:
    """The first second of the month that `moment` is in; one before 1970 counts as 1970."""
    days = quotient(max(moment, 0), _DAY)
    # In years that begin in March 29 February is last, and five months have 153 days whichever they are.
    shifted = days + _MARCH_0000_TO_1970_DAYS
    day_of_era = shifted - quotient(shifted, _ERA_DAYS) * _ERA_DAYS
    leap_days = quotient(day_of_era, 1460) - quotient(day_of_era, 36_524) + quotient(day_of_era, 146_096)
    year_of_era = quotient(day_of_era - leap_days, 365)
    day_of_year = day_of_era - (365 * year_of_era + quotient(year_of_era, 4) - quotient(year_of_era, 100))
    month_from_march = quotient(5 * day_of_year + 2, 153)
    day_from_first = day_of_year - quotient(153 * month_from_march + 2, 5)
    return UnixSeconds((days - day_from_first) * _DAY)
