"""Our mux against other people's: each peer, both roles, every scenario, over TLS 1.3, through the production `Link`.

`make interop` builds the peers and runs this; elsewhere it is left out. What a peer does otherwise than is specified
stands in `differences.toml` with its reason; a difference that no longer occurs fails, as one that is new does.
"""

import asyncio
import os
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypedDict

import pytest
from tests.support.interop_peers import COMMANDS, Peer, started
from tests.support.interop_scenarios import SCENARIOS, Facts
from tests.support.interop_session import QUIET, ROLES, session

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success
from tunnel.server.state import names_served, server_identity

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not os.environ.get("INTEROP"), reason="run by `make interop`"),
    pytest.mark.timeout(300),
]

PATIENCE: Final = float(os.environ.get("INTEROP_PATIENCE", "60"))
BYTES: Final = int(os.environ.get("INTEROP_BYTES", "0"))
ALONE: Final = {"yamux-js": ("words", "ping ours")}
"""It loses frames that are split over reads, so no more than this is asked of it (spec/known-bugs.md tells of it)."""


class Difference(TypedDict):
    """One fact that a peer is known to tell otherwise."""

    peer: str
    scenarios: list[str]
    fact: str
    seen: str | int
    why: str


DIFFERENCES: Final[list[Difference]] = tomllib.loads(
    (Path(__file__).parent / "differences.toml").read_text(encoding="utf-8")
)["difference"]


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority and an identity for both sides."""
    directory = tmp_path_factory.mktemp("interop") / "state"
    identity = server_identity(directory, names_served("localhost", ""), UnixSeconds(int(time.time())))
    assert isinstance(identity, Success)
    return directory


@pytest.fixture(scope="session", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in COMMANDS])
def peer(request: pytest.FixtureRequest, state: Path) -> Iterator[tuple[str, Peer]]:
    """Each peer that was built; the others are left out by name."""
    running = started(request.param, state)
    if running is None:
        pytest.skip(f"{request.param} was not built")
    yield request.param, running
    running.stop()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the product runs on."""
    return "asyncio", {"use_uvloop": True}


def expected(peer: str, scenario: str) -> Facts:
    """What the specification says, but for the differences of this peer."""
    facts: Facts = {**SCENARIOS[scenario].expected, "faults": "none"}
    for each in DIFFERENCES:
        if each["peer"] == peer and scenario in each["scenarios"]:
            assert facts[each["fact"]] != each["seen"], f"not a difference: {each}"
            facts[each["fact"]] = each["seen"]
    return facts


def test_every_difference_names_what_there_is() -> None:
    for each in DIFFERENCES:
        assert each["peer"] in COMMANDS, each
        assert set(each["scenarios"]) <= set(SCENARIOS), each
        assert all({**SCENARIOS[name].expected, "faults": ""}.keys() >= {each["fact"]} for name in each["scenarios"])
        assert len(each["why"]) > 20, each


@pytest.mark.shows("MUX-INTEROP-001", "MUX-INTEROP-002")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("scenario", list(SCENARIOS))
async def test_a_peer_and_we_understand_each_other(
    peer: tuple[str, Peer], role: str, scenario: str, state: Path, record_property: Callable[[str, object], None]
) -> None:
    name, running = peer
    if scenario not in ALONE.get(name, SCENARIOS):
        pytest.skip(f"{name} is asked for {', '.join(ALONE[name])} alone")
    for key, value in (("peer", name), ("role", role), ("scenario", scenario)):
        record_property(key, value)
    wanted = SCENARIOS[scenario]
    facts: Facts = {}
    async with session(running, role, state, limits=wanted.limits or QUIET, is_dripping=wanted.is_dripping) as ours:
        ours.size = BYTES if BYTES and scenario.startswith("bulk") else wanted.size
        try:
            async with asyncio.timeout(PATIENCE):
                facts = await wanted.run(ours)
        except TimeoutError:
            frames = [(f.ours, f.kind, f.flags, f.stream, f.length) for f in ours.wire.frames]
            pytest.fail(f"hangs after {frames[-30:]}, {ours.reason}")
        facts["faults"] = "; ".join(dict.fromkeys(ours.wire.faults)) or "none"
    assert facts == expected(name, scenario)
    if any(each["peer"] == name and scenario in each["scenarios"] for each in DIFFERENCES):
        record_property("differs", "differs")
