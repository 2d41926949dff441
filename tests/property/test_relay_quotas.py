"""Quotas in front of a whole edge: who has used up what was paid for is told which, and costs no agent a stream."""

from typing import Final

import pytest
from tests.support.relay_harness import GET, TOKEN, World, table_of

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.directory.directory import AccountFacts, Directory, Quota
from tunnel.core.directory.toll import Toll

KEPT: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
MONTH: Final = UnixSeconds(1_793_491_200)


def metered(quota: Quota, requests: int = 0) -> tuple[World, Toll]:
    """One visitor in front of an endpoint of an account with this quota."""
    table = table_of("app")
    facts = AccountFacts(TOKEN.account, quota=quota, requests_used=requests)
    table.tolls.begin_month(MONTH)
    table.tolls.learn(Directory(1, MONTH, MONTH, accounts={TOKEN.account: facts}), table.accounts())
    return World(table=table), table.tolls.toll(TOKEN.account)


@pytest.mark.shows("GATE-QUOTA-002", "GATE-QUOTA-003", "GATE-QUOTA-007")
def test_the_last_request_of_the_month_is_served_and_the_next_is_told_what_is_used_up() -> None:
    edge, toll = metered(Quota(requests_month=3), requests=1)
    edge.visitor(GET).local(KEPT).visitor(GET).local(KEPT).visitor(GET).visitor(GET)
    assert edge.statuses == [200, 200, 402, 402]
    assert edge.outcomes[-1] == "requests-used-up"
    assert len(edge.streams) == 1
    assert (toll.requests, toll.bytes) == (3, 10)


@pytest.mark.shows("GATE-QUOTA-002", "GATE-QUOTA-003")
def test_bytes_count_when_an_exchange_ends_and_an_answer_is_never_cut() -> None:
    edge, toll = metered(Quota(bytes_month=3))
    edge.visitor(GET)
    assert toll.bytes == 0
    edge.local(KEPT).visitor(GET)
    assert (edge.statuses, edge.outcomes[-1], toll.bytes) == ([200, 402], "bytes-used-up", 5)


@pytest.mark.shows("GATE-QUOTA-004", "GATE-QUOTA-007")
def test_a_rate_is_kept_with_a_true_retry_after() -> None:
    edge, toll = metered(Quota(requests_second=1))
    edge.visitor(GET).local(KEPT).visitor(GET)
    last = edge.answers()[-1]
    assert (last.status, last.one("retry-after"), edge.outcomes[-1]) == (429, "1", "account-rate-limited")
    edge.tick(1).visitor(GET).local(KEPT)
    assert edge.statuses == [200, 429, 200]
    assert toll.requests == 2


def test_without_a_quota_all_is_counted_and_nothing_refused() -> None:
    edge, toll = metered(Quota())
    edge.visitor(GET).local(KEPT).visitor(GET).local(KEPT)
    assert (edge.statuses, toll.requests, toll.bytes) == ([200, 200], 2, 10)
