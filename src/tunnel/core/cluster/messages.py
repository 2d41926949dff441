"""What a worker and its supervisor say to each other: a closed set of small records (spec/workers.md).

Both are processes of one server on one machine, so nothing here is secret from the other side. A version all the same:
after an update of the program, a supervisor meets workers that are newer than itself.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, NewType, TypeAlias, final

from tunnel.core.base.ids import EndpointId, Epoch, Label, SessionId
from tunnel.core.cluster.tally import Used
from tunnel.core.link.messages import DenialCode, Expose
from tunnel.core.token.token import AccountId, EndpointKind

CLUSTER_VERSION: Final = 3
"""The version of everything here; a worker of another one is not employed."""

WorkerId = NewType("WorkerId", int)
"""One worker process, 1 to 2^32-1, in rising order over the life of its supervisor; never reused."""


@final
class MessageKind(Enum):
    """The byte on the wire that says which message follows; the high bit is set on those of the supervisor."""

    ATTEND = 0x01
    READY = 0x02
    OPEN_SESSION = 0x03
    ASK_NAME = 0x04
    GIVE_UP = 0x05
    DROP_SESSION = 0x06
    CUT_DONE = 0x07
    NOTE_HEALTH = 0x08
    TALLY = 0x09
    SERVE = 0x81
    SESSION_OPENED = 0x82
    SESSION_REFUSED = 0x83
    NAME_GRANTED = 0x84
    NAME_DENIED = 0x85
    SUPERSEDE = 0x86
    LEASE_UP = 0x87
    LEASE_DOWN = 0x88
    NAME_OFFLINE = 0x89
    WORKER_UP = 0x8A
    WORKER_DOWN = 0x8B
    RETIRE = 0x8C
    LOOK_AGAIN = 0x8D
    LEASE_HEALTH = 0x8E
    WORKER_TALLY = 0x8F


@final
class LeaseEnd(Enum):
    """What became of a lease; the value is the byte on the wire."""

    OFFLINE = 0
    """Its session is over or takes nothing new: the name has no agent for now. What runs may finish."""
    FREE = 1
    """It was withdrawn: nobody remembers the name."""
    MOVED = 2
    """Its agent holds the name over a newer link already. What runs may finish."""
    FENCED = 3
    """Another agent has the name as soon as everybody has said that not one more byte of this one passes."""
    LAPSED = 4
    """The time of its exposure was over: what runs is cut, and whoever asks for the name is told so for a while."""


@final
@dataclass(frozen=True, slots=True)
class Attend:
    """The worker's first message."""

    message_kind: ClassVar[MessageKind] = MessageKind.ATTEND
    version: int


@final
@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has all it needs and waits for `Serve`."""

    message_kind: ClassVar[MessageKind] = MessageKind.READY


@final
@dataclass(frozen=True, slots=True, repr=False)
class OpenSession:
    """An agent has shown a valid token. `asking` is the worker's own number for this question.

    No `repr`, as the whole token is in it.
    """

    message_kind: ClassVar[MessageKind] = MessageKind.OPEN_SESSION
    asking: int
    instance: bytes
    link: int
    token: bytes
    peer: str


@final
@dataclass(frozen=True, slots=True)
class AskName:
    """A session asks for an endpoint, in its own words."""

    message_kind: ClassVar[MessageKind] = MessageKind.ASK_NAME
    session: SessionId
    asked: Expose


@final
@dataclass(frozen=True, slots=True)
class GiveUp:
    """A name is not wanted any more."""

    message_kind: ClassVar[MessageKind] = MessageKind.GIVE_UP
    name: Label
    epoch: Epoch
    has_lapsed: bool = False
    """Whether the time of its exposure was over, and not its agent's wish for it."""


@final
@dataclass(frozen=True, slots=True)
class DropSession:
    """A session is over, or takes no new visitors."""

    message_kind: ClassVar[MessageKind] = MessageKind.DROP_SESSION
    session: SessionId


@final
@dataclass(frozen=True, slots=True)
class CutDone:
    """Not one more byte passes here under this epoch: the answer to a `LeaseDown` that fences."""

    message_kind: ClassVar[MessageKind] = MessageKind.CUT_DONE
    epoch: Epoch


@final
@dataclass(frozen=True, slots=True)
class NoteHealth:
    """The agent of a lease says whether its local service passes its checks."""

    message_kind: ClassVar[MessageKind] = MessageKind.NOTE_HEALTH
    epoch: Epoch
    is_up: bool


@final
@dataclass(frozen=True, slots=True)
class Tally:
    """What visitors of this worker used of limits since it said so last."""

    message_kind: ClassVar[MessageKind] = MessageKind.TALLY
    uses: tuple[Used, ...]


@final
@dataclass(frozen=True, slots=True)
class Serve:
    """Accept connections from now on."""

    message_kind: ClassVar[MessageKind] = MessageKind.SERVE


@final
@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The session with this number began."""

    message_kind: ClassVar[MessageKind] = MessageKind.SESSION_OPENED
    asking: int
    session: SessionId


@final
@dataclass(frozen=True, slots=True)
class SessionRefused:
    """It is one too many."""

    message_kind: ClassVar[MessageKind] = MessageKind.SESSION_REFUSED
    asking: int
    detail: str


@final
@dataclass(frozen=True, slots=True)
class NameGranted:
    """The lease that was announced under this epoch answers an `AskName` of this session."""

    message_kind: ClassVar[MessageKind] = MessageKind.NAME_GRANTED
    session: SessionId
    epoch: Epoch


@final
@dataclass(frozen=True, slots=True)
class NameDenied:
    """No name for this endpoint."""

    message_kind: ClassVar[MessageKind] = MessageKind.NAME_DENIED
    session: SessionId
    endpoint: EndpointId
    code: DenialCode
    detail: str


@final
@dataclass(frozen=True, slots=True)
class Supersede:
    """The agent of this session has a newer link: end this one."""

    message_kind: ClassVar[MessageKind] = MessageKind.SUPERSEDE
    session: SessionId


@final
@dataclass(frozen=True, slots=True, repr=False)
class LeaseUp:
    """A lease is in force, and its session is at `worker`. No `repr`, as the whole token is in it."""

    message_kind: ClassVar[MessageKind] = MessageKind.LEASE_UP
    worker: WorkerId
    session: SessionId
    epoch: Epoch
    name: Label
    token: bytes
    asked: Expose
    peer: str
    instance: bytes
    port: int = 0
    """Its public TCP port; 0 where it needs none."""
    opening: int = 0
    """Under which number the listening sockets of that port are handed over; 0 likewise."""


@final
@dataclass(frozen=True, slots=True)
class LeaseDown:
    """A lease is in force no more."""

    message_kind: ClassVar[MessageKind] = MessageKind.LEASE_DOWN
    epoch: Epoch
    name: Label
    end: LeaseEnd


@final
@dataclass(frozen=True, slots=True)
class NameOffline:
    """A name had an agent `seconds` ago; told to a worker that begins."""

    message_kind: ClassVar[MessageKind] = MessageKind.NAME_OFFLINE
    name: Label
    account: AccountId
    seconds: int
    kind: EndpointKind = EndpointKind.HTTP
    has_lapsed: bool = False


@final
@dataclass(frozen=True, slots=True)
class WorkerUp:
    """Another worker can be reached at the Unix socket `path`."""

    message_kind: ClassVar[MessageKind] = MessageKind.WORKER_UP
    worker: WorkerId
    path: str


@final
@dataclass(frozen=True, slots=True)
class WorkerDown:
    """Another worker is no more."""

    message_kind: ClassVar[MessageKind] = MessageKind.WORKER_DOWN
    worker: WorkerId


@final
@dataclass(frozen=True, slots=True)
class Retire:
    """Accept nothing more, let agents move and exchanges finish, then end."""

    message_kind: ClassVar[MessageKind] = MessageKind.RETIRE


@final
@dataclass(frozen=True, slots=True)
class LookAgain:
    """The directory in the state directory is another one now (spec/gate.md)."""

    message_kind: ClassVar[MessageKind] = MessageKind.LOOK_AGAIN


@final
@dataclass(frozen=True, slots=True)
class LeaseHealth:
    """What the agent of a lease said last of its local service, to the workers that did not hear it themselves."""

    message_kind: ClassVar[MessageKind] = MessageKind.LEASE_HEALTH
    epoch: Epoch
    is_up: bool


@final
@dataclass(frozen=True, slots=True)
class WorkerTally:
    """A `Tally` of another worker."""

    message_kind: ClassVar[MessageKind] = MessageKind.WORKER_TALLY
    worker: WorkerId
    uses: tuple[Used, ...]


WorkerMessage: TypeAlias = Attend | Ready | OpenSession | AskName | GiveUp | DropSession | CutDone | NoteHealth | Tally
SupervisorMessage: TypeAlias = (
    Serve
    | SessionOpened
    | SessionRefused
    | NameGranted
    | NameDenied
    | Supersede
    | LeaseUp
    | LeaseDown
    | NameOffline
    | WorkerUp
    | WorkerDown
    | Retire
    | LookAgain
    | LeaseHealth
    | WorkerTally
)
Message: TypeAlias = WorkerMessage | SupervisorMessage
