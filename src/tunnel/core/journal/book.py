"""Usage since it was last noted: plain counts in memory, taken out as records when there is room for them."""

from typing import Final, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.partial import quotient
from tunnel.core.journal.records import UsageNoted
from tunnel.core.token.token import AccountId

HOUR_SECONDS: Final = 3600
ROWS_MAX: Final = 16_384
"""Names counted apart while they cannot be noted; as many names as one server has in a busy hour."""


def hour_of(moment: UnixSeconds) -> UnixSeconds:
    """The first second of the hour that `moment` is in."""
    return UnixSeconds(quotient(moment, HOUR_SECONDS) * HOUR_SECONDS)


@final
class Counts:
    """What was used: exchanges, raw connections, and the bytes of both."""

    def __init__(self, hour: UnixSeconds) -> None:
        self.hour: Final = hour
        """In which counting began."""
        self.requests = 0
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0


@final
class UsageBook:
    """Counts by account and name. What cannot be noted stays and grows in value, not in number of rows."""

    def __init__(self, now: UnixSeconds, rows_max: int = ROWS_MAX) -> None:
        self._rows_max: Final = rows_max
        self._rows: Final[dict[tuple[AccountId, str], Counts]] = {}
        self._hour = hour_of(now)

    @property
    def row_count(self) -> int:
        """How many rows wait to be noted."""
        return len(self._rows)

    def on_time(self, now: UnixSeconds) -> None:
        """What is counted from here on belongs to the hour of `now`, in rows that begin now."""
        self._hour = hour_of(now)

    def count_exchange(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """One exchange has reached its end."""
        row = self._row(account, name)
        row.requests += 1
        row.bytes_up += bytes_up
        row.bytes_down += bytes_down

    def count_connection(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """One raw connection has reached its end."""
        row = self._row(account, name)
        row.connections += 1
        row.bytes_up += bytes_up
        row.bytes_down += bytes_down

    def take(self, count: int = ROWS_MAX) -> list[UsageNoted]:
        """At most `count` rows as records, the oldest first; they are no longer in the book."""
        taken: list[UsageNoted] = []
        for (account, name), row in list(self._rows.items())[: max(count, 0)]:
            self._rows.pop((account, name), None)
            taken.append(
                UsageNoted(account, name, row.hour, row.requests, row.bytes_up, row.bytes_down, row.connections)
            )
        return taken

    def _row(self, account: AccountId, name: str) -> Counts:
        row = self._rows.get((account, name))
        if row is not None:
            return row
        if len(self._rows) >= self._rows_max:
            row = self._rows.get((account, ""))
            if row is not None:
                return row
            name = ""
        row = Counts(self._hour)
        self._rows[(account, name)] = row
        return row
