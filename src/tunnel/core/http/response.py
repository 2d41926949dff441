"""One response head of a local service, held to the same strictness as a request: a smuggled response is as bad."""

from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import decimal, four_groups
from tunnel.core.http.diagnosis import response_fault
from tunnel.core.http.errors import (
    BadFieldValue,
    BadStatusLine,
    BodyNotAllowed,
    ResponseError,
    SwitchUnnamed,
    clipped,
)
from tunnel.core.http.fields import (
    UPGRADE,
    connection_options,
    field_list,
    keeps_alive,
    noted_fields,
    upgrade_offer,
)
from tunnel.core.http.framing import UNTIL_CLOSE, declared_length
from tunnel.core.http.grammar import RESPONSE_HEAD, has_c1

SWITCHING_PROTOCOLS: Final = 101
_OK: Final = 200
_NO_CONTENT: Final = 204
_RESET_CONTENT: Final = 205
_NOT_MODIFIED: Final = 304
_HEAD: Final = b"HEAD"

_EMPTY: Final = (0, UNTIL_CLOSE)


@final
class ResponseHead:
    """A response head that has exactly one reading; built by `parse_response_head` and nowhere else."""

    def __init__(
        self,
        *,
        minor: int,
        status: int,
        reason: bytes,
        fields: list[tuple[bytes, bytes]],
        length: int,
        declared: int,
        connection_options: tuple[bytes, ...],
        upgrade: bytes,
        keep_alive: bool,
    ) -> None:
        self.minor: Final = minor
        """0 or 1, of HTTP/1.x."""
        self.status: Final = status
        """100 to 599."""
        self.reason: Final = reason
        """As it came; may be empty."""
        self.fields: Final = fields
        """Names as they came, values without SP and HTAB around them; the list is not to be changed."""
        self.length: Final = length
        """Bytes of body that follow this head, CHUNKED, or UNTIL_CLOSE."""
        self.declared: Final = declared
        """The Content-Length to forward, which HEAD and 304 have without a body; -1 when there is none."""
        self.connection_options: Final = connection_options
        """In lower case, in order."""
        self.upgrade: Final = upgrade
        """What a 101 switches to; b"" for every other status."""
        self.keep_alive: Final = keep_alive
        """Whether the local service will take another request on this connection."""

    @property
    def is_interim(self) -> bool:
        """Whether another response to the same request follows: any 1xx but 101."""
        return self.status < _OK and self.status != SWITCHING_PROTOCOLS


def parse_response_head(raw: bytes, request_method: bytes, limits: Limits) -> Outcome[ResponseHead, ResponseError]:
    """The response of a whole head to a request of this method, or the reason why the visitor gets 502 instead.

    RFC 9112 sections 4, 5 and 6, made stricter by ADR 0005. Whether a 101 answers what the visitor asked for is not
    decided here.
    """
    parts = four_groups(RESPONSE_HEAD, raw)
    if parts is None or len(raw) > limits.head_bytes_max:
        return Failure(response_fault(raw, limits))
    minor_digit, digits, reason, block = parts
    if has_c1(reason):
        return Failure(BadStatusLine(clipped(reason)))
    fields = field_list(block, limits)
    if not isinstance(fields, list):
        return Failure(fields)
    noted = noted_fields(fields)
    if not isinstance(noted, dict):
        return Failure(noted)
    return _response(
        minor=0 if minor_digit == b"0" else 1,
        status=decimal(digits) or 0,
        reason=reason,
        fields=fields,
        noted=noted,
        request_method=request_method,
    )


def _response(
    *,
    minor: int,
    status: int,
    reason: bytes,
    fields: list[tuple[bytes, bytes]],
    noted: dict[bytes, bytes],
    request_method: bytes,
) -> Outcome[ResponseHead, ResponseError]:
    """The response, once it is clear where its body ends and whether its connection does."""
    declared = declared_length(noted, minor)
    if not isinstance(declared, int):
        return Failure(declared)
    length = _length(status, declared, request_method)
    if not isinstance(length, int):
        return Failure(length)
    options = connection_options(noted)
    if not isinstance(options, tuple):
        return Failure(options)
    upgrade = _switched(status, options, noted)
    if not isinstance(upgrade, bytes):
        return Failure(upgrade)
    head = ResponseHead(
        minor=minor,
        status=status,
        reason=reason,
        fields=fields,
        length=length,
        declared=-1 if _has_no_length(status) else max(declared, -1),
        connection_options=options,
        upgrade=upgrade,
        keep_alive=length != UNTIL_CLOSE and keeps_alive(minor, options),
    )
    return Success(head)


def _has_no_length(status: int) -> bool:
    """Whether even an empty body must not be declared (RFC 9110 section 8.6): 1xx and 204."""
    return status < _OK or status == _NO_CONTENT


def _length(status: int, declared: int, request_method: bytes) -> int | BodyNotAllowed:
    """Where the body ends (RFC 9112 section 6.3).

    A declared body where none can be is refused, as some readers would take it for the next response. Many frameworks
    send `Content-Length: 0` with 204, which says the same twice and is let through here and dropped when forwarded.
    """
    if _has_no_length(status):
        return BodyNotAllowed(status) if declared not in _EMPTY else 0
    if status == _RESET_CONTENT and declared > 0:
        return BodyNotAllowed(status)
    if status == _NOT_MODIFIED or request_method == _HEAD:
        return 0
    return declared


def _switched(
    status: int, options: tuple[bytes, ...], noted: dict[bytes, bytes]
) -> bytes | BadFieldValue | SwitchUnnamed:
    """What a 101 switches to; it must say so (RFC 9110 section 15.2.2)."""
    if status != SWITCHING_PROTOCOLS:
        return b""
    if UPGRADE not in noted or UPGRADE not in options:
        return SwitchUnnamed()
    offered = upgrade_offer(noted)
    if isinstance(offered, bytes) and not offered:
        return SwitchUnnamed()
    return offered
