"""Addresses and blocks of them as numbers; an IPv4 address has one reading, however IPv6 sockets write it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import (
    ascii_bytes,
    decimal,
    ipv4_number,
    ipv4_text,
    ipv6_number,
    ipv6_text,
    prefix_mask,
)

V4_BITS: Final = 32
V6_BITS: Final = 128
_MAPPED: Final = 0xFFFF
"""::ffff:0:0/96, IPv4 in IPv6 (RFC 4291 section 2.5.5.2); what a dual-stack socket calls an IPv4 visitor."""
_MAPPED_BITS: Final = 96
_SEEN_CHARS_MAX: Final = 64
_UNKNOWN: Final = -1
_IS_V6: Final = 1 << 64
"""Keeps the keys of the two families apart."""


@final
@dataclass(frozen=True, slots=True)
class Ip:
    """One address; never an IPv4 address in the clothes of IPv6."""

    is_v4: bool
    bits: int


@final
@dataclass(frozen=True, slots=True)
class Block:
    """All addresses of one family that begin with the same `length` bits; made by `block_of` and `block_from` only."""

    is_v4: bool
    bits: int
    length: int
    mask: int


@final
@dataclass(frozen=True, slots=True)
class NotABlock:
    """Neither an address nor a block of them; `seen` is cut. `host_bits`: the address has bits beyond the length."""

    seen: str
    host_bits: bool = False


def ip_of(text: str) -> Ip | None:
    """The address that `text` writes, or None; a zone is left aside."""
    if ":" not in text:
        short = ipv4_number(text)
        return None if short is None else Ip(is_v4=True, bits=short)
    number = ipv6_number(text)
    if number is None:
        return None
    return Ip(is_v4=True, bits=number & 0xFFFF_FFFF) if number >> V4_BITS == _MAPPED else Ip(is_v4=False, bits=number)


def ip_text(ip: Ip) -> str:
    """The address in its one usual form (RFC 5952)."""
    return ipv4_text(ip.bits) if ip.is_v4 else ipv6_text(ip.bits)


def key_of(ip: Ip | None) -> int:
    """What one visitor cannot change: its IPv4 address or its IPv6 /64; all that have no address share a key.

    A home or a rented machine has a /64, and one /64 has more addresses than any table (RFC 6177).
    """
    if ip is None:
        return _UNKNOWN
    return ip.bits if ip.is_v4 else _IS_V6 | (ip.bits >> 64)


def block_from(bits: int, length: int, *, is_v4: bool) -> Block | None:
    """The block, or None when the length is not one of its family or bits beyond it are set."""
    width = V4_BITS if is_v4 else V6_BITS
    mask = prefix_mask(width, length)
    if not 0 <= length <= width or bits & ~mask or bits < 0:
        return None
    return Block(is_v4, bits, length, mask)


def block_of(text: str) -> Outcome[Block, NotABlock]:
    """The block that `text` writes as `address/length`; an address alone is a block of one."""
    address, slash, tail = text.partition("/")
    digits = ascii_bytes(tail)
    ip = ip_of(address)
    if ip is None or digits is None or "%" in address:
        return Failure(NotABlock(text[:_SEEN_CHARS_MAX]))
    whole = V4_BITS if ip.is_v4 else V6_BITS
    length = decimal(digits) if slash else whole
    if length is None:
        return Failure(NotABlock(text[:_SEEN_CHARS_MAX]))
    if slash and ip.is_v4 and ":" in address:
        length -= _MAPPED_BITS  # ::ffff:10.0.0.0/104 is 10.0.0.0/8; a shorter length would reach beyond IPv4
    if not 0 <= length <= whole:
        return Failure(NotABlock(text[:_SEEN_CHARS_MAX]))
    found = block_from(ip.bits, length, is_v4=ip.is_v4)
    return Failure(NotABlock(text[:_SEEN_CHARS_MAX], host_bits=True)) if found is None else Success(found)


def block_text(block: Block) -> str:
    """The block as `block_of` reads it."""
    return f"{ip_text(Ip(block.is_v4, block.bits))}/{block.length}"


def is_within(ip: Ip | None, blocks: Iterable[Block]) -> bool:
    """Whether one of the blocks holds the address; an unknown address is in none."""
    if ip is None:
        return False
    held = [block for block in blocks if block.is_v4 is ip.is_v4 and ip.bits & block.mask == block.bits]
    return bool(held)
