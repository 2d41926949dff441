"""Field lines of one head: validated, listed, and the few that framing and routing look at noted under lower case.

These are steps of one parser: they answer a value or its error bare, and the parser makes one Outcome of the head.
"""

from typing import Final

from tunnel.core.base.limits import Limits
from tunnel.core.base.partial import BytesPattern, all_pairs, whole_match
from tunnel.core.http.errors import BadFieldLine, BadFieldValue, RepeatedField, TooManyFields, clipped
from tunnel.core.http.grammar import FIELD, OWS, PROTOCOL, TOKEN, has_c1
from tunnel.core.http.names import PLAIN_NAMES

CONTENT_LENGTH: Final = b"content-length"
TRANSFER_ENCODING: Final = b"transfer-encoding"
CONNECTION: Final = b"connection"
UPGRADE: Final = b"upgrade"
HOST: Final = b"host"
EXPECT: Final = b"expect"

NOTED: Final = frozenset((CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, HOST, EXPECT))
_ONCE: Final = frozenset((CONTENT_LENGTH, TRANSFER_ENCODING, HOST, EXPECT))

_CLOSE: Final = b"close"
_KEEP_ALIVE: Final = b"keep-alive"

# Nearly every Connection field there is: a look-up and a shared answer instead of a split.
_NO_OPTIONS: Final[tuple[bytes, ...]] = ()
_USUAL_OPTIONS: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"keep-alive": (_KEEP_ALIVE,),
    b"Keep-Alive": (_KEEP_ALIVE,),
    b"close": (_CLOSE,),
    b"upgrade": (UPGRADE,),
    b"Upgrade": (UPGRADE,),
}

# Protocols that may start as a byte pipe inside HTTP/1.1 but speak HTTP again inside it, past every check here
# (h2c smuggling; CVE-2026-58055 in nghttpx).
_HTTP_AGAIN: Final = frozenset((b"h2c", b"h2", b"http"))


def field_list(block: bytes, limits: Limits) -> list[tuple[bytes, bytes]] | BadFieldLine | TooManyFields:
    """Names and values, in order, of a block of lines that the grammar has accepted; only SP and HTAB are stripped.

    After a transfer coding they are not, so that it is refused: llhttp reads `chunked` HTAB as a coding it does not
    know, and then sees another end of the body than we would (tinyproxy #616 was of this kind).
    """
    fields = all_pairs(FIELD, block)
    if len(fields) > limits.field_count_max:
        return TooManyFields(limits.field_count_max)
    if b" \r" in block or b"\t\r" in block:
        fields = [(name, value if name.lower() == TRANSFER_ENCODING else value.rstrip(OWS)) for name, value in fields]
    if not block.isascii():
        for name, value in fields:
            if has_c1(value):
                return BadFieldLine(clipped(name + b": " + value))
    return fields


def noted_fields(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes] | RepeatedField:
    """The values of the fields in `NOTED`; lists over several lines are joined, others may come only once."""
    noted: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in PLAIN_NAMES:
            continue
        lower = name.lower()
        if lower in NOTED:
            before = noted.get(lower)
            if before is None:
                noted[lower] = value
            elif lower in _ONCE:
                return RepeatedField(lower)
            else:
                noted[lower] = before + b", " + value
    return noted


def connection_options(noted: dict[bytes, bytes]) -> tuple[bytes, ...] | BadFieldValue:
    """The options of the Connection field in lower case, in order (RFC 9110 section 7.6.1)."""
    value = noted.get(CONNECTION)
    if value is None:
        return _NO_OPTIONS
    usual = _USUAL_OPTIONS.get(value)
    if usual is not None:
        return usual
    options = _elements(value.lower(), TOKEN)
    if options is None:
        return BadFieldValue(CONNECTION, clipped(value))
    return tuple(options)


def keeps_alive(minor: int, options: tuple[bytes, ...]) -> bool:
    """Whether the connection outlives the exchange (RFC 9112 section 9.3): asked for in HTTP/1.0, usual in 1.1."""
    if not options:
        return minor > 0
    return _CLOSE not in options and (minor > 0 or _KEEP_ALIVE in options)


def upgrade_offer(noted: dict[bytes, bytes]) -> bytes | BadFieldValue:
    """The protocols of the Upgrade field that may be forwarded, as one list; b"" when none is left."""
    value = noted.get(UPGRADE, b"")
    protocols = _elements(value, PROTOCOL)
    if protocols is None:
        return BadFieldValue(UPGRADE, clipped(value))
    return b", ".join([one for one in protocols if one.lower().partition(b"/")[0] not in _HTTP_AGAIN])


def _elements(value: bytes, pattern: BytesPattern) -> list[bytes] | None:
    """The elements of a comma-separated list (RFC 9110 section 5.6.1; empty ones are skipped), or None."""
    elements: list[bytes] = []
    for part in value.split(b","):
        element = part.strip(OWS)
        if not element:
            continue
        if whole_match(pattern, element) is None:
            return None
        elements.append(element)
    return elements
