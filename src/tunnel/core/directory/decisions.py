"""What follows from a directory: pure functions, asked by whoever decides about sessions, names and endpoints."""

from typing import Final

from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.directory.directory import Directory
from tunnel.core.directory.errors import (
    AccountSuspended,
    NameReserved,
    NotAdmitted,
    NotGranted,
    TokenRevoked,
    TooManyEndpoints,
)
from tunnel.core.token.token import Token, ids_of

_YES: Final = Success(None)


def may_open(directory: Directory, token: Token) -> Outcome[None, NotAdmitted]:
    """Whether an agent with this token is served: neither it nor any that it was narrowed from is revoked."""
    for token_id in ids_of(token):
        if token_id in directory.revoked:
            return Failure(TokenRevoked(token_id))
    facts = directory.accounts.get(token.account)
    if facts is not None and facts.is_suspended:
        return Failure(AccountSuspended(token.account))
    return _YES


def may_hold(directory: Directory, token: Token, name: Label) -> Outcome[None, NotGranted]:
    """Whether an agent with this token may go on answering for a name that it has."""
    opened = may_open(directory, token)
    if not isinstance(opened, Success):
        return opened
    owner = directory.names.get(name)
    if owner is not None and owner != token.account:
        return Failure(NameReserved(name))
    return _YES


def may_expose(directory: Directory, token: Token, name: Label, endpoints: int) -> Outcome[None, NotGranted]:
    """Whether an agent with this token gets a name, when its account answers for `endpoints` other names already."""
    held = may_hold(directory, token, name)
    if not isinstance(held, Success):
        return held
    facts = directory.accounts.get(token.account)
    limit = 0 if facts is None else facts.quota.endpoints_max
    return Failure(TooManyEndpoints(limit)) if 0 < limit <= endpoints else _YES


def exposure_seconds(directory: Directory, token: Token, asked: int) -> int:
    """For how long an endpoint may be exposed whose agent asked for so long (0: it did not say); 0 is no end."""
    facts = directory.accounts.get(token.account)
    if facts is None:
        return asked
    wanted = asked or facts.ttl_default or facts.ttl_max
    return min(wanted, facts.ttl_max) if facts.ttl_max > 0 else wanted
