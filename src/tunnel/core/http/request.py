"""One request head, parsed once at the door: what routing, framing and forwarding all go by."""

from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import four_groups
from tunnel.core.http.diagnosis import request_fault
from tunnel.core.http.errors import (
    BadFieldValue,
    BadHost,
    BodyTooLong,
    ConnectAsked,
    FramingError,
    HostMissing,
    RequestError,
    TargetTooLong,
    TraceWithBody,
    UnknownExpectation,
    UpgradeWithBody,
    clipped,
)
from tunnel.core.http.fields import (
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TRANSFER_ENCODING,
    UPGRADE,
    connection_options,
    field_list,
    keeps_alive,
    noted_fields,
    upgrade_offer,
)
from tunnel.core.http.framing import declared_length
from tunnel.core.http.grammar import REQUEST_HEAD
from tunnel.core.http.host import host_of
from tunnel.core.http.target import reduced_target

_CONNECT: Final = b"CONNECT"
_TRACE: Final = b"TRACE"
_CONTINUE: Final = b"100-continue"


@final
class RequestHead:
    """A request that has exactly one reading; built by `parse_request_head` and nowhere else."""

    def __init__(
        self,
        *,
        method: bytes,
        target: bytes,
        minor: int,
        fields: list[tuple[bytes, bytes]],
        host: str,
        host_value: bytes,
        length: int,
        connection_options: tuple[bytes, ...],
        upgrade: bytes,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        self.method: Final = method
        """A token without lower-case letters, never CONNECT."""
        self.target: Final = target
        """The origin-form byte for byte as it came, or `*`."""
        self.minor: Final = minor
        """0 or 1, of HTTP/1.x."""
        self.fields: Final = fields
        """Names as they came, values without SP and HTAB around them; the list is not to be changed."""
        self.host: Final = host
        """Lower case, no port, no dot at the end: the one value that routes and authorises."""
        self.host_value: Final = host_value
        """The Host field value as it came."""
        self.length: Final = length
        """Bytes of body (0 when none was declared), or CHUNKED."""
        self.connection_options: Final = connection_options
        """In lower case, in order."""
        self.upgrade: Final = upgrade
        """The protocols a valid upgrade offers, without those that are HTTP again; b"" when it is none."""
        self.keep_alive: Final = keep_alive
        """Whether the visitor will take another response on this connection."""
        self.expects_continue: Final = expects_continue
        """Whether the visitor may wait for a 100 before it sends the body that is declared."""


def parse_request_head(
    raw: bytes, limits: Limits, known: tuple[bytes, str] = (b"", "")
) -> Outcome[RequestHead, RequestError]:
    """The request of a whole head, its final empty line included, or the reason why nobody should act on it.

    `known` is a Host field value and the host it was found to name: requests of one connection mostly repeat it.

    RFC 9112 sections 3, 5 and 6, made stricter by ADR 0005: what two readers could read differently is refused.
    """
    parts = four_groups(REQUEST_HEAD, raw)
    if parts is None or len(raw) > limits.head_bytes_max:
        return Failure(request_fault(raw, limits))
    method, target, minor, block = parts
    if method == _CONNECT:
        return Failure(ConnectAsked())
    fields = field_list(block, limits)
    if not isinstance(fields, list):
        return Failure(fields)
    noted = noted_fields(fields)
    if not isinstance(noted, dict):
        return Failure(noted)
    host_value = noted.get(HOST)
    if host_value is None:
        return Failure(HostMissing())
    host = known[1] if host_value == known[0] and host_value else host_of(host_value)
    if host is None:
        return Failure(BadHost(clipped(host_value)))
    if len(target) > limits.target_bytes_max:
        return Failure(TargetTooLong(len(target), limits.target_bytes_max))
    if not target.startswith(b"/"):
        reduced = reduced_target(method, target, host_value)
        if not isinstance(reduced, Success):
            return reduced
        target = value_of(reduced)
    return _request(method, target, 0 if minor == b"0" else 1, fields, host, host_value, noted, limits)


def _request(
    method: bytes,
    target: bytes,
    minor: int,
    fields: list[tuple[bytes, bytes]],
    host: str,
    host_value: bytes,
    noted: dict[bytes, bytes],
    limits: Limits,
) -> Outcome[RequestHead, RequestError]:
    """The request, once it is clear where its body ends and what its Connection, Upgrade and Expect fields want."""
    length = _length(method, minor, noted, limits)
    if not isinstance(length, int):
        return Failure(length)
    options = connection_options(noted)
    if not isinstance(options, tuple):
        return Failure(options)
    upgrade = _upgrade(minor, options, noted, length)
    if not isinstance(upgrade, bytes):
        return Failure(upgrade)
    expects_continue = _expects_continue(minor, noted, length)
    if not isinstance(expects_continue, bool):
        return Failure(expects_continue)
    head = RequestHead(
        method=method,
        target=target,
        minor=minor,
        fields=fields,
        host=host,
        host_value=host_value,
        length=length,
        connection_options=options,
        upgrade=upgrade,
        keep_alive=keeps_alive(minor, options),
        expects_continue=expects_continue,
    )
    return Success(head)


def _length(
    method: bytes, minor: int, noted: dict[bytes, bytes], limits: Limits
) -> int | FramingError | BodyTooLong | TraceWithBody:
    """Bytes of body, or CHUNKED. A request without either field has none, whatever its method (RFC 9112 6.3)."""
    if CONTENT_LENGTH not in noted and TRANSFER_ENCODING not in noted:
        return 0
    length = declared_length(noted, minor)
    if not isinstance(length, int):
        return length
    if length > limits.request_body_bytes_max:
        return BodyTooLong(limits.request_body_bytes_max)
    if length != 0 and method == _TRACE:
        return TraceWithBody()
    return length


def _upgrade(
    minor: int, options: tuple[bytes, ...], noted: dict[bytes, bytes], length: int
) -> bytes | BadFieldValue | UpgradeWithBody:
    """What the request may switch to: nothing in HTTP/1.0, nor without `Connection: upgrade` (RFC 9110 section 7.8)."""
    if UPGRADE not in noted or UPGRADE not in options or minor == 0:
        return b""
    offered = upgrade_offer(noted)
    if length != 0 and isinstance(offered, bytes) and offered:
        return UpgradeWithBody(clipped(offered))
    return offered


def _expects_continue(minor: int, noted: dict[bytes, bytes], length: int) -> bool | UnknownExpectation:
    """Whether a 100 is waited for; HTTP/1.0 knows no expectations (RFC 9110 section 10.1.1)."""
    value = noted.get(EXPECT)
    if value is None or minor == 0:
        return False
    if value.lower() != _CONTINUE:
        return UnknownExpectation(clipped(value))
    return length != 0
