"""Version 1: one line of text (proxy-protocol.txt section 2.1)."""

import re
from typing import Final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import decimal, four_groups, ipv4_number, ipv6_number, latin1_text, whole_match
from tunnel.core.proxy.errors import LineMalformed
from tunnel.core.proxy.header import NO_ADDRESS, ProxyHeader

LINE_BYTES_MAX: Final = 107
"""The longest line there is, its CRLF included (section 2.1)."""
LINE_START: Final = b"PROXY "
_PORT_MAX: Final = 65_535
_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [ -~]*)?\r\n")
_PORT: Final = rb"(0|[1-9][0-9]{0,4})"
_TCP4: Final = re.compile(rb"PROXY TCP4 ([0-9.]{7,15}) ([0-9.]{7,15}) " + _PORT + b" " + _PORT + rb"\r\n")
_TCP6: Final = re.compile(rb"PROXY TCP6 ([0-9A-Fa-f:.]{2,45}) ([0-9A-Fa-f:.]{2,45}) " + _PORT + b" " + _PORT + rb"\r\n")


def parse_line(line: bytes) -> Outcome[ProxyHeader, LineMalformed]:
    """The header of a whole line, its CRLF included."""
    if whole_match(_UNKNOWN, line) is not None:
        return Success(NO_ADDRESS)
    short = four_groups(_TCP4, line)
    found = four_groups(_TCP6, line) if short is None else short
    if found is None:
        return Failure(LineMalformed(line[:LINE_BYTES_MAX]))
    source, target = latin1_text(found[0]), latin1_text(found[1])
    source_port, target_port = decimal(found[2]) or 0, decimal(found[3]) or 0
    if short is None:
        is_sound = ipv6_number(source) is not None and ipv6_number(target) is not None
    else:
        is_sound = ipv4_number(source) is not None and ipv4_number(target) is not None
    if not is_sound or source_port > _PORT_MAX or target_port > _PORT_MAX:
        return Failure(LineMalformed(line[:LINE_BYTES_MAX]))
    return Success(ProxyHeader(source, source_port, target, target_port))
