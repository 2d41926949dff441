"""The Host field: one name or address, optionally with a port, in one canonical spelling (RFC 9110 section 7.2)."""

import re
from typing import Final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import decimal, latin1_text, two_groups
from tunnel.core.http.errors import BadHost, clipped

_PORT_MAX: Final = 65535
_HOST_BYTES_MAX: Final = 255 + len(b":65535")
"""A DNS name (RFC 1035 section 2.3.4) with a port; no address literal is longer."""

# Names are labels of letters, digits, hyphens and underscores, with one dot at the end at most. RFC 3986 reg-name
# would also allow "%41", "," and "!": no DNS name has them, and each is a second spelling or a second host to someone.
_LABEL: Final = rb"[0-9A-Za-z_-]{1,63}+"
_NAME: Final = rb"(" + _LABEL + rb"(?:\." + _LABEL + rb")*)\.?"
_PORT: Final = rb"(?::([1-9][0-9]{0,4}))?"
_NAME_AND_PORT: Final = re.compile(_NAME + _PORT)

# IPv6address of RFC 3986 section 3.2.2, without zone: each alternative is one place where "::" may stand.
_H16: Final = rb"[0-9A-Fa-f]{1,4}"
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LS32: Final = rb"(?:" + _H16 + rb":" + _H16 + rb"|(?:" + _OCTET + rb"\.){3}" + _OCTET + rb")"
_GROUP: Final = rb"(?:" + _H16 + rb":)"
_BEFORE: Final = rb"(?:" + _GROUP
_IPV6: Final = (
    _GROUP
    + rb"{6}"
    + _LS32
    + rb"|::"
    + _GROUP
    + rb"{5}"
    + _LS32
    + rb"|(?:"
    + _H16
    + rb")?::"
    + _GROUP
    + rb"{4}"
    + _LS32
    + rb"|"
    + _BEFORE
    + rb"{0,1}"
    + _H16
    + rb")?::"
    + _GROUP
    + rb"{3}"
    + _LS32
    + rb"|"
    + _BEFORE
    + rb"{0,2}"
    + _H16
    + rb")?::"
    + _GROUP
    + rb"{2}"
    + _LS32
    + rb"|"
    + _BEFORE
    + rb"{0,3}"
    + _H16
    + rb")?::"
    + _GROUP
    + _LS32
    + rb"|"
    + _BEFORE
    + rb"{0,4}"
    + _H16
    + rb")?::"
    + _LS32
    + rb"|"
    + _BEFORE
    + rb"{0,5}"
    + _H16
    + rb")?::"
    + _H16
    + rb"|"
    + _BEFORE
    + rb"{0,6}"
    + _H16
    + rb")?::"
)
_ADDRESS_AND_PORT: Final = re.compile(rb"(\[(?:" + _IPV6 + rb")\])" + _PORT)


def canonical_host(value: bytes) -> Outcome[str, BadHost]:
    """The host of a Host field value in lower case, without port and without the dot that may end a name.

    An IPv6 address keeps its brackets and its spelling. An empty Host, userinfo, lists, spaces, an empty port and a
    port outside 1 to 65535 are refused.
    """
    host = host_of(value)
    return Failure(BadHost(clipped(value))) if host is None else Success(host)


def host_of(value: bytes) -> str | None:
    """As `canonical_host`, with None instead of the error: the form for the path of every request."""
    if len(value) > _HOST_BYTES_MAX:
        return None
    parts = two_groups(_NAME_AND_PORT, value) or two_groups(_ADDRESS_AND_PORT, value)
    if parts is None:
        return None
    host, port = parts
    if port and (decimal(port) or 0) > _PORT_MAX:
        return None
    return latin1_text(host.lower())
