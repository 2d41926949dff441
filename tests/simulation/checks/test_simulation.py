"""The production server and agent in simulated worlds: a fixed slice of seeds, and what a seed promises.

`make simulate SEEDS=N` runs more; what is checked in each is in `watch.py`, `judge.py` and `world.py` above.
"""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from tests.simulation.__main__ import told
from tests.simulation.plan import ACTS, Plan, controlled, drawn
from tests.simulation.planted import ROOT, planted_in, stale, tried
from tests.simulation.roads import Road
from tests.simulation.world import run

SLICE = 40
CONTROL_SLICE = range(10, 30)
"""Where every act and every refusal that it brings is met more than once."""


@pytest.mark.shows("SIM-HOLD-001", "SIM-HOLD-002", "SIM-HOLD-003", "SIM-HOLD-004", "SIM-HOLD-005", "SIM-HOLD-006")
@pytest.mark.shows("SIM-HOLD-007", "SIM-HOLD-008", "SIM-HOLD-009", "SIM-HOLD-010", "SIM-HOLD-011")
@pytest.mark.parametrize("first", range(0, SLICE, 10))
def test_worlds_are_sound(first: int) -> None:
    for seed in range(first, first + 10):
        done = run(drawn(seed))
        assert done.is_sound, told(seed, done)
        assert done.exchanges


@pytest.mark.shows("SIM-CTRL-001", "SIM-CTRL-002", "SIM-CTRL-003", "SIM-CTRL-004", "SIM-CTRL-005")
def test_worlds_with_a_control_plane_are_sound() -> None:
    met: Counter[str] = Counter()
    for seed in CONTROL_SLICE:
        done = run(controlled(seed))
        assert done.is_sound, told(seed, done)
        met.update(outcome for exchange in done.exchanges for outcome in exchange.outcomes)
        met.update(done.plan.acts)
    assert {"requests-used-up", "account-rate-limited", "exposure-over", "ok", *ACTS} <= set(met)


def test_a_seed_with_a_control_plane_repeats_to_the_byte() -> None:
    first, again = run(controlled(5)), run(controlled(5))
    assert first.log == again.log
    assert first.digest == again.digest


def test_the_slice_has_worlds_of_every_kind() -> None:
    plans = [drawn(seed) for seed in range(SLICE)]
    assert {plan.road for plan in plans} == set(Road)
    assert any(plan.tells_service for plan in plans)
    assert {plan.exchanges_max for plan in plans} == {0, 1, 2}
    assert any(plan.is_left for plan in plans)


@pytest.mark.shows("SIM-SEED-001")
@pytest.mark.parametrize("seed", [3, 11, 20])
def test_a_seed_repeats_a_run_to_the_byte(seed: int) -> None:
    first, again = run(drawn(seed)), run(drawn(seed))
    assert first.log == again.log
    assert (first.digest, first.turns, first.virtual_seconds) == (again.digest, again.turns, again.virtual_seconds)
    assert run(drawn(seed + 1)).digest != first.digest


@pytest.mark.shows("SIM-SEED-002")
def test_with_real_tls_a_seed_repeats_its_lengths_and_moments() -> None:
    plan = replace(drawn(2), has_real_tls=True)
    first, again = run(plan), run(plan)
    assert first.is_sound, told(2, first)
    assert first.log == again.log
    assert first.digest == again.digest


@pytest.mark.shows("SIM-SEED-003")
def test_a_failing_seed_says_how_to_repeat_it_and_what_happened() -> None:
    done = run(Plan(seed="tale", visitors=1, exchanges_each=1))
    done.findings.append("at 1001.000: planted")
    done.log.insert(10, "1001.000000 FOUND planted")
    tale = told(77, done)
    assert "make simulate SEEDS=1 FROM=77" in tale
    assert "at 1001.000: planted" in tale
    assert tale.endswith("1001.000000 FOUND planted")
    assert len(tale.splitlines()) < 60


@pytest.mark.shows("SIM-PLANT-001")
def test_planted_bugs_fit_the_code_and_one_is_found() -> None:
    bugs = list(planted_in(ROOT))
    assert len(bugs) >= 15
    assert len({bug.name for bug in bugs}) == len(bugs)
    assert [(bug.name, stale(ROOT, bug)) for bug in bugs if stale(ROOT, bug)] == []
    twice = next(bug for bug in bugs if bug.name == "credit-returned-twice")
    verdict = tried(ROOT, twice)
    assert verdict.is_found, verdict.story
    assert "given back" in verdict.story


@pytest.mark.shows("SIM-LOOP-001")
def test_nothing_of_the_simulation_stays_in_the_process() -> None:
    run(drawn(1))
    assert asyncio.run(_a_real_turn()) == "done"


async def _a_real_turn() -> str:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    return "done"
