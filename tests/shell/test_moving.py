"""How agents are asked to move: each once, no faster than their new workers take them, and all in time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.limits import Limits
from tunnel.server.moving import MOVES_AT_ONCE, ask_to_move, pause_for

pytestmark = pytest.mark.anyio


class Agent:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def announce(self, grace_seconds: float) -> None:
        """Asked."""
        self.asked.append(grace_seconds)


@pytest.mark.shows("WORK-RELOAD-007")
@given(agents=st.integers(0, 50_000), a_second=st.integers(1, 10_000), grace=st.floats(0.0, 600.0))
@settings(max_examples=100, deadline=None)
def test_no_more_a_second_than_the_limit_unless_the_grace_period_is_short(
    agents: int, a_second: int, grace: float
) -> None:
    limits = Limits(moves_per_second=a_second, grace_seconds=grace)
    pause = pause_for(agents, limits)
    whole = pause * (max(agents - 1, 0) // MOVES_AT_ONCE)
    assert whole <= grace / 4 + 1e-9
    is_hurried = grace / 4 < max(agents, 1) / a_second
    assert is_hurried or pause * a_second == pytest.approx(MOVES_AT_ONCE)


@pytest.mark.shows("WORK-RELOAD-007")
@pytest.mark.parametrize("count", [0, 1, MOVES_AT_ONCE, 5 * MOVES_AT_ONCE + 3])
async def test_each_is_asked_once(count: int) -> None:
    agents = [Agent() for _ in range(count)]
    await ask_to_move(agents, Limits(grace_seconds=0.2))
    assert [agent.asked for agent in agents] == [[0.2]] * count
