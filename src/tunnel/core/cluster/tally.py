"""What workers tell each other of limits that are in use: a few bytes for each key, several times a second."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

from tunnel.core.base.fields import Fields
from tunnel.core.base.partial import uint_bytes

USES_MAX: Final = 128
"""In one message; what is more goes into the next."""
KEY_BYTES_MAX: Final = 63
"""The name of an endpoint; addresses and tokens are shorter."""
_COUNT_MAX: Final = (1 << 48) - 1


@final
class UseKind(Enum):
    """Whose limits; the value is the byte on the wire."""

    ADDRESS = 0
    ENDPOINT = 1
    TOKEN = 2


_KINDS: Final[Mapping[int, UseKind]] = {kind.value: kind for kind in UseKind}


@final
@dataclass(frozen=True, slots=True)
class Used:
    """Since the last word on this key so many requests and bytes; `running`: exchanges, or streams of a token, now."""

    kind: UseKind
    key: bytes
    requests: int
    count: int
    running: int


def uses_bytes(uses: tuple[Used, ...]) -> bytes:
    """All of them; a number that is larger than any that is true is cut."""
    parts = [uint_bytes(len(uses), 1)]
    for use in uses:
        parts += [uint_bytes(use.kind.value, 1), uint_bytes(len(use.key), 1), use.key]
        parts += [uint_bytes(min(number, _COUNT_MAX), 6) for number in (use.requests, use.count, use.running)]
    return b"".join(parts)


def take_uses(fields: Fields) -> tuple[Used, ...]:
    """The same, out of a message."""
    uses: list[Used] = []
    count = fields.take_uint("count", 1)
    if count > USES_MAX:
        fields.refuse("count")
    for _ in range(min(count, USES_MAX)):
        kind = _KINDS.get(fields.take_uint("use", 1))
        size = fields.take_uint("key", 1)
        if kind is None or size > KEY_BYTES_MAX:
            fields.refuse("use")
            return ()
        key = fields.take_bytes("key", size)
        requests, passed = fields.take_uint("requests", 6), fields.take_uint("bytes", 6)
        uses.append(Used(kind, key, requests, passed, fields.take_uint("running", 6)))
    return tuple(uses)
