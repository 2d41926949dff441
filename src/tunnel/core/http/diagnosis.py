"""Why a head does not match the grammar: the slow second look that only refused heads get."""

from typing import Final

from tunnel.core.base.limits import Limits
from tunnel.core.base.partial import byte_at, first_match, whole_match
from tunnel.core.http.errors import (
    BadFieldLine,
    BadRequestLine,
    BadStatusLine,
    BadTarget,
    BareLineEnd,
    HeadTooLong,
    NulByte,
    RequestError,
    ResponseError,
    UnsupportedVersion,
    clipped,
)
from tunnel.core.http.grammar import CRLF, FIELD_LINE, HEAD_END, LINE_FAULT, METHOD, STATUS_AND_REASON, TARGET, VERSION

_SPOKEN: Final = (b"HTTP/1.0", b"HTTP/1.1")


def line_fault(data: bytes, at: int, offset: int = 0) -> BareLineEnd | NulByte | None:
    """The first NUL, or CR or LF without the other, at or after `at`, where `offset` bytes of the head came before.

    The byte before `at` is looked at, too, so that a CR and LF in two reads are one line end.
    """
    found = first_match(LINE_FAULT, data, at)
    if found < 0:
        return None
    return NulByte(offset + found) if byte_at(data, found) == 0 else BareLineEnd(offset + found)


def request_fault(raw: bytes, limits: Limits) -> RequestError:
    """What is wrong with a request head that is too long or that `REQUEST_HEAD` does not match."""
    if len(raw) > limits.head_bytes_max:
        return HeadTooLong(limits.head_bytes_max)
    fault = line_fault(raw, 0)
    if fault is not None:
        return fault
    line, _, lines = raw.removeprefix(CRLF).partition(CRLF)
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if whole_match(METHOD, method) is None or whole_match(VERSION, version) is None or b" " in target:
        return BadRequestLine(clipped(line))
    if version not in _SPOKEN:
        return UnsupportedVersion(version)
    if whole_match(TARGET, target) is None:
        return BadTarget(clipped(target))
    return _bad_line(lines)


def response_fault(raw: bytes, limits: Limits) -> ResponseError:
    """What is wrong with a response head that is too long or that `RESPONSE_HEAD` does not match."""
    if len(raw) > limits.head_bytes_max:
        return HeadTooLong(limits.head_bytes_max)
    fault = line_fault(raw, 0)
    if fault is not None:
        return fault
    line, _, lines = raw.partition(CRLF)
    version, _, rest = line.partition(b" ")
    if whole_match(VERSION, version) is None:
        return BadStatusLine(clipped(line))
    if version not in _SPOKEN:
        return UnsupportedVersion(version)
    if whole_match(STATUS_AND_REASON, rest) is None:
        return BadStatusLine(clipped(line))
    return _bad_line(lines)


def _bad_line(lines: bytes) -> BadFieldLine:
    """The first of these lines that is not a field line; an empty one when only the end of the head is missing."""
    for line in lines.removesuffix(HEAD_END).split(CRLF):
        if whole_match(FIELD_LINE, line + CRLF) is None:
            return BadFieldLine(clipped(line))
    return BadFieldLine(b"")
