"""ClientHellos made of parts, well-formed or not; written from RFC 8446 and without a line of the product."""

from collections.abc import Sequence
from typing import Final

RANDOM: Final = bytes(range(32))
SUITES: Final = bytes.fromhex("130113021303c02b")


def vector(data: bytes, length_bytes: int) -> bytes:
    """The bytes behind their length."""
    return len(data).to_bytes(length_bytes, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    """One extension."""
    return kind.to_bytes(2, "big") + vector(data, 2)


def server_names(*names: bytes, kind: int = 0) -> bytes:
    """A server_name extension with these names."""
    return extension(0, vector(b"".join(bytes([kind]) + vector(name, 2) for name in names), 2))


def protocols(*names: bytes) -> bytes:
    """An ALPN extension."""
    return extension(16, vector(b"".join(vector(name, 1) for name in names), 2))


def versions(*numbers: int) -> bytes:
    """A supported_versions extension."""
    return extension(43, vector(b"".join(number.to_bytes(2, "big") for number in numbers), 1))


def body(
    extensions: bytes | None = b"", *, version: int = 0x0303, session: bytes = b"", suites: bytes = SUITES,
    compression: bytes = b"\0",
) -> bytes:  # fmt: skip
    """A ClientHello without its header; None for extensions leaves their block out."""
    fixed = version.to_bytes(2, "big") + RANDOM + vector(session, 1) + vector(suites, 2) + vector(compression, 1)
    return fixed if extensions is None else fixed + vector(extensions, 2)


def message(content: bytes, kind: int = 1) -> bytes:
    """A handshake message."""
    return bytes([kind]) + vector(content, 3)


def records(data: bytes, sizes: Sequence[int] = ()) -> bytes:
    """The data in records of these sizes, the rest in one more of at most 16 KiB each."""
    parts: list[bytes] = []
    at = 0
    for size in (*sizes, *[1 << 14] * (1 + len(data) // (1 << 14))):
        part = data[at : at + size]
        if part:
            parts.append(b"\x16\x03\x01" + vector(part, 2))
        at += size
    return b"".join(parts)


def hello(extensions: bytes | None = b"", sizes: Sequence[int] = ()) -> bytes:
    """A whole one, cut into records."""
    return records(message(body(extensions)), sizes)
