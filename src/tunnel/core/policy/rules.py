"""What an operator and an agent may ask for, as values; the stricter of two numbers counts (ADR 0042)."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.policy.ip import Block

BLOCKS_MAX: Final = 64
"""Blocks in the two lists of one agent together: all of them are looked at for every request."""
SIGN_INS_MAX: Final = 16
"""Users of one endpoint: each costs a digest per request, and the whole policy has to fit a link message."""
SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 32
RATE_MAX: Final = 1_000_000_000
"""Thousandths of a request a second: a million requests a second."""
BURST_MAX: Final = 1_000_000
EXCHANGES_MAX: Final = 1_000_000
BANDWIDTH_MIN: Final = 16 * 1024
"""Bytes a second. Slower, one read of 64 KiB would take longer to pay for than a visitor may stall."""
BANDWIDTH_MAX: Final = 1 << 40


@final
@dataclass(frozen=True, slots=True)
class Rates:
    """How much: each number is 0 for no limit."""

    requests: int = 0
    """Thousandths of a request a second, so that one a minute can be said."""
    burst: int = 0
    """Requests that may come at once after a rest; 0 exactly when `requests` is."""
    exchanges: int = 0
    """Exchanges, or raw connections, at the same time."""
    bandwidth: int = 0
    """Bytes a second, both directions together."""


@final
@dataclass(frozen=True, slots=True)
class SignIn:
    """One user: a salt of its own, and the SHA-256 of it and `user:password`; the password stays with the agent."""

    salt: bytes
    digest: bytes


@final
@dataclass(frozen=True, slots=True)
class Policy:
    """What holds at one endpoint: its rates, who may come, who may not, and who has to sign in (nobody when empty)."""

    rates: Rates = Rates()
    allow: tuple[Block, ...] = ()
    """Nobody else may come; () is everybody."""
    deny: tuple[Block, ...] = ()
    """These may not come, allowed or not."""
    sign_ins: tuple[SignIn, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class ServerPolicy:
    """What an operator asks of every visitor's address, and of every endpoint beside what its agent asks for."""

    address: Rates = Rates()
    endpoint: Rates = Rates()
    allow: tuple[Block, ...] = ()
    deny: tuple[Block, ...] = ()


OPEN: Final = Policy()
"""Asks for nothing."""
OPEN_TO_ALL: Final = ServerPolicy()
"""Likewise, of a server."""
NO_RATES: Final = Rates()


def stricter(one: Rates, other: Rates) -> Rates:
    """Of each number the smaller one, where there is one."""
    return Rates(
        _stricter(one.requests, other.requests),
        _stricter(one.burst, other.burst),
        _stricter(one.exchanges, other.exchanges),
        _stricter(one.bandwidth, other.bandwidth),
    )


def is_sound(rates: Rates) -> bool:
    """Whether each number is within its bounds and the burst belongs to a rate."""
    return (
        0 <= rates.requests <= RATE_MAX
        and 0 <= rates.burst <= BURST_MAX
        and (rates.burst > 0) is (rates.requests > 0)
        and 0 <= rates.exchanges <= EXCHANGES_MAX
        and (rates.bandwidth == 0 or BANDWIDTH_MIN <= rates.bandwidth <= BANDWIDTH_MAX)
    )


def _stricter(one: int, other: int) -> int:
    return min(one, other) if one and other else max(one, other)
