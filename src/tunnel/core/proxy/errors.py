"""What an upstream can do wrong in front of a connection; each ends it."""

from dataclasses import dataclass
from typing import TypeAlias, final


@final
@dataclass(frozen=True, slots=True)
class NoProxyHeader:
    """The first bytes begin neither form; `seen` is cut to 16."""

    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class LineMalformed:
    """A line of version 1 that is not exactly as specified; `seen` is the line, or the part that is too long."""

    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class BlockMalformed:
    """A block of version 2 with this field wrong."""

    field: str


@final
@dataclass(frozen=True, slots=True)
class BlockTooLong:
    """A block of version 2 longer than anyone needs."""

    seen: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class ChecksumWrong:
    """The CRC-32C in the block is not that of the block."""

    seen: int
    expected: int


ProxyError: TypeAlias = NoProxyHeader | LineMalformed | BlockMalformed | BlockTooLong | ChecksumWrong


def describe(error: ProxyError) -> str:
    """What was seen, what was expected, what to do."""
    match error:
        case NoProxyHeader(seen=seen):
            return f"no PROXY header but {seen!r}; let the upstream send one, or do not trust it"
        case LineMalformed(seen=seen):
            return f"not a line of PROXY protocol v1: {seen!r}"
        case BlockMalformed(field=field):
            return f"not a header of PROXY protocol v2: its {field} is wrong"
        case BlockTooLong(seen=seen_bytes, limit=limit):
            return f"a PROXY header of {seen_bytes} bytes, where {limit} are enough"
        case _:
            return f"the checksum of a PROXY header is {error.seen:08x} and should be {error.expected:08x}"
