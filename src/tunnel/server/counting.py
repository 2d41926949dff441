"""Where exchanges and raw connections are counted at their end; the ledger behind it is `server/ledger.py`."""

from typing import Protocol, final

from tunnel.core.token.token import AccountId


class UsageCounter(Protocol):
    """Takes each exchange and each connection once, for the account and name that it reached; returns at once."""

    def count_exchange(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """One exchange has reached its end."""

    def count_connection(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """One raw connection has reached its end."""


@final
class NobodyCounts:
    """A server without a control plane."""

    def count_exchange(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """Nothing."""

    def count_connection(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """Nothing."""
