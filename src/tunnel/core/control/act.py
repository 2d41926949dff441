"""Who does something, as every write of the store and every audit entry says it."""

from dataclasses import dataclass
from typing import Final, final

BY_SHELL: Final = "cli"
"""`Act.key` of what the operator does on the server's own command line, where the state directory is the credential."""


@final
@dataclass(frozen=True, slots=True)
class Act:
    """Who does something: the identity, from where, with which key (its public part), in which request."""

    identity: str
    address: str
    key: str
    request: str
