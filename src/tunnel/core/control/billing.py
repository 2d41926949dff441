"""What a payment provider says of an account, and what follows from it; pure, so that any order of news ends alike.

News of a subscription is only ever a reason to look: what counts are all subscriptions of the customer as they are when
we look (ADR 0082). So a message that comes twice, late or before its elder changes nothing that is not true.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.account import DEFAULT_PLAN
from tunnel.core.token.token import AccountId


@final
class SubscriptionStatus(Enum):
    """The provider's words for how a subscription stands; UNKNOWN is ours, for words that are new to us."""

    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


_ENTITLING: Final[Mapping[SubscriptionStatus, int]] = {
    SubscriptionStatus.ACTIVE: 0,
    SubscriptionStatus.TRIALING: 1,
    SubscriptionStatus.PAST_DUE: 2,
}
"""In these an account has its plan, best first; while payment is past due, the provider still tries to collect it."""
_STATUSES: Final[tuple[SubscriptionStatus, ...]] = tuple(SubscriptionStatus)


def status_of(word: str) -> SubscriptionStatus:
    """The status that the provider writes so."""
    for status in _STATUSES:
        if status.value == word:
            return status
    return SubscriptionStatus.UNKNOWN


@final
@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription as it stands: `plan` is the plan of ours that its price names, "" when it names none."""

    subscription: str
    status: SubscriptionStatus
    plan: str
    created: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """What an account is entitled to: its plan, and the subscription that says so ("" and CANCELED: none does)."""

    plan: str
    subscription: str
    status: SubscriptionStatus


def standing_of(subscriptions: tuple[Subscription, ...]) -> Standing:
    """The best that any of them entitles to; their order does not matter, and those that name no plan do not count."""
    best: Subscription | None = None
    for each in subscriptions:
        if each.plan and each.status in _ENTITLING and (best is None or _rank(each) < _rank(best)):
            best = each
    if best is None:
        return Standing(DEFAULT_PLAN, "", SubscriptionStatus.CANCELED)
    return Standing(best.plan, best.subscription, best.status)


def _rank(each: Subscription) -> tuple[int, int, str]:
    """Less is better: the better status, then the newer subscription; its ID decides what nothing else does."""
    return (_ENTITLING.get(each.status, len(_ENTITLING)), -each.created, each.subscription)


@final
class Meter(Enum):
    """What is metered; the value is the event name of the provider's meter."""

    REQUESTS = "tunnel_requests"
    BYTES = "tunnel_bytes"


@final
@dataclass(frozen=True, slots=True)
class BillingRecord:
    """An account and its customer at the provider; usage is reported from `linked` on, and not what was before."""

    account: AccountId
    customer: str
    linked: UnixSeconds
    plan: str
    subscription: str
    status: str
    synced: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class MeterReport:
    """So much more of a meter in an hour; written down before it is sent, so that it is sent alike however often.

    `identifier` is unique for ever: the provider counts it once.
    """

    identifier: str
    account: AccountId
    customer: str
    hour: UnixSeconds
    meter: Meter
    quantity: int


def report_identifier(account: AccountId, hour: UnixSeconds, meter: Meter, upto: int) -> str:
    """The report that brings an hour's count up to `upto`: the same words for the same report, and for no other."""
    return f"{account.hex()}-{hour}-{meter.value}-{upto}"
