"""The ClientHello in the first bytes of a connection (RFC 8446 section 4.1.2): a total function over what is there.

Nothing is taken from the connection: the bytes are looked at and stay where they are, for whoever goes on with them.
Strict where two readers could come to different answers: a name or an extension that stands twice is refused.
"""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.fields import Fields
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import byte_at, uint_at
from tunnel.core.tls.errors import (
    HelloError,
    HelloMalformed,
    HelloTooLong,
    NotTls,
    OtherMessage,
    OtherProtocol,
    TooManyRecords,
)
from tunnel.core.tls.extensions import Extensions, read_extensions

RECORDS_MAX: Final = 32
"""Records that one hello may be cut into. Clients use one, tools that cut on purpose a handful; each costs a look."""

_RECORD_HEADER_BYTES: Final = 5
_RECORD_BYTES_MAX: Final = 1 << 14
_MESSAGE_HEADER_BYTES: Final = 4
_HANDSHAKE: Final = 22
_TLS_MAJOR: Final = 3
_CLIENT_HELLO: Final = 1
_RANDOM_BYTES: Final = 32
_SESSION_BYTES_MAX: Final = 32
_TLS_1_2: Final = 0x0303
_SSL2_BIT: Final = 0x80
_HTTP_STARTS: Final = (b"GET ", b"HEA", b"POS", b"PUT", b"DEL", b"OPT", b"CON", b"TRA", b"PAT", b"PRI ")


@final
@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client asks for. `server_name` is canonical, "" when it names nobody; `size` counts records, too."""

    server_name: str
    protocols: tuple[bytes, ...]
    versions: tuple[int, ...]
    size: int


@final
@dataclass(frozen=True, slots=True)
class HelloPart:
    """The hello is sound so far and not whole; it cannot be before `needed` bytes are there, counted from the first."""

    needed: int


def read_hello(seen: bytes, bytes_max: int) -> Outcome[ClientHello | HelloPart, HelloError]:
    """The hello at the start of `seen`, of at most `bytes_max` bytes; the first thing that is wrong with it, else."""
    joined = _join_records(seen, bytes_max)
    if not isinstance(joined, Success):
        return joined
    message, at, needed = value_of(joined)
    if needed:
        return Success(HelloPart(needed))
    body = _read_body(message[_MESSAGE_HEADER_BYTES:])
    if not isinstance(body, Success):
        return body
    asked = value_of(body)
    return Success(ClientHello(asked.server_name, asked.protocols, asked.versions, at))


def _join_records(seen: bytes, bytes_max: int) -> Outcome[tuple[bytes, int, int], HelloError]:
    """The message put together of its records and where the last of them ends, or how many bytes it needs yet."""
    parts: list[bytes] = []
    length = 0
    at = 0
    wanted = _MESSAGE_HEADER_BYTES
    for _ in range(RECORDS_MAX):
        size = _record_size(seen, at)
        if not isinstance(size, Success):
            return size
        end = at + _RECORD_HEADER_BYTES + value_of(size)
        if end > bytes_max:
            return Failure(HelloTooLong(end, bytes_max))
        if value_of(size) == 0 or end > len(seen):
            early = _early_fault(b"".join(parts) + seen[at + _RECORD_HEADER_BYTES : end], bytes_max)
            return Success((b"", at, end if value_of(size) else at + _RECORD_HEADER_BYTES)) if early is None else early
        parts.append(seen[at + _RECORD_HEADER_BYTES : end])
        length += value_of(size)
        at = end
        message = b"".join(parts)
        early = _early_fault(message, bytes_max)
        if early is not None:
            return early
        if length >= wanted:
            wanted = _MESSAGE_HEADER_BYTES + uint_at(message, 1, 3)
        if length >= wanted:
            return Success((message[:wanted], at, 0))
    return Failure(TooManyRecords(RECORDS_MAX))


def _record_size(seen: bytes, at: int) -> Outcome[int, HelloError]:
    """How many bytes the record at `at` carries; 0 while its header is not all there.

    What is no TLS is named by its first five bytes, not by fewer, so that it is named alike however it arrives.
    """
    if at == 0 and len(seen) < _RECORD_HEADER_BYTES:
        return Success(0)
    kind, major = byte_at(seen, at), byte_at(seen, at + 1)
    size = uint_at(seen, at + 3, 2)
    if kind not in {_HANDSHAKE, -1} or major not in {_TLS_MAJOR, -1}:
        return Failure(NotTls(_spoken(seen)) if at == 0 else HelloMalformed("record type"))
    if size == 0 or size > _RECORD_BYTES_MAX:
        return Failure(HelloMalformed("record length"))
    return Success(max(size, 0))


def _early_fault(message: bytes, bytes_max: int) -> Failure[HelloError] | None:
    """What the first four bytes of the message tell already: nobody waits for the rest of something else."""
    kind, length = byte_at(message, 0), uint_at(message, 1, 3)
    if kind not in {_CLIENT_HELLO, -1}:
        return Failure(OtherMessage(kind))
    if length + _MESSAGE_HEADER_BYTES > bytes_max:
        return Failure(HelloTooLong(length + _MESSAGE_HEADER_BYTES, bytes_max))
    return None


def _spoken(seen: bytes) -> OtherProtocol:
    """What else it is. An SSL 2 hello has the high bit of its first byte set and a message type of 1 in its third."""
    if seen.startswith(_HTTP_STARTS):
        return OtherProtocol.HTTP
    if byte_at(seen, 0) & _SSL2_BIT and byte_at(seen, 2) == _CLIENT_HELLO:
        return OtherProtocol.SSL2
    return OtherProtocol.UNKNOWN


def _read_body(body: bytes) -> Outcome[Extensions, HelloMalformed]:
    """What the extensions say; a hello without any asks for nothing."""
    fields = Fields(body)
    version = fields.take_uint("version", 2)
    fields.take_bytes("random", _RANDOM_BYTES)
    session = fields.take_vector("session id", 1)
    suites = fields.take_vector("cipher suites", 2)
    compression = fields.take_vector("compression methods", 1)
    if len(session) > _SESSION_BYTES_MAX:
        fields.refuse("session id")
    if not suites or len(suites) & 1:
        fields.refuse("cipher suites")
    if b"\0" not in compression:
        fields.refuse("compression methods")
    if version >> 8 != _TLS_MAJOR:
        fields.refuse("version")
    if fields.at_end() and not fields.fault():
        return Success(Extensions("", (), (version,)))
    extensions = fields.take_vector("extensions", 2)
    fault = fields.fault()
    if fault:
        return Failure(HelloMalformed("bytes after the extensions" if fault == "end" else fault))
    read = read_extensions(extensions)
    if not isinstance(read, Success):
        return read
    asked = value_of(read)
    # Without the extension the old field counts, in which nobody can say more than TLS 1.2.
    versions = asked.versions or (min(version, _TLS_1_2),)
    return Success(Extensions(asked.server_name, asked.protocols, versions))
