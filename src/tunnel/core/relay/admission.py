"""The door in front of an exchange: asked once, before anybody is woken (spec/policy.md)."""

from typing import Final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.policy.door import caller_of
from tunnel.core.relay.endings import fail
from tunnel.core.relay.exchange import Exchange
from tunnel.core.relay.state import EdgeState
from tunnel.core.route.table import Lease

AUTHORIZATION: Final = b"authorization"


def enter(edge: EdgeState, exchange: Exchange, lease: Lease | None, now: Instant) -> bool:
    """Whether the exchange may go on; one that may not has its answer. Without a lease it asks for nobody's name.

    The Authorization fields that are shown here are those of the one parsed head, and go no further (known bug B1).
    """
    caller = edge.caller
    if caller is None:
        caller = caller_of(edge.visitor.address)
        edge.caller = caller
    shown = [value for name, value in exchange.head.fields if name.lower() == AUTHORIZATION]
    name, policy = ("", None) if lease is None else (lease.name, lease.policy)
    entered = edge.door.admit(caller, name, policy, shown, now)
    if isinstance(entered, Success):
        exchange.entry = value_of(entered)
        exchange.has_signed_in = policy is not None and bool(policy.sign_ins)
        return True
    fail(edge, error_of(entered), "", now)
    return False


def pay(edge: EdgeState, lease: Lease, now: Instant) -> bool:
    """Whether the account of the lease may have one more request; one that is too many has its answer."""
    refused = lease.toll.refusal(now)
    if refused is None:
        return True
    fail(edge, refused, "", now)
    return False
