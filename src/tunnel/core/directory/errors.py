"""Why the directory says no, and why bytes are no directory: facts, and one sentence for each."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, final

from tunnel.core.base.ids import Label
from tunnel.core.token.token import AccountId, TokenId


@final
class Part(Enum):
    """The part of a directory's bytes that cannot be right; the value is its name for people."""

    LENGTH = "length"
    DIGEST = "digest"
    NUMBERS = "numbers"
    REVOKED = "revoked tokens"
    NAMES = "reserved names"
    ACCOUNTS = "accounts"


@final
@dataclass(frozen=True, slots=True)
class NotADirectory:
    """The file begins with something else: another program's, or of a version that this one does not know."""


@final
@dataclass(frozen=True, slots=True)
class Damaged:
    """It is a directory, and the named part of it is not as it was written."""

    part: Part


@final
@dataclass(frozen=True, slots=True)
class TooLarge:
    """It holds more of one kind than a directory may."""

    part: Part
    seen: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """The token, or one that it was narrowed from, was revoked."""

    token: TokenId


@final
@dataclass(frozen=True, slots=True)
class AccountSuspended:
    """The token's account is not served for now."""

    account: AccountId


@final
@dataclass(frozen=True, slots=True)
class NameReserved:
    """Another account has reserved the name."""

    name: Label


@final
@dataclass(frozen=True, slots=True)
class TooManyEndpoints:
    """The account exposes as many endpoints as its plan allows at once."""

    limit: int


DirectoryError: TypeAlias = NotADirectory | Damaged | TooLarge
NotAdmitted: TypeAlias = TokenRevoked | AccountSuspended
NotGranted: TypeAlias = NotAdmitted | NameReserved | TooManyEndpoints


def describe(error: DirectoryError | NotGranted) -> str:
    """What was seen and what to do; a refusal says nothing about other accounts."""
    if isinstance(error, (NotADirectory, Damaged, TooLarge)):
        return _describe_bytes(error)
    match error:
        case TokenRevoked(token=token):
            return f"Token {token.hex()} was revoked; ask for a new one."
        case AccountSuspended(account=account):
            return f"Account {account.hex()} is suspended; ask the server's operator."
        case NameReserved(name=name):
            return f"The name `{name}` is reserved by another account; choose another."
        case _:
            return f"The account exposes all {error.limit} endpoints that its plan allows at once; end one first."


def _describe_bytes(error: DirectoryError) -> str:
    match error:
        case NotADirectory():
            return "It is no directory of this version of the program."
        case Damaged(part=part):
            return f"The {part.value} of the directory cannot be right."
        case _:
            return f"The directory holds {error.seen} {error.part.value}; {error.limit} are the most."
