"""The 12-byte yamux header: its numbers, and what is refused from the header alone.

Version (8 bits), Type (8), Flags (16), StreamID (32), Length (32), big-endian; yamux specification, "Framing".
"""

from typing import Final

from tunnel.core.mux.errors import (
    FrameRefused,
    FrameTooLong,
    SessionFrameOnStream,
    StreamZero,
    UnknownKind,
    UnknownVersion,
)

__all__ = [
    "ACK",
    "DATA",
    "FIN",
    "GO_AWAY",
    "HEADER_BYTES",
    "INITIAL_WINDOW_BYTES",
    "PING",
    "RST",
    "STREAM_ID_MAX",
    "SYN",
    "VERSION",
    "WINDOW_BYTES_MAX",
    "WINDOW_UPDATE",
    "header_fault",
]

VERSION: Final = 0
HEADER_BYTES: Final = 12

# Type
DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

# Flags; bits above these are ignored, as every other implementation does.
SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8

INITIAL_WINDOW_BYTES: Final = 262_144
"""What each side may send on a new stream before it hears of more (256 KiB; one old port used 256,000)."""

WINDOW_BYTES_MAX: Final = 0xFFFF_FFFF
"""No window is ever wider: a sum beyond it is refused, not wrapped (CVE-2026-31814)."""

STREAM_ID_MAX: Final = 0xFFFF_FFFF
"""The last id; ids are not used again by us, so a session ends for good when they run out."""


def header_fault(version: int, kind: int, stream: int, length: int, frame_bytes_max: int) -> FrameRefused | None:
    """Why a header is refused before any of its payload is waited for, or None when it is sound."""
    if version != VERSION:
        return UnknownVersion(version)
    if kind > GO_AWAY:
        return UnknownKind(kind)
    if kind in (PING, GO_AWAY):
        return SessionFrameOnStream(kind, stream) if stream != 0 else None
    if stream == 0:
        return StreamZero(kind)
    if kind == DATA and length > frame_bytes_max:
        return FrameTooLong(stream, length, frame_bytes_max)
    return None
