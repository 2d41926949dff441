"""What visitors and local services do against HTTP/1.1: one small record a fault, and what to say about each.

A record holds facts and `code`, its stable name for machines. Bytes of the other side are kept clipped (`clipped`),
so that an error stays as small as its cause was large.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, final

SEEN_BYTES: Final = 64
"""How much of an offending line an error keeps: enough to recognise it, too little to flood a log."""


def clipped(seen: bytes) -> bytes:
    """The first bytes of what was seen, at most `SEEN_BYTES`."""
    return seen[:SEEN_BYTES]


@final
@dataclass(frozen=True, slots=True)
class HeadTooLong:
    """A head whose end did not come within the limit."""

    code: ClassVar[str] = "head-too-long"
    limit: int


@final
@dataclass(frozen=True, slots=True)
class FirstLineTooLong:
    """A head whose first line alone did not end within the limit."""

    code: ClassVar[str] = "first-line-too-long"
    limit: int


@final
@dataclass(frozen=True, slots=True)
class BareLineEnd:
    """A CR without LF or an LF without CR; `at` counts from the start of the head, or of the line in a body."""

    code: ClassVar[str] = "bare-line-end"
    at: int


@final
@dataclass(frozen=True, slots=True)
class NulByte:
    """A NUL in a head; `at` counts from its start."""

    code: ClassVar[str] = "nul-byte"
    at: int


@final
@dataclass(frozen=True, slots=True)
class BadFieldLine:
    """A line, in a head or among trailers, that is not `name: value`."""

    code: ClassVar[str] = "bad-field-line"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class TooManyFields:
    """More field lines than the limit."""

    code: ClassVar[str] = "too-many-fields"
    limit: int


@final
@dataclass(frozen=True, slots=True)
class UnsupportedVersion:
    """A well-formed HTTP version other than 1.0 and 1.1."""

    code: ClassVar[str] = "unsupported-version"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class RepeatedField:
    """A second line of a field that may come once; `name` is lower-case."""

    code: ClassVar[str] = "repeated-field"
    name: bytes


@final
@dataclass(frozen=True, slots=True)
class BadFieldValue:
    """A value that is not the list of tokens its field asks for; `name` is lower-case."""

    code: ClassVar[str] = "bad-field-value"
    name: bytes
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class BadContentLength:
    """A Content-Length other than 1 to 19 digits of a number below 2^63."""

    code: ClassVar[str] = "bad-content-length"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class LengthWithTransferCoding:
    """Content-Length and Transfer-Encoding in one head: two readers could see two ends."""

    code: ClassVar[str] = "length-with-transfer-coding"


@final
@dataclass(frozen=True, slots=True)
class UnknownTransferCoding:
    """A Transfer-Encoding other than exactly `chunked`."""

    code: ClassVar[str] = "unknown-transfer-coding"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class TransferCodingOnHttp10:
    """Transfer-Encoding in an HTTP/1.0 message, which has no transfer codings."""

    code: ClassVar[str] = "transfer-coding-on-http-1-0"


@final
@dataclass(frozen=True, slots=True)
class BadRequestLine:
    """A first line that is not `METHOD target HTTP/1.1`."""

    code: ClassVar[str] = "bad-request-line"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class TargetTooLong:
    """A request target beyond the limit."""

    code: ClassVar[str] = "target-too-long"
    seen: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class BadTarget:
    """A request target in no form that its method may use, or with a byte no target has."""

    code: ClassVar[str] = "bad-target"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class ConnectAsked:
    """The method CONNECT: this is no proxy to other places."""

    code: ClassVar[str] = "connect-asked"


@final
@dataclass(frozen=True, slots=True)
class HostMissing:
    """No Host field, so nothing says for whom the request is."""

    code: ClassVar[str] = "host-missing"


@final
@dataclass(frozen=True, slots=True)
class BadHost:
    """A Host that is not one name or address with an optional port."""

    code: ClassVar[str] = "bad-host"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class HostDisagrees:
    """An absolute-form target whose authority is not the Host: two readers could see two hosts."""

    code: ClassVar[str] = "host-disagrees"
    target: bytes
    host: bytes


@final
@dataclass(frozen=True, slots=True)
class TraceWithBody:
    """A TRACE with content (RFC 9110 section 9.3.8)."""

    code: ClassVar[str] = "trace-with-body"


@final
@dataclass(frozen=True, slots=True)
class UnknownExpectation:
    """An Expect other than `100-continue`."""

    code: ClassVar[str] = "unknown-expectation"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class UpgradeWithBody:
    """An Upgrade request with content: the place where the new protocol begins would be unclear."""

    code: ClassVar[str] = "upgrade-with-body"
    upgrade: bytes


@final
@dataclass(frozen=True, slots=True)
class BadStatusLine:
    """A first line that is not `HTTP/1.1 200 reason`."""

    code: ClassVar[str] = "bad-status-line"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class BodyNotAllowed:
    """A body declared for a status that has none (RFC 9112 section 6.3)."""

    code: ClassVar[str] = "body-not-allowed"
    status: int


@final
@dataclass(frozen=True, slots=True)
class SwitchUnnamed:
    """A 101 that does not name what it switches to (RFC 9110 section 7.8)."""

    code: ClassVar[str] = "switch-unnamed"


@final
@dataclass(frozen=True, slots=True)
class BadChunkLine:
    """A line before a chunk that is not a size with well-formed extensions."""

    code: ClassVar[str] = "bad-chunk-line"
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class ChunkLineTooLong:
    """Chunk extensions that, over the whole body, exceed the limit."""

    code: ClassVar[str] = "chunk-line-too-long"
    limit: int


@final
@dataclass(frozen=True, slots=True)
class ChunkNotEnded:
    """Another byte where CR LF ends the data of a chunk."""

    code: ClassVar[str] = "chunk-not-ended"
    seen: int


@final
@dataclass(frozen=True, slots=True)
class TrailersTooLong:
    """A trailer section beyond the limit."""

    code: ClassVar[str] = "trailers-too-long"
    limit: int


@final
@dataclass(frozen=True, slots=True)
class BodyTooLong:
    """A body beyond the limit, as declared or as it came."""

    code: ClassVar[str] = "body-too-long"
    limit: int


@final
@dataclass(frozen=True, slots=True)
class EndedEarly:
    """The sender finished before the body did; `expected` is -1 when no length was declared."""

    code: ClassVar[str] = "ended-early"
    received: int
    expected: int
