"""Counting usage: whatever is counted and whenever it is taken, sums of what comes out are those of what went in."""

from collections import Counter
from typing import Final, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.journals import AT

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.journal.book import HOUR_SECONDS, UsageBook, hour_of
from tunnel.core.journal.records import UsageNoted
from tunnel.core.token.token import AccountId

ACCOUNTS: Final = [AccountId(bytes([number]) * 16) for number in range(3)]
Step: TypeAlias = tuple[str, AccountId, str, int, int]
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["exchange", "connection", "take", "hour"]),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(["a", "b", "c", "d"]),
        st.integers(0, 10**9),
        st.integers(0, 10**9),
    ),
    max_size=60,
)


def run(book: UsageBook, steps: list[Step]) -> tuple[list[UsageNoted], Counter[tuple[AccountId, str]]]:
    """What the book gave out, and what was counted."""
    noted, counted, now = list[UsageNoted](), Counter[tuple[AccountId, str]](), AT
    for step, account, name, up, down in steps:
        if step == "take":
            noted += book.take()
        elif step == "hour":
            now = UnixSeconds(now + HOUR_SECONDS)
            book.on_time(now)
        else:
            count = book.count_exchange if step == "exchange" else book.count_connection
            count(account, name, up, down)
            counted.update({(account, step): 1, (account, "up"): up, (account, "down"): down})
    return noted + book.take(), counted


def sums(noted: list[UsageNoted]) -> Counter[tuple[AccountId, str]]:
    found = Counter[tuple[AccountId, str]]()
    for row in noted:
        found.update({(row.account, "exchange"): row.requests, (row.account, "connection"): row.connections})
        found.update({(row.account, "up"): row.bytes_up, (row.account, "down"): row.bytes_down})
    return found


@given(STEPS, st.integers(0, 12))
@settings(max_examples=200)
@pytest.mark.shows("JRNL-USAGE-002")
def test_no_count_is_lost_and_none_doubled_however_few_rows_there_are(steps: list[Step], rows_max: int) -> None:
    book = UsageBook(AT, rows_max)
    noted, counted = run(book, steps)
    assert +sums(noted) == +counted


@given(STEPS, st.integers(0, 12))
@settings(max_examples=100)
@pytest.mark.shows("JRNL-USAGE-002")
def test_rows_are_bounded(steps: list[Step], rows_max: int) -> None:
    book = UsageBook(AT, rows_max)
    for place in range(len(steps)):
        step, account, name, up, down = steps[place]
        if step != "take":
            book.count_exchange(account, name, up, down)
        assert book.row_count <= rows_max + len(ACCOUNTS)


@pytest.mark.shows("JRNL-USAGE-002")
def test_a_name_beyond_the_bound_is_counted_under_its_account() -> None:
    book = UsageBook(AT, 1)
    for name in ("a", "b", "c", "a"):
        book.count_exchange(ACCOUNTS[0], name, 1, 2)
    assert book.take() == [
        UsageNoted(ACCOUNTS[0], "a", AT, 2, 2, 4, 0),
        UsageNoted(ACCOUNTS[0], "", AT, 2, 2, 4, 0),
    ]
    assert book.row_count == 0


@pytest.mark.shows("JRNL-USAGE-001")
def test_a_row_belongs_to_the_hour_in_which_counting_began() -> None:
    book = UsageBook(UnixSeconds(AT + 59 * 60))
    book.count_exchange(ACCOUNTS[0], "a", 1, 1)
    book.on_time(UnixSeconds(AT + 61 * 60))
    book.count_exchange(ACCOUNTS[0], "a", 1, 1)
    book.count_connection(ACCOUNTS[0], "b", 5, 6)
    assert book.take() == [
        UsageNoted(ACCOUNTS[0], "a", AT, 2, 2, 2, 0),
        UsageNoted(ACCOUNTS[0], "b", UnixSeconds(AT + HOUR_SECONDS), 0, 5, 6, 1),
    ]


@given(st.integers(0, 2**40))
def test_hours_begin_where_clocks_say(moment: int) -> None:
    hour = hour_of(UnixSeconds(moment))
    assert hour % HOUR_SECONDS == 0
    assert hour <= moment < hour + HOUR_SECONDS


@given(st.integers(-3, 6))
def test_no_more_rows_are_taken_than_asked_for_and_the_oldest_first(count: int) -> None:
    book = UsageBook(AT)
    for name in ("a", "b", "c", "d"):
        book.count_exchange(ACCOUNTS[0], name, 1, 2)
    taken = book.take(count)
    assert [row.name for row in taken] == ["a", "b", "c", "d"][: max(count, 0)]
    assert [row.name for row in book.take()] == ["a", "b", "c", "d"][max(count, 0) :]
