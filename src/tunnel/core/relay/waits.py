"""What a public connection is waiting for, and how long it may: one kind at a time, one deadline."""

from enum import Enum
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits


@final
class Wait(Enum):
    """The one thing awaited."""

    NEXT_REQUEST = "next-request"
    REST_OF_HEAD = "rest-of-head"
    REQUEST_BODY = "request-body"
    LOCAL_TAKES_BODY = "local-takes-body"
    RESPONSE_HEAD = "response-head"
    RESPONSE_BODY = "response-body"
    VISITOR_TAKES = "visitor-takes"
    UPGRADED = "upgraded"
    HALF_CLOSED = "half-closed"
    LINGER = "linger"
    NOTHING = "nothing"


_FIXED: Final = (Wait.RESPONSE_HEAD, Wait.REST_OF_HEAD, Wait.VISITOR_TAKES, Wait.LOCAL_TAKES_BODY, Wait.LINGER)
"""Waits whose clock is not started anew by a little progress: a drip must not keep them alive."""

# The waits of an ordinary exchange, bound once: members of an enum are found by name, these at a fixed place.
_NEXT_REQUEST: Final = Wait.NEXT_REQUEST
_REQUEST_BODY: Final = Wait.REQUEST_BODY
_RESPONSE_HEAD: Final = Wait.RESPONSE_HEAD
_RESPONSE_BODY: Final = Wait.RESPONSE_BODY

NEVER: Final = Instant(float(1 << 62))


def seconds_for(wait: Wait, limits: Limits) -> float:
    """How long `wait` may last, in seconds."""
    if wait is _NEXT_REQUEST:
        return limits.idle_seconds_max
    if wait is _RESPONSE_HEAD:
        return limits.response_head_seconds_max
    if wait is _RESPONSE_BODY:
        return limits.response_stall_seconds_max
    match wait:
        case Wait.REST_OF_HEAD:
            return limits.head_seconds_max
        case Wait.REQUEST_BODY:
            return limits.body_stall_seconds_max
        case Wait.LOCAL_TAKES_BODY:
            return limits.response_head_seconds_max
        case Wait.VISITOR_TAKES:
            return limits.write_stall_seconds_max
        case _:
            return _seconds_at_the_end(wait, limits)


def _seconds_at_the_end(wait: Wait, limits: Limits) -> float:
    match wait:
        case Wait.UPGRADED:
            return limits.upgraded_idle_seconds_max
        case Wait.HALF_CLOSED:
            return limits.half_closed_seconds_max
        case Wait.LINGER:
            return limits.linger_seconds_max
        case _:
            return NEVER


@final
class Patience:
    """The current wait and its deadline."""

    def __init__(self, limits: Limits, now: Instant) -> None:
        self._limits: Final = limits
        self._body_part: Final = max(limits.body_part_bytes_min, 1)
        self._body_seen = 0
        self.wait = Wait.NEXT_REQUEST
        self.deadline = Instant(now + limits.idle_seconds_max)

    def await_next(self, wait: Wait, now: Instant) -> None:
        """Wait for `wait` from now on; a fixed wait that goes on keeps the deadline it had."""
        if wait is self.wait and wait in _FIXED:
            return
        self.wait = wait
        self.deadline = Instant(now + seconds_for(wait, self._limits))

    def await_body(self, received: int, now: Instant) -> None:
        """Wait for a part of a request body of which so much came; only a whole part starts the clock anew."""
        if self.wait is not _REQUEST_BODY or received >= self._body_seen + self._body_part:
            self._body_seen = received
            self.await_next(_REQUEST_BODY, now)

    def renew(self, now: Instant) -> None:
        """Real progress was made: the current wait starts anew."""
        self.deadline = Instant(now + seconds_for(self.wait, self._limits))
