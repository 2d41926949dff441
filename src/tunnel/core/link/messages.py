"""What agent and server say to each other on the control stream: a closed set of small records (spec/link.md)."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, NewType, TypeAlias, final

from tunnel.core.base.ids import EndpointId, Epoch, SessionId
from tunnel.core.policy.rules import OPEN, Policy
from tunnel.core.token.token import EndpointKind

LINK_VERSION: Final = 3
"""The version of everything here; a change of any message is a new version, never a new field."""
INSTANCE_BYTES: Final = 16

Authority = NewType("Authority", str)
"""A value that may stand in a Host field; made by `authority.authority_of` only."""


@final
class MessageKind(Enum):
    """The byte on the wire that says which message follows; the high bit is set on those of the server."""

    HELLO = 0x01
    EXPOSE = 0x02
    WITHDRAW = 0x03
    HEALTH = 0x04
    WELCOME = 0x81
    REFUSED = 0x82
    GRANTED = 0x83
    DENIED = 0x84
    DRAIN = 0x85
    FENCED = 0x86
    LAPSED = 0x87


@final
class RefusalCode(Enum):
    """Why a server ends a link; the value is the byte on the wire."""

    VERSION = 1
    PROTOCOL = 2
    TOO_SLOW = 3
    MALFORMED = 4
    UNKNOWN_KEY = 5
    BAD_SIGNATURE = 6
    NOT_YET_VALID = 7
    EXPIRED = 8
    TOO_MANY_SESSIONS = 9
    SUPERSEDED = 10
    SHUTTING_DOWN = 11
    REVOKED = 12
    SUSPENDED = 13
    ENDED_BY_OPERATOR = 14


@final
class DenialCode(Enum):
    """Why a server does not grant an endpoint; the value is the byte on the wire."""

    NAME_TAKEN = 1
    NOT_PERMITTED = 2
    TOO_MANY = 3
    BAD_NAME = 4
    UNSUPPORTED_KIND = 5
    SHUTTING_DOWN = 6
    PORT_TAKEN = 7
    NO_PORT = 8


@final
@dataclass(frozen=True, slots=True)
class Rewrite:
    """Send the local service its own address as Host."""

    authority: Authority


@final
@dataclass(frozen=True, slots=True)
class Keep:
    """Send the local service the Host that the visitor sent."""


@final
@dataclass(frozen=True, slots=True)
class Value:
    """Send the local service this Host."""

    text: Authority


HostHeader: TypeAlias = Rewrite | Keep | Value


@final
class Share(Enum):
    """Whom an endpoint shares its name with; the value is the byte on the wire."""

    ALONE = 0
    """With the other links of its own agent process, and nobody else."""
    POOL = 1
    """With every agent of its account that asked for the same."""


@final
@dataclass(frozen=True, slots=True, repr=False)
class Hello:
    """The agent's first message.

    `instance` is random per agent process and `link` counts its links from 0, so that each can supersede its own dead
    predecessor.

    `token` is the whole signed token: a secret, so this record has no `repr` that could reach a log.
    """

    message_kind: ClassVar[MessageKind] = MessageKind.HELLO
    version: int
    instance: bytes
    token: bytes
    software: str
    link: int = 0


@final
@dataclass(frozen=True, slots=True)
class Expose:
    """The agent asks for an endpoint, numbered by itself in rising order; a `name` of "" asks for any free one.

    `port` is the public port wanted for a kind that has one; 0 is any, and all that other kinds may say. `policy` is
    what the server is to ask of visitors before it passes them on. `ttl_seconds` is for how long it is to be exposed; 0
    leaves that to the server.
    """

    message_kind: ClassVar[MessageKind] = MessageKind.EXPOSE
    endpoint: EndpointId
    kind: EndpointKind
    name: str
    host_header: HostHeader
    port: int = 0
    share: Share = Share.ALONE
    policy: Policy = OPEN
    ttl_seconds: int = 0


@final
@dataclass(frozen=True, slots=True)
class Withdraw:
    """The agent gives an endpoint up."""

    message_kind: ClassVar[MessageKind] = MessageKind.WITHDRAW
    endpoint: EndpointId


@final
@dataclass(frozen=True, slots=True)
class Health:
    """Whether the local service behind a granted endpoint passes the agent's checks; until this is said, it does."""

    message_kind: ClassVar[MessageKind] = MessageKind.HEALTH
    endpoint: EndpointId
    is_up: bool
    detail: str


@final
@dataclass(frozen=True, slots=True)
class Welcome:
    """The server believes the token; it pings after `heartbeat_ms` of rest and gives up after `deadline_ms`."""

    message_kind: ClassVar[MessageKind] = MessageKind.WELCOME
    session: SessionId
    heartbeat_ms: int
    deadline_ms: int
    software: str


@final
@dataclass(frozen=True, slots=True)
class Refused:
    """The server's last word on this link."""

    message_kind: ClassVar[MessageKind] = MessageKind.REFUSED
    code: RefusalCode
    detail: str


@final
@dataclass(frozen=True, slots=True)
class Granted:
    """The endpoint answers under `name`, at `url`, as generation `epoch` of that name.

    It does so for `seconds_left`; 0 is for as long as its token is valid.
    """

    message_kind: ClassVar[MessageKind] = MessageKind.GRANTED
    endpoint: EndpointId
    name: str
    url: str
    epoch: Epoch
    seconds_left: int = 0


@final
@dataclass(frozen=True, slots=True)
class Denied:
    """The endpoint is not exposed; nothing else changes."""

    message_kind: ClassVar[MessageKind] = MessageKind.DENIED
    endpoint: EndpointId
    code: DenialCode
    detail: str


@final
@dataclass(frozen=True, slots=True)
class Drain:
    """The server will end the link after `grace_ms`; what runs may finish, nothing new begins."""

    message_kind: ClassVar[MessageKind] = MessageKind.DRAIN
    grace_ms: int


@final
@dataclass(frozen=True, slots=True)
class Fenced:
    """The endpoint is exposed no more: a newer link with the same token took its name."""

    message_kind: ClassVar[MessageKind] = MessageKind.FENCED
    endpoint: EndpointId
    detail: str


@final
@dataclass(frozen=True, slots=True)
class Lapsed:
    """The endpoint is exposed no more: its time is over."""

    message_kind: ClassVar[MessageKind] = MessageKind.LAPSED
    endpoint: EndpointId
    detail: str


AgentMessage: TypeAlias = Hello | Expose | Withdraw | Health
ServerMessage: TypeAlias = Welcome | Refused | Granted | Denied | Drain | Fenced | Lapsed
Message: TypeAlias = AgentMessage | ServerMessage


def kind_of(message: Message) -> MessageKind:
    """The kind byte of `message`."""
    return message.message_kind
