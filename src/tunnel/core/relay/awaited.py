"""What a connection waits for in the state it is in."""

from typing import Final

from tunnel.core.relay.state import EdgeState, Phase
from tunnel.core.relay.waits import Wait

# Bound once: compiled code finds a name of its module at a fixed place, but a member of an enum by its name.
_BETWEEN: Final = Phase.BETWEEN
_UPGRADED: Final = Phase.UPGRADED
_RESPONSE_HEAD: Final = Wait.RESPONSE_HEAD
_RESPONSE_BODY: Final = Wait.RESPONSE_BODY
_NEXT_REQUEST: Final = Wait.NEXT_REQUEST


def wait_of(edge: EdgeState) -> Wait:
    """The one thing awaited now; a visitor that takes nothing holds up everything else."""
    exchange = edge.exchange
    if exchange is None:
        return _wait_outside(edge)
    if edge.visitor_is_stuck:
        return Wait.VISITOR_TAKES
    if edge.phase is _UPGRADED:
        return Wait.UPGRADED
    if not exchange.request_is_complete and not exchange.awaits_continue:
        return Wait.LOCAL_TAKES_BODY if edge.origin_is_stuck else Wait.REQUEST_BODY
    if exchange.answering is None:
        return _RESPONSE_HEAD
    return Wait.HALF_CLOSED if edge.visitor_has_ended else _RESPONSE_BODY


def _wait_outside(edge: EdgeState) -> Wait:
    """While no exchange runs."""
    if edge.phase is _BETWEEN:
        if edge.visitor_is_stuck:
            return Wait.VISITOR_TAKES
        return Wait.REST_OF_HEAD if edge.request.has_part_of_head else _NEXT_REQUEST
    match edge.phase:
        case Phase.LINGERING:
            return Wait.LINGER
        case Phase.CLOSING:
            return Wait.VISITOR_TAKES
        case _:
            return Wait.NOTHING
