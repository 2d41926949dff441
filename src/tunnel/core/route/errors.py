"""Why a session or a name is not given, in facts; a refusal tells the asker nothing about who is there instead."""

from dataclasses import dataclass
from typing import TypeAlias, final

from tunnel.core.base.ids import Instant, Label, SessionId
from tunnel.core.link.messages import DenialCode


@final
@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another token holds the name, or it lapsed so lately that it is still kept for another account.

    `since` is for our own log: the answer to the asker is the same in both cases.
    """

    name: Label
    since: Instant


@final
@dataclass(frozen=True, slots=True)
class Overtaken:
    """A newer session with the same token holds the name; an older one never takes it back."""

    name: Label
    session: SessionId


@final
@dataclass(frozen=True, slots=True)
class SessionGone:
    """A session that has ended, was superseded, or was never opened asks for a name."""

    session: SessionId


@final
@dataclass(frozen=True, slots=True)
class TooManyNames:
    """The token holds as many names as it may."""

    limit: int


@final
@dataclass(frozen=True, slots=True)
class TooManyMembers:
    """As many links answer for the name together as may."""

    name: Label
    limit: int


@final
@dataclass(frozen=True, slots=True)
class TooManySessions:
    """The token holds as many sessions as it may."""

    limit: int


ClaimError: TypeAlias = NameTaken | Overtaken | SessionGone | TooManyNames | TooManyMembers


def describe(error: ClaimError | TooManySessions) -> str:
    """What stands in the way and what to do, without a word about the holder."""
    match error:
        case NameTaken(name=name):
            return f"The name `{name}` is taken; choose another, or wait until it is free."
        case Overtaken(name=name):
            return f"A newer agent with the same token serves `{name}`; stop one of the two, or give it its own token."
        case SessionGone(session=session):
            return f"Session {session} has ended; connect again."
        case TooManyNames(limit=limit):
            return f"The token holds all {limit} names that it may at once; withdraw one first."
        case TooManyMembers(name=name, limit=limit):
            return f"All {limit} links that may answer for `{name}` together are there; end one first."
        case _:
            return f"The token holds all {error.limit} links that it may at once; end one first."


def denial_code(error: ClaimError) -> DenialCode:
    """The code that the link answers the claim with."""
    if isinstance(error, (TooManyNames, TooManyMembers)):
        return DenialCode.TOO_MANY
    return DenialCode.SHUTTING_DOWN if isinstance(error, SessionGone) else DenialCode.NAME_TAKEN
