"""The name that a client asks for: one host, in the one spelling that the rest of the product uses (RFC 6066)."""

import re
from typing import Final

from tunnel.core.base.partial import latin1_text, whole_match

HOST_BYTES_MAX: Final = 255
"""RFC 1035 section 2.3.4."""

_NAME: Final = re.compile(rb"([0-9A-Za-z_-]{1,63}+(?:\.[0-9A-Za-z_-]{1,63}+)*)\.?")
"""As in a Host field, one dot at the end included, which RFC 6066 forbids and some clients send."""
_ADDRESS: Final = re.compile(rb"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")


def canonical_name(raw: bytes) -> str | None:
    """The host in lower case and without a final dot; None when it is no host name.

    "" for an address literal, which RFC 6066 section 3 does not permit there and says nothing about: a client that
    sends one gets what a client without a name gets.
    """
    if len(raw) > HOST_BYTES_MAX:
        return None
    if whole_match(_ADDRESS, raw) is not None:
        return ""
    found = whole_match(_NAME, raw)
    if found is None:
        return None
    name = b"".join(found)
    return latin1_text(name.lower())
