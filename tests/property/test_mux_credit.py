"""Windows and queues by themselves: credit is neither made nor lost, bytes neither joined nor reordered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mux_support import WINDOW

from tunnel.core.mux.send_queue import SendQueue
from tunnel.core.mux.window import ReceiveWindow, SendWindow

WIDEST = 0xFFFF_FFFF


@pytest.mark.shows("MUX-FLOW-003", "MUX-FLOW-004")
@given(st.lists(st.integers(0, WIDEST), max_size=6))
def test_a_send_window_is_the_sum_of_its_deltas_or_refuses_one(deltas: list[int]) -> None:
    window = SendWindow()
    for delta in deltas:
        before = window.credit
        fits = before + delta <= WIDEST
        assert window.widen(delta) is fits
        assert window.credit == (before + delta if fits else before)


@pytest.mark.shows("MUX-FLOW-004")
def test_the_widest_window_is_reached_and_not_passed() -> None:
    window = SendWindow()
    assert window.widen(WIDEST - WINDOW)
    assert window.credit == WIDEST
    assert not window.widen(1)
    window.spend(1)
    assert window.widen(1)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["spend", "arrive", "take back", "grant"]), st.integers(-5, 2 * WINDOW)), max_size=30
)


@pytest.mark.shows("MUX-FLOW-006", "MUX-FLOW-007")
@given(st.integers(0, 4 * WINDOW), ACTIONS)
def test_credit_unread_owed_and_arriving_are_always_the_window(size: int, actions: list[tuple[str, int]]) -> None:
    window = ReceiveWindow(size)
    arriving = 0
    for action, count in actions:
        if action == "spend":
            before = window.credit
            taken = window.spend(max(count, 0))
            assert taken is (max(count, 0) <= before)
            arriving += before - window.credit
        elif action == "arrive":
            arrived = max(min(count, arriving), 0)
            arriving -= arrived
            window.unread += arrived
        elif action == "take back":
            assert 0 <= window.take_back(count) <= max(count, 0)
        else:
            owed = window.owed
            assert window.grant() == owed
        assert window.credit + window.unread + window.owed + arriving == max(size, WINDOW)
        assert min(window.credit, window.unread, window.owed) >= 0
        assert window.is_update_due is (window.owed >= max(size, WINDOW) // 2)


@given(st.lists(st.binary(max_size=9), max_size=9), st.lists(st.integers(0, 20), max_size=12))
def test_a_queue_gives_back_what_was_put_in_any_portions(pieces: list[bytes], portions: list[int]) -> None:
    queue = SendQueue()
    for piece in pieces:
        queue.put(piece)
    expected = b"".join(pieces)
    for portion in [*portions, len(expected)]:
        assert queue.size == len(expected)
        parts: list[bytes] = []
        queue.take(portion, parts)
        assert b"".join(parts) == expected[:portion]
        assert b"" not in parts
        expected = expected[portion:]
    assert queue.size == 0


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5))
def test_a_whole_piece_is_handed_on_without_a_copy(pieces: list[bytes]) -> None:
    queue = SendQueue()
    for piece in pieces:
        queue.put(piece)
    parts: list[bytes] = []
    queue.take(queue.size, parts)
    assert [id(part) for part in parts] == [id(piece) for piece in pieces]


def test_a_cleared_queue_is_empty_and_usable() -> None:
    queue = SendQueue()
    queue.put(b"gone")
    queue.put(b"too")
    queue.clear()
    assert queue.size == 0
    queue.put(b"kept")
    parts: list[bytes] = []
    queue.take(99, parts)
    assert parts == [b"kept"]
