"""What one exchange is to be, drawn from the seed, and what became of it at each end.

Every body has its own bytes, known to all: whoever receives one can tell at which place it belongs to which exchange.
"""

import random
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, final

_PERIOD: Final = 4099
"""A prime: no frame, record or buffer length is a multiple of it, so that a lost or doubled piece shows."""


@final
class Framing(Enum):
    """How a body ends."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@final
class Deed(Enum):
    """What the local service does with a request."""

    ANSWER = "answer"
    SLOWLY = "answer slowly"
    EARLY = "answer before the body is read"
    INTERIM = "103 first"
    UPGRADE = "101 and echo"
    SILENT = "never answer"
    STALL = "stop in the body"
    RESET_FIRST = "reset instead of an answer"
    RESET_WITHIN = "reset in the body"
    SHORT = "end before the body is whole"
    MALFORMED = "something that is no HTTP"
    HANG_UP = "close without an answer"
    RESET_AFTER = "reset once the agent has all of the answer"


BREAKS: Final = frozenset((Deed.STALL, Deed.RESET_WITHIN, Deed.SHORT))
"""Half of the body comes, rounded down."""


@final
class Conduct(Enum):
    """What the visitor does."""

    PLAIN = "plain"
    SLOW = "reads slowly"
    LEAVES_SENDING = "closes while sending"
    LEAVES_READING = "closes while reading"
    RESETS = "resets while reading"
    HALF_CLOSES = "ends its side behind the request"


@final
@dataclass(slots=True)
class Sent:
    """A piece of an answer that a local service wrote, and when."""

    until: int
    at: float


@final
@dataclass(slots=True)
class Exchange:
    """One request of one visitor, planned and observed."""

    number: int
    name: str
    method: str
    up: int
    down: int
    up_framing: Framing
    down_framing: Framing
    deed: Deed
    conduct: Conduct
    piece: int
    pause: float
    visitor: int = -1
    """Who asks; -1 for probes."""
    began_at: float = 0.0
    ended_at: float = 0.0
    agents: list[int] = field(default_factory=list)
    """Which agents' services saw the request, in order."""
    seen_at: float = 0.0
    """When a service saw it last."""
    seen_up: int = 0
    sent: list[Sent] = field(default_factory=list)
    answered_by: int = -1
    status: int = 0
    got_down: int = 0
    is_whole: bool = False
    """Whether the visitor saw a complete answer, by its framing."""
    end: str = ""
    """What the visitor saw at the end, in a word."""
    outcomes: list[str] = field(default_factory=list)
    """What the server reported."""
    is_piped: bool = False
    """Whether the request is sent with the one before, ahead of its answer."""
    is_raw: bool = False
    """Whether it passes an endpoint of which the server reads nothing."""
    client: str = ""
    """Who asks, as services are to be told."""
    is_denied: bool = False
    """Whether its visitor may not come."""
    session: int = 0
    """Which link carried the answer, as the server reports."""
    is_harmed: bool = False
    """Whether a fault may have touched it."""

    def up_body(self) -> "Pattern":
        """What the visitor sends."""
        return Pattern(self.number * 2)

    def down_body(self) -> "Pattern":
        """What the local service sends."""
        return Pattern(self.number * 2 + 1)

    def story(self) -> str:
        """One line for people."""
        return (
            f"#{self.number} {self.method} {self.name} up={self.up}/{self.up_framing.value} down={self.down}/"
            f"{self.down_framing.value} {self.deed.value!r} {self.conduct.value!r} piece={self.piece} -> {self.status} "
            f"got={self.got_down} seen_up={self.seen_up} whole={self.is_whole} {self.end!r} by={self.answered_by} "
            f"services={self.agents} outcomes={self.outcomes} {self.began_at:.3f}..{self.ended_at:.3f}"
        )


@final
class Pattern:
    """The endless bytes of one body."""

    def __init__(self, number: int) -> None:
        self._period: Final = random.Random(number).randbytes(_PERIOD)

    def part(self, start: int, count: int) -> bytes:
        """The bytes from `start` on."""
        offset = start % _PERIOD
        times = (offset + count) // _PERIOD + 1
        return (self._period * times)[offset : offset + count]

    def matches(self, start: int, data: bytes | bytearray) -> bool:
        """Whether these are the bytes from `start` on."""
        return self.part(start, len(data)) == data


def draw(rng: random.Random, number: int, name: str, *, is_rough: bool) -> Exchange:
    """One exchange; `is_rough` allows local services and visitors that misbehave."""
    deed = Deed.ANSWER
    conduct = Conduct.PLAIN
    if is_rough and rng.random() < 0.45:
        deed = rng.choice(list(Deed))
    elif rng.random() < 0.4:
        deed = rng.choice((Deed.SLOWLY, Deed.EARLY, Deed.INTERIM, Deed.UPGRADE))
    if is_rough and rng.random() < 0.3:
        conduct = rng.choice(list(Conduct))
    elif rng.random() < 0.15:
        conduct = rng.choice((Conduct.SLOW, Conduct.HALF_CLOSES))
    has_body = rng.random() < 0.5
    down_framing = rng.choices(list(Framing), (5, 4, 1))[0]
    exchange = Exchange(
        is_piped=not has_body and rng.random() < 0.4,
        number=number,
        name=name,
        method=rng.choice(("POST", "PUT", "PATCH")) if has_body else rng.choice(("GET", "GET", "DELETE")),
        up=_size(rng) if has_body else 0,
        down=_size(rng),
        up_framing=rng.choice((Framing.LENGTH, Framing.CHUNKED)) if has_body else Framing.LENGTH,
        down_framing=down_framing,
        deed=deed,
        conduct=conduct,
        piece=rng.choice((1, 100, 1400, 16_384, 65_536, 65_536)),
        pause=rng.choice((0.0, 0.0, 0.001, 0.02)),
    )
    if deed is Deed.RESET_AFTER:
        # Slow enough that the end of it still waits at the agent when the reset comes.
        exchange.down_framing, exchange.conduct = Framing.CHUNKED, Conduct.SLOW
        exchange.down, exchange.piece = rng.randint(300_000, 500_000), 65_536
    if deed is Deed.UPGRADE:
        exchange.method, exchange.up_framing, exchange.down_framing = "GET", Framing.LENGTH, Framing.CLOSE
        exchange.conduct = Conduct.PLAIN
        exchange.up = exchange.down = exchange.down
    if exchange.piece == 1:
        exchange.up, exchange.down = min(exchange.up, 60), min(exchange.down, 60)
    elif exchange.piece == 100:
        exchange.up, exchange.down = min(exchange.up, 6000), min(exchange.down, 6000)
    if deed in BREAKS:
        exchange.down = max(exchange.down, 1)
    return exchange


def probe(number: int, name: str) -> Exchange:
    """An exchange that has to succeed wherever the name is served: larger than a window, both ways."""
    return Exchange(
        number, name, "POST", 5000, 300_000, Framing.LENGTH, Framing.CHUNKED, Deed.ANSWER, Conduct.PLAIN, 65_536, 0.0
    )


def _size(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.15:
        return 0
    if kind < 0.6:
        return rng.randint(1, 3000)
    if kind < 0.9:
        return rng.randint(3000, 120_000)
    return rng.randint(200_000, 700_000)
