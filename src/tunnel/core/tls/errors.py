"""What a client sent where a ClientHello belongs, in facts."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, final


@final
class OtherProtocol(Enum):
    """What it speaks instead of TLS, as far as its first bytes tell; the value says it in words."""

    HTTP = "plain HTTP"
    SSL2 = "an SSL 2 hello"
    UNKNOWN = "not TLS"


@final
@dataclass(frozen=True, slots=True)
class NotTls:
    """The first bytes are of no TLS handshake record."""

    spoken: OtherProtocol


@final
@dataclass(frozen=True, slots=True)
class OtherMessage:
    """A handshake message, but no ClientHello, came first."""

    kind: int


@final
@dataclass(frozen=True, slots=True)
class HelloTooLong:
    """The hello announces more bytes than a hello may have, records included."""

    seen: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class TooManyRecords:
    """The hello is cut into more records than any client has a reason for."""

    limit: int


@final
@dataclass(frozen=True, slots=True)
class HelloMalformed:
    """`field` is the first one that is not as RFC 8446, RFC 6066 or RFC 7301 has it."""

    field: str


HelloError: TypeAlias = NotTls | OtherMessage | HelloTooLong | TooManyRecords | HelloMalformed


def describe(error: HelloError) -> str:
    """What was seen and what was expected."""
    match error:
        case NotTls(spoken=spoken):
            return f"it speaks {spoken.value}; this port takes TLS only"
        case OtherMessage(kind=kind):
            return f"its first TLS message is of type {kind}, where a ClientHello (1) belongs"
        case HelloTooLong(seen=seen, limit=limit):
            return f"its ClientHello has {seen} bytes, more than the {limit} that are read"
        case TooManyRecords(limit=limit):
            return f"its ClientHello is cut into more than {limit} records"
        case _:
            return f"its ClientHello is malformed: {error.field}"
