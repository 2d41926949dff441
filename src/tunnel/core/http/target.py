"""The four forms of a request target (RFC 9112 section 3.2), brought to the two that an origin server is sent."""

import re
from typing import Final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import two_groups
from tunnel.core.http.errors import BadTarget, HostDisagrees, clipped

ASTERISK: Final = b"*"
_OPTIONS: Final = b"OPTIONS"

# absolute-form of the two schemes that reach us; everything up to the first "/" or "?" is the authority.
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]++)(.*+)")


def reduced_target(method: bytes, target: bytes, host_value: bytes) -> Outcome[bytes, BadTarget | HostDisagrees]:
    """The origin-form, or `*`, of a target that does not begin with `/`.

    An absolute-form is reduced when its authority is the Host field, letter case apart; RFC 9112 section 3.2.2 would
    let it override Host, and a local service that does not would then see another host than we routed by. The path is
    never normalised, as nobody decides by it here (CVE history of `/public/%2e%2e/admin`).
    """
    if target == ASTERISK:
        return Success(target) if method == _OPTIONS else Failure(BadTarget(target))
    parts = two_groups(_ABSOLUTE, target)
    if parts is None:
        return Failure(BadTarget(clipped(target)))
    authority, path = parts
    if authority.lower() != host_value.lower():
        return Failure(HostDisagrees(clipped(authority), clipped(host_value)))
    if path.startswith(b"/"):
        return Success(path)
    return Success(ASTERISK if method == _OPTIONS and not path else b"/" + path)
