"""Why the store did not do as asked, in facts: one closed union for every call of the port."""

from dataclasses import dataclass
from typing import TypeAlias, TypeVar, final

from tunnel.core.base.outcome import Outcome

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class NotFound:
    """There is no such `kind` (account, member, key, token, name, plan ...); `seen` is what was asked for."""

    kind: str
    seen: str


@final
@dataclass(frozen=True, slots=True)
class AlreadyExists:
    """Such a `kind` is there already; `seen` is what was to be made."""

    kind: str
    seen: str


@final
@dataclass(frozen=True, slots=True)
class Conflict:
    """What is there does not allow it, or others kept changing it; `why` is a code: `name-of-another-account`."""

    kind: str
    seen: str
    why: str


@final
@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """The account's plan allows `limit` of `kind`, and it has as many."""

    kind: str
    limit: int


@final
@dataclass(frozen=True, slots=True)
class Unstorable:
    """A value that no database of ours can keep: text with a zero character, a number beyond 64 bits, and the like."""

    why: str
    seen: str


@final
@dataclass(frozen=True, slots=True)
class StoreUnavailable:
    """The database cannot be used now; nothing is known to have changed. Ask again in `retry_seconds`."""

    detail: str
    retry_seconds: int


StoreError: TypeAlias = NotFound | AlreadyExists | Conflict | QuotaExceeded | Unstorable | StoreUnavailable

Told: TypeAlias = Outcome[T, StoreError]
"""What every call of the store returns."""


def describe(error: StoreError) -> str:
    """What was seen, what stands in the way and what to do, in a sentence or two."""
    match error:
        case NotFound(kind=kind, seen=seen):
            return f"There is no {kind} `{seen}`."
        case AlreadyExists(kind=kind, seen=seen):
            return f"The {kind} `{seen}` is there already; choose another, or change that one."
        case Conflict(kind=kind, seen=seen, why=why):
            return f"The {kind} `{seen}` does not allow it: {why.replace('-', ' ')}."
        case QuotaExceeded(kind=kind, limit=limit):
            return f"The plan allows {limit} {kind}, and the account has as many; release one, or change the plan."
        case Unstorable(why=why, seen=seen):
            return f"The database cannot keep `{seen}`: {why}."
        case StoreUnavailable(detail=detail, retry_seconds=seconds):
            return f"The database cannot be used now: {detail}. Try again in {seconds} s."
