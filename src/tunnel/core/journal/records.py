"""What the data plane notes for the store: usage, and what an audit trail has to say of it."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType, TypeAlias, final

from tunnel.core.base.ids import Epoch, Label, SessionId, UnixSeconds
from tunnel.core.token.token import AccountId, TokenId

JournalId = NewType("JournalId", bytes)
"""One journal of one process, 16 random bytes; no other process ever writes to it."""

JOURNAL_ID_BYTES: Final = 16
FIRST_SEQUENCE: Final = 1
"""The number of a journal's first record; the others follow without a gap."""


@final
@dataclass(frozen=True, slots=True)
class UsageNoted:
    """What was used of a name within an hour and not noted before: to be added to what is known of that hour.

    `hour` is its first second. A name of "" stands for names of the account that memory did not hold apart.
    """

    account: AccountId
    name: str
    hour: UnixSeconds
    requests: int
    bytes_up: int
    bytes_down: int
    connections: int


@final
@dataclass(frozen=True, slots=True)
class SessionBegan:
    """An agent's token was believed; `peer` is where it dialled from."""

    session: SessionId
    account: AccountId
    token: TokenId
    peer: str
    at: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class SessionClosed:
    """An agent's link is over, after so many seconds, for `reason`."""

    session: SessionId
    account: AccountId
    token: TokenId
    peer: str
    reason: str
    seconds: int
    at: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class AgentRefused:
    """`count` agents were turned away for one reason within a second; peer and detail are those of the last."""

    peer: str
    code: str
    detail: str
    count: int
    at: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class NameTaken:
    """A session answers for a name from now on."""

    name: Label
    account: AccountId
    session: SessionId
    epoch: Epoch
    peer: str
    at: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class NameLost:
    """A session answers for a name no more."""

    name: Label
    account: AccountId
    session: SessionId
    epoch: Epoch
    at: UnixSeconds


@final
class ServerNote(Enum):
    """What the server as a whole did; the value is its byte in a record."""

    START = 1
    STOP = 2
    RELOAD = 3
    RELOAD_FAILED = 4
    CONFIG = 5


@final
@dataclass(frozen=True, slots=True)
class ServerNoted:
    """The server did something that an operator wants to find later."""

    kind: ServerNote
    detail: str
    at: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class RecordsDropped:
    """So many records since `since` found no room in the journal; usage is never among them."""

    count: int
    since: UnixSeconds
    at: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class RecordsMissing:
    """Records `first` and on, `count` of them, cannot be read back; whoever reads a journal makes this of it.

    It is never written to a journal: it takes the number of the last that is missing.
    """

    first: int
    count: int
    detail: str
    at: UnixSeconds


Noted: TypeAlias = (
    UsageNoted | SessionBegan | SessionClosed | AgentRefused | NameTaken | NameLost | ServerNoted | RecordsDropped
)
"""What a journal holds."""
Record: TypeAlias = Noted | RecordsMissing
"""What a store is given."""


@final
@dataclass(frozen=True, slots=True)
class Numbered:
    """A record under its number in its journal."""

    sequence: int
    record: Noted
