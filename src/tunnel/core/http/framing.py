"""Where a body ends, decided from the head alone and before any field is removed (RFC 9112 section 6.3)."""

from typing import Final

from tunnel.core.base.partial import decimal
from tunnel.core.http.errors import (
    BadContentLength,
    FramingError,
    LengthWithTransferCoding,
    TransferCodingOnHttp10,
    UnknownTransferCoding,
    clipped,
)
from tunnel.core.http.fields import CONTENT_LENGTH, TRANSFER_ENCODING

CHUNKED: Final = -1
"""A body in chunks; it ends with a chunk of size 0."""

UNTIL_CLOSE: Final = -2
"""A response body that ends with the connection; of a head in general: no length was declared."""

LENGTH_MAX: Final = (1 << 63) - 1
"""The largest length; every implementation behind us can hold it in a signed 64-bit integer."""

_CHUNKED_NAME: Final = b"chunked"


def declared_length(noted: dict[bytes, bytes], minor: int) -> int | FramingError:
    """The Content-Length, CHUNKED, or UNTIL_CLOSE when nothing was declared.

    RFC 9112 section 6.1 would let Transfer-Encoding override Content-Length, and lets codings be combined; both are
    how requests are smuggled, so a message with either is refused (ADR 0005).
    """
    coding = noted.get(TRANSFER_ENCODING)
    length = noted.get(CONTENT_LENGTH)
    if coding is None:
        return UNTIL_CLOSE if length is None else _number(length)
    if length is not None:
        return LengthWithTransferCoding()
    if coding.lower() != _CHUNKED_NAME:
        return UnknownTransferCoding(clipped(coding))
    if minor == 0:
        return TransferCodingOnHttp10()
    return CHUNKED


def _number(value: bytes) -> int | FramingError:
    """The value of a Content-Length: digits only, as `int()` would also take `+5`, `5_0` and other scripts."""
    length = decimal(value)
    if length is None or length > LENGTH_MAX:
        return BadContentLength(clipped(value))
    return length
