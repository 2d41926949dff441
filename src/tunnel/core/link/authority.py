"""The door for values that will stand in a Host field: what passes here can inject nothing anywhere."""

import re
from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import ascii_bytes, decimal, whole_match
from tunnel.core.link.messages import Authority

AUTHORITY_CHARS_MAX: Final = 261
"""The longest DNS name (253), a colon, five digits, and the brackets of an IPv6 address."""

_PORT_MAX: Final = 65_535
_HOST: Final = rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])"
_AUTHORITY: Final = re.compile(_HOST + rb"(?::([1-9][0-9]{0,4}))?")


@final
@dataclass(frozen=True, slots=True)
class NotAnAuthority:
    """Neither `host` nor `host:port`; `seen` is cut to 64 characters."""

    seen: str


def authority_of(text: str) -> Outcome[Authority, NotAnAuthority]:
    """The authority that `text` writes, unchanged: a name or an address, IPv6 in brackets, with or without a port."""
    held = ascii_bytes(text)
    groups = None if held is None else whole_match(_AUTHORITY, held)
    if groups is None or (decimal(b"".join(groups)) or 0) > _PORT_MAX:
        return Failure(NotAnAuthority(text[:64]))
    return Success(Authority(text))
