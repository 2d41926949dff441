"""Partial operations of Python and its libraries, each made total: a missing answer is `None`, never an exception.

This is the only file of the core, beside `outcome.py`, outside the totality rule (WALL-TOTAL-001); its promise is
proved by properties in `tests/property/test_partial.py` instead. Keep every function a few lines long.
"""

import binascii
import html
import json
import re
from base64 import b32encode, b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import islice
from struct import Struct
from typing import Final, TypeAlias, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

T = TypeVar("T")
V = TypeVar("V")
K = TypeVar("K")

BytesPattern: TypeAlias = re.Pattern[bytes]

ED25519_KEY_BYTES: Final = 32
_DECIMAL_DIGITS_MAX: Final = 19
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{1,16}")
_UNPRINTABLE: Final = re.compile(rb"[^ -~]")
_HEX_PAIRS: Final = re.compile("(?:[0-9A-Fa-f]{2})*")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_YAMUX: Final = Struct(">BBHII")
_YAMUX_BYTES: Final = 12
_HEX_TEXTS: Final = tuple([f"{number:02x}" for number in range(256)])
_PAIR: Final = 2
_FOUR: Final = 4
_SECONDS_MAX: Final = 1e15
"""Thirty million years; above it a float has no microseconds."""


def _crc32c_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [(crc >> 1) ^ (0x82F6_3B78 if crc & 1 else 0) for crc in table]
    return table


_CRC32C: Final = _crc32c_table()


def item_at(items: Sequence[T], index: int) -> T | None:
    """The item at `index`, or None when the sequence does not reach that far; a negative index has no item."""
    return items[index] if 0 <= index < len(items) else None


def byte_at(data: bytes, index: int) -> int:
    """The byte at `index` (0 to 255), or -1 outside the data; a negative index is outside."""
    return data[index] if 0 <= index < len(data) else -1


def uint_at(data: bytes, at: int, size: int) -> int:
    """The big-endian unsigned integer of `size` bytes at `at`, or -1 when the data does not hold all of them."""
    if at < 0 or size < 0 or at + size > len(data):
        return -1
    return int.from_bytes(data[at : at + size], "big")


def uint_bytes(number: int, size: int) -> bytes:
    """`number` as exactly `size` big-endian bytes, clamped into what they can hold (callers check first)."""
    held = max(size, 0)
    return min(max(number, 0), (1 << (8 * held)) - 1).to_bytes(held, "big")


def frame_header(data: bytes, at: int) -> tuple[int, int, int, int, int] | None:
    """Version, type, flags, stream and length of the 12-byte yamux header at `at`, or None when it is not all there."""
    if at < 0 or at + _YAMUX_BYTES > len(data):
        return None
    return _YAMUX.unpack_from(data, at)


def frame_header_bytes(kind: int, flags: int, stream: int, length: int) -> bytes:
    """A yamux header of version 0; each field is masked to its width (callers check first)."""
    return _YAMUX.pack(0, kind & 0xFF, flags & 0xFFFF, stream & 0xFFFFFFFF, length & 0xFFFFFFFF)


def pop_front(items: deque[T]) -> T | None:
    """Remove and return the first item, or None when there is none."""
    return items.popleft() if items else None


def decimal(text: bytes) -> int | None:
    """The number written as 1 to 19 ASCII digits and nothing else (`int()` would take `+5`, ` 5`, `5_0`), or None."""
    # `isdigit` of bytes knows the ASCII digits only, and costs a third of a pattern.
    return int(text) if len(text) <= _DECIMAL_DIGITS_MAX and text.isdigit() else None


def hexadecimal(text: bytes) -> int | None:
    """The number written as 1 to 16 hexadecimal digits and nothing else, or None."""
    return int(text, 16) if _HEX.fullmatch(text) else None


def hex_text(number: int) -> bytes:
    """`number` in lower-case hexadecimal without prefix; a negative number counts as 0."""
    return b"%x" % max(number, 0)


def decimal_text(number: int) -> bytes:
    """`number` in ASCII decimal digits; a negative number counts as 0."""
    return b"%d" % max(number, 0)


def quotient(number: int, divisor: int) -> int:
    """`number // divisor`, and 0 for a divisor of 0."""
    return number // divisor if divisor else 0


def whole_seconds(seconds: float) -> int:
    """`seconds` cut to a whole number from 0 to 2^31-1; what is no number counts as 0."""
    return int(min(seconds, 2.0**31 - 1)) if seconds > 0 else 0


def seconds_of(count: int) -> float:
    """A count of whole seconds as a float, from 0 to 2^53."""
    return float(min(max(count, 0), 1 << 53))


def ascii_text(data: bytes) -> str | None:
    """The text of ASCII bytes, or None when a byte is above 127."""
    return data.decode("ascii") if data.isascii() else None


def ascii_bytes(text: str) -> bytes | None:
    """The bytes of an ASCII text, or None when a character is above 127."""
    return text.encode("ascii") if text.isascii() else None


def latin1_text(data: bytes) -> str:
    """One character a byte (ISO 8859-1); defined for all bytes."""
    return data.decode("latin-1")


def utf8_bytes(text: str) -> bytes:
    """UTF-8 bytes; a lone surrogate, which UTF-8 cannot hold, becomes `?`."""
    return text.encode("utf-8", "replace")


def whole_match(pattern: BytesPattern, data: bytes) -> tuple[bytes, ...] | None:
    """The groups of a match of all of `data` (an absent group is b""), or None when it does not match whole."""
    found = pattern.fullmatch(data)
    return None if found is None else found.groups(b"")


def two_groups(pattern: BytesPattern, data: bytes) -> tuple[bytes, bytes] | None:
    """The groups of a match of all of `data`, an absent one as b"", or None as for `four_groups`."""
    found = pattern.fullmatch(data) if pattern.groups == _PAIR else None
    return None if found is None else (found.group(1) or b"", found.group(2) or b"")


def four_groups(pattern: BytesPattern, data: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """The groups of a match of all of `data`, or None when it does not match whole or the pattern has other than four.

    As `whole_match`, in a shape that can be unpacked: the first line of every HTTP message comes through here.
    """
    found = pattern.fullmatch(data) if pattern.groups == _FOUR else None
    if found is None:
        return None
    first, second, third, fourth = found.groups(b"")
    return first, second, third, fourth


def first_match(pattern: BytesPattern, data: bytes, at: int) -> int:
    """Where the first match at or after `at` starts, or -1."""
    found = pattern.search(data, max(at, 0))
    return -1 if found is None else found.start()


def all_pairs(pattern: BytesPattern, data: bytes) -> list[tuple[bytes, bytes]]:
    """Groups 1 and 2 of every match, in order; a pattern of other than two groups yields nothing."""
    return pattern.findall(data) if pattern.groups == _PAIR else []


def signature_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the Ed25519 signature (RFC 8032) of `message`; any malformed input is False."""
    if len(public_key) != ED25519_KEY_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def signature_of(private_key: bytes, message: bytes) -> bytes | None:
    """The 64-byte Ed25519 signature of `message`, or None when the private key is not 32 bytes."""
    if len(private_key) != ED25519_KEY_BYTES:
        return None
    return Ed25519PrivateKey.from_private_bytes(private_key).sign(message)


def public_key_of(private_key: bytes) -> bytes | None:
    """The 32-byte Ed25519 public key of a 32-byte private key, or None."""
    if len(private_key) != ED25519_KEY_BYTES:
        return None
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def json_string(text: str) -> str:
    """`text` as a JSON string literal in ASCII, quotes included (RFC 8259 section 7)."""
    return json.dumps(text)


def html_text(text: str) -> str:
    """`text` with the characters that mean something in HTML made harmless, quotes included."""
    return html.escape(text, quote=True)


def sha256_digest(data: bytes) -> bytes:
    """The 32-byte SHA-256 of `data`."""
    return sha256(data).digest()


def base64url_text(data: bytes) -> str:
    """`data` in the URL-safe alphabet of RFC 4648 section 5, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_bytes(text: str) -> bytes | None:
    """The bytes whose one and only `base64url_text` is `text`, or None: no padding, spaces or spare bits."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if base64url_text(data) == text else None


def base32_text(data: bytes) -> str:
    """`data` in lower-case letters and the digits 2 to 7 (RFC 4648 section 6), without padding."""
    return b32encode(data).rstrip(b"=").decode("ascii").lower()


def hex_pair(number: int) -> str:
    """The lowest eight bits of `number` as two hexadecimal digits."""
    return _HEX_TEXTS[number & 255]


def printable_bytes(text: str) -> bytes:
    """`text` in printable ASCII; every other character, so every control character, becomes `?`."""
    held = text.encode("ascii", "replace")
    return held if text.isprintable() and text.isascii() else _UNPRINTABLE.sub(b"?", held)


def first_keys(items: Mapping[K, object], count: int) -> list[K]:
    """The first `count` keys in insertion order; a negative count counts as 0."""
    return list(islice(items, max(count, 0)))


def base64_bytes(data: bytes) -> bytes | None:
    """The bytes that `data` writes in base64 (RFC 4648 section 4), padding included and nothing else, or None."""
    try:
        return b64decode(data, validate=True)
    except ValueError:
        return None


def is_same_secret(one: bytes, other: bytes) -> bool:
    """Whether both are equal, in a time that does not tell where they differ."""
    return compare_digest(one, other)


def whole_microseconds(seconds: float) -> int:
    """Seconds as whole microseconds, rounded down towards zero; what is not finite counts as 0."""
    return int(seconds * 1_000_000) if -_SECONDS_MAX < seconds < _SECONDS_MAX else 0


def ipv4_number(text: str) -> int | None:
    """The 32 bits of a dotted-decimal IPv4 address without leading zeros, or None."""
    try:
        return int(IPv4Address(text))
    except AddressValueError:
        return None


def ipv6_number(text: str) -> int | None:
    """The 128 bits of an IPv6 address (RFC 4291 section 2.2), a zone left aside, or None."""
    try:
        return int(IPv6Address(text.partition("%")[0]))
    except AddressValueError:
        return None


def ipv4_text(number: int) -> str:
    """An IPv4 address in dotted decimal; only the low 32 bits count."""
    return str(IPv4Address(number & 0xFFFF_FFFF))


def ipv6_text(number: int) -> str:
    """An IPv6 address in the form of RFC 5952; only the low 128 bits count."""
    return str(IPv6Address(number & ((1 << 128) - 1)))


def prefix_mask(width: int, length: int) -> int:
    """`width` bits of which the first `length` are set; both are taken into 0 to 128, the length into the width."""
    bits = min(max(width, 0), 128)
    return ((1 << bits) - 1) ^ ((1 << (bits - min(max(length, 0), bits))) - 1)


def make_latest(items: "OrderedDict[K, V]", key: K) -> None:
    """Put a key that is there last in order; nothing when it is not there."""
    if key in items:
        items.move_to_end(key)


def pop_oldest(items: "OrderedDict[K, V]") -> V | None:
    """Remove the first item and return its value, or None when there is none; constant time, unlike a plain dict."""
    return items.popitem(last=False)[1] if items else None


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data` (RFC 9260 appendix A), as the PROXY protocol uses it."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFF_FFFF


def storable_text(text: str, limit: int) -> str:
    """The first `limit` characters of `text`, with U+FFFD for what no database holds: NUL and lone surrogates."""
    held = text[: max(limit, 0)].replace("\x00", "\ufffd")
    return held if held.isascii() else _SURROGATE.sub("\ufffd", held)


def json_fields(data: bytes) -> dict[str, object] | None:
    """The members of the JSON object that `data` is in UTF-8, of a doubled one the last, or None for anything else."""
    try:
        read: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return {str(name): value for name, value in read.items()} if isinstance(read, dict) else None


def hex_bytes(digits: str) -> bytes | None:
    """The bytes that pairs of hexadecimal digits write, in either case and nothing between them, or None."""
    return bytes.fromhex(digits) if _HEX_PAIRS.fullmatch(digits) else None


def crc32(data: bytes) -> int:
    """The CRC-32 of `data` as zlib, gzip and PNG have it (ISO 3309); finds every change of up to 32 bits in a row."""
    return binascii.crc32(data)
