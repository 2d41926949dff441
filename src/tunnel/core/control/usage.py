"""How much was used, by the hour, and what it comes to in a month."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.token.token import AccountId

HOUR_SECONDS: Final = 3600


@final
@dataclass(frozen=True, slots=True)
class UsageHour:
    """What visitors did with one name in one hour, which `hour` begins. Bytes go up to the agent and down from it."""

    account: AccountId
    name: Label
    hour: UnixSeconds
    requests: int
    bytes_up: int
    bytes_down: int
    connections: int


@final
@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What one account used from `since` on, over all its names."""

    account: AccountId
    since: UnixSeconds
    requests: int
    bytes_up: int
    bytes_down: int
    connections: int
