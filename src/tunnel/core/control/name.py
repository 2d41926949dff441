"""Names that an account owns, and who holds which name at this time."""

from dataclasses import dataclass
from typing import final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.token.token import AccountId


@final
@dataclass(frozen=True, slots=True)
class NameRecord:
    """A reserved name: nobody but its account is given it."""

    name: Label
    account: AccountId
    reserved: UnixSeconds
    note: str


@final
@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who answered for a name when the data plane last said: an agent's session, its address, on which host.

    At `lapses` it is over if no newer word has come; the data plane itself never asks for it. `server` is the ID of
    the state directory whose server said so: hosts may be called alike, and one host may have several.
    """

    name: Label
    account: AccountId
    session: str
    peer: str
    host: str
    epoch: int
    since: UnixSeconds
    heartbeat: UnixSeconds
    lapses: UnixSeconds
    server: str
