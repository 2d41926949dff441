"""What kind of world a seed is."""

import random
from dataclasses import dataclass, field, replace
from typing import Final, final

from tests.simulation.faults import KINDS
from tests.simulation.kernel import Weather
from tests.simulation.roads import Road

from tunnel.core.base.limits import Limits

LIMITS: Final = Limits(
    head_seconds_max=5.0,
    idle_seconds_max=20.0,
    body_stall_seconds_max=15.0,
    response_head_seconds_max=20.0,
    response_stall_seconds_max=30.0,
    upgraded_idle_seconds_max=30.0,
    half_closed_seconds_max=15.0,
    write_stall_seconds_max=25.0,
    connect_seconds_max=5.0,
    handshake_seconds_max=5.0,
    grace_seconds=10.0,
    reconnect_seconds_max=5.0,
)
"""Shorter than the defaults, so that a run of some virtual minutes meets every deadline."""


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """What kind of world a seed is; drawn from it, or given by a test."""

    seed: str
    agents: int = 1
    rivals: bool = False
    """Whether the last agent takes the name of the first one, at some time."""
    visitors: int = 3
    exchanges_each: int = 4
    is_rough: bool = False
    """Whether visitors and local services misbehave."""
    faults: tuple[str, ...] = ()
    weather: Weather = field(default_factory=Weather)
    has_real_tls: bool = False
    is_stopped_early: bool = False
    """Whether the server is told to stop while exchanges run."""
    spread: float = 3.0
    """Seconds over which visitors come."""
    limits: Limits = LIMITS
    links: int = 1
    """Links of each agent."""
    is_pooled: bool = False
    """Whether all agents share one name."""
    is_left: bool = False
    """Whether one agent of the pool is told to stop while exchanges run."""
    has_checks: bool = False
    """Whether agents ask their local services how they do."""

    road: Road = Road.PLAIN
    """How visitors come, and what kind of endpoint all agents have."""
    tells_service: bool = False
    """Whether agents introduce the visitors of raw endpoints to their services."""
    exchanges_max: int = 0
    """Of one endpoint at the same time; 0 for no limit. With one, there is also a visitor that may not come."""

    acts: tuple[str, ...] = ()
    """What the control plane does while visitors come; with any, there is one."""
    ttl_seconds: int = 0
    """For how long the first agent asks to be exposed; 0 for as long as it runs."""

    @property
    def is_calm(self) -> bool:
        """Whether nothing but local services and visitors does harm."""
        ejects = self.is_rough and (self.is_pooled or self.has_checks)
        harmless = not self.rivals and not self.is_stopped_early and not ejects and not self.exchanges_max
        harmless &= not self.is_left and not self.acts and not self.ttl_seconds
        return not self.faults and harmless


def drawn(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"{seed}/plan")
    kind = rng.random()
    faults: list[str] = []
    if kind > 0.3:
        faults = rng.sample(KINDS, rng.randint(1, 4))
    weather = Weather(
        latency=rng.choice((0.000_05, 0.002, 0.02, 0.1)),
        jitter=rng.choice((0.0, 0.001, 0.05)),
        chop=rng.choice((1, 7, 100, 1460, 65_536, 65_536)),
        buffer=rng.choice((4096, 16_384, 65_536, 262_144)),
        record=rng.choice((1, 5, 37, 1400, 16_384, 16_384)),
        is_partial=rng.random() < 0.4,
    )
    more = random.Random(f"{seed}/more")
    is_pooled = more.random() < 0.2
    ways = random.Random(f"{seed}/ways")
    road = ways.choice(list(Road)) if ways.random() < 0.5 else Road.PLAIN
    leaving = random.Random(f"{seed}/leaving")
    return Plan(
        is_left=is_pooled and leaving.random() < 0.5,
        links=more.choice((1, 1, 1, 2, 3)),
        is_pooled=is_pooled,
        has_checks=more.random() < 0.3 and not road.is_raw,
        seed=str(seed),
        agents=max(rng.choice((1, 1, 2, 3)), 2 if is_pooled else 1),
        rivals=rng.random() < 0.2 and not is_pooled,
        visitors=rng.randint(1, 4),
        exchanges_each=rng.randint(1, 4),
        is_rough=rng.random() < 0.6,
        faults=tuple(faults),
        weather=weather,
        is_stopped_early=rng.random() < 0.12,
        spread=rng.choice((0.1, 2.0, 10.0)),
        road=road,
        tells_service=road.is_raw and ways.random() < 0.5,
        exchanges_max=ways.choice((1, 2)) if ways.random() < 0.15 else 0,
    )


ACTS: Final = ("revoke", "suspend", "reserve", "requests", "rate", "damage", "disk", "nothing")
"""What a control plane does, each once (tests/simulation/control.py)."""


def controlled(seed: int) -> Plan:
    """The plan of a seed in worlds with a control plane: those of other seeds, with acts."""
    rng = random.Random(f"{seed}/control")
    base = drawn(seed)
    return replace(
        base,
        seed=f"{seed}/control",
        agents=2 if base.is_pooled else rng.choice((1, 2, 3)),
        rivals=False,
        exchanges_max=0,
        visitors=rng.choice((2, 3, 4)),
        exchanges_each=rng.choice((2, 4, 10)),
        spread=rng.choice((2.0, 10.0)),
        faults=tuple(rng.sample(KINDS, rng.randint(1, 3))) if rng.random() < 0.5 else (),
        acts=tuple(rng.sample(ACTS, rng.randint(1, 3))),
        ttl_seconds=rng.choice((0, 0, 1, 4, 9)),
    )
