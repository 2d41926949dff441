"""How the other side can break the rules of the link, what each is called in words, and the code that answers it."""

from dataclasses import dataclass
from typing import TypeAlias, final

from tunnel.core.base.ids import EndpointId
from tunnel.core.link.messages import LINK_VERSION, MessageKind, RefusalCode
from tunnel.core.token.errors import BadSignature, BrokenChain, NotYetValid, TokenError, TokenMalformed, UnknownKey


@final
@dataclass(frozen=True, slots=True)
class MessageTooLong:
    """A message announces more bytes than any message has; known from its header alone."""

    seen_bytes: int
    limit_bytes: int


@final
@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A message of a kind that this version does not have."""

    kind: int


@final
@dataclass(frozen=True, slots=True)
class MessageMalformed:
    """A message whose named field is missing, out of range or followed by bytes that belong to none."""

    kind: MessageKind
    field: str


@final
@dataclass(frozen=True, slots=True)
class OtherVersion:
    """The agent says hello in another version of the link."""

    seen: int


@final
@dataclass(frozen=True, slots=True)
class PrefaceMalformed:
    """A stream that does not begin with a preface."""

    field: str


@final
@dataclass(frozen=True, slots=True)
class ReplyMalformed:
    """A stream whose two bytes of reply are no reply."""

    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class OutOfTurn:
    """A message that has no place in this state, or comes from the side that never sends it."""

    kind: MessageKind
    state: str


@final
@dataclass(frozen=True, slots=True)
class EndpointReused:
    """An agent numbers an endpoint no higher than one it has already named on this link."""

    endpoint: EndpointId
    highest: EndpointId


@final
@dataclass(frozen=True, slots=True)
class UnaskedEndpoint:
    """The other side speaks of an endpoint that was never asked for."""

    endpoint: EndpointId


@final
@dataclass(frozen=True, slots=True)
class OtherName:
    """A server grants another name than the one asked for."""

    asked: str
    granted: str


@final
@dataclass(frozen=True, slots=True)
class AnswersNotTaken:
    """A peer asks on and on and does not take the answers."""

    waiting_bytes: int
    limit_bytes: int


@final
@dataclass(frozen=True, slots=True)
class HandshakeTooSlow:
    """The link did not open in time."""

    limit_seconds: float


ReadError: TypeAlias = MessageTooLong | UnknownMessage | MessageMalformed | OtherVersion
StreamError: TypeAlias = PrefaceMalformed | ReplyMalformed
TurnError: TypeAlias = OutOfTurn | EndpointReused | UnaskedEndpoint | OtherName | AnswersNotTaken | HandshakeTooSlow
LinkError: TypeAlias = ReadError | StreamError | TurnError


def describe(error: LinkError) -> str:
    """What was seen, what was expected and what to do, in a sentence or two."""
    if isinstance(error, (MessageTooLong, UnknownMessage, MessageMalformed, OtherVersion)):
        return _describe_read(error)
    if isinstance(error, (PrefaceMalformed, ReplyMalformed)):
        return _describe_stream(error)
    return _describe_turn(error)


def refusal_code(error: LinkError) -> RefusalCode:
    """The code that a server ends the link with."""
    if isinstance(error, OtherVersion):
        return RefusalCode.VERSION
    return RefusalCode.TOO_SLOW if isinstance(error, HandshakeTooSlow) else RefusalCode.PROTOCOL


def token_refusal_code(error: TokenError) -> RefusalCode:
    """The code that a server answers a hello with whose token it does not believe."""
    match error:
        case TokenMalformed():
            return RefusalCode.MALFORMED
        case UnknownKey():
            return RefusalCode.UNKNOWN_KEY
        case BadSignature() | BrokenChain():
            return RefusalCode.BAD_SIGNATURE
        case NotYetValid():
            return RefusalCode.NOT_YET_VALID
        case _:
            return RefusalCode.EXPIRED


def _describe_read(error: ReadError) -> str:
    match error:
        case MessageTooLong(seen_bytes=seen, limit_bytes=limit):
            return f"A link message announces {seen} bytes; no message has more than {limit}."
        case UnknownMessage(kind=kind):
            return f"A link message of kind {kind} came, which version {LINK_VERSION} does not have."
        case MessageMalformed(kind=kind, field=field):
            return f"A {kind.name} message of the link has a bad {field}."
        case _:
            return f"The agent speaks version {error.seen} of the link, this server {LINK_VERSION}; update the older."


def _describe_stream(error: StreamError) -> str:
    if isinstance(error, PrefaceMalformed):
        return f"A stream does not begin with a preface: its {error.field} is wrong."
    return f"A stream begins with {error.seen.hex()}, which is no reply of an agent."


def _describe_turn(error: TurnError) -> str:
    match error:
        case OutOfTurn(kind=kind, state=state):
            return f"A {kind.name} message came while {state}, where it has no place."
        case EndpointReused(endpoint=endpoint, highest=highest):
            return f"Endpoint {endpoint} was asked for after endpoint {highest}; numbers must rise and never return."
        case UnaskedEndpoint(endpoint=endpoint):
            return f"The other side speaks of endpoint {endpoint}, which was never asked for."
        case OtherName(asked=asked, granted=granted):
            return f"The server granted the name `{granted}` where `{asked}` was asked for."
        case AnswersNotTaken(waiting_bytes=waiting, limit_bytes=limit):
            return f"{waiting} bytes of answers wait for an agent that takes none of them; the limit is {limit}."
        case _:
            return f"The link did not open within {error.limit_seconds} seconds."
