"""What can be wrong with the words of the other process; each ends the conversation, and with it a worker."""

from dataclasses import dataclass
from typing import TypeAlias, final

from tunnel.core.cluster.messages import CLUSTER_VERSION, MessageKind


@final
@dataclass(frozen=True, slots=True)
class MessageTooLong:
    """A message is longer than any that exists."""

    seen: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A kind that this version does not have."""

    kind: int


@final
@dataclass(frozen=True, slots=True)
class MessageMalformed:
    """A field of a message is not what its place demands, or bytes are left over (`end`)."""

    kind: MessageKind
    field: str


@final
@dataclass(frozen=True, slots=True)
class OtherVersion:
    """The worker is of another version of the program, which speaks otherwise."""

    seen: int


@final
@dataclass(frozen=True, slots=True)
class OutOfTurn:
    """A message that this side never says, or not at this moment."""

    kind: MessageKind


ReadError: TypeAlias = MessageTooLong | UnknownMessage | MessageMalformed
ClusterError: TypeAlias = ReadError | OtherVersion | OutOfTurn


def describe(error: ClusterError) -> str:
    """What was seen, what was expected, what to do."""
    match error:
        case MessageTooLong(seen=seen, limit=limit):
            return f"a message of {seen} bytes, where {limit} is the most"
        case UnknownMessage(kind=kind):
            return f"a message of the unknown kind {kind}"
        case MessageMalformed(kind=kind, field=field):
            return f"a message {kind.name} whose field {field!r} is not right"
        case OtherVersion(seen=seen):
            return (
                f"the worker speaks version {seen} of the conversation and the supervisor {CLUSTER_VERSION}: "
                "this update needs a restart of the server instead of a reload"
            )
        case _:
            return f"a message {error.kind.name} at a moment when it makes no sense"
