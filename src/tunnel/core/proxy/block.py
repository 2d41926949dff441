"""Version 2: a binary block (proxy-protocol.txt section 2.2)."""

from typing import Final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import crc32c, ipv4_text, ipv6_text, uint_at
from tunnel.core.proxy.errors import BlockMalformed, ChecksumWrong
from tunnel.core.proxy.header import NO_ADDRESS, ProxyHeader

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
FIXED_BYTES: Final = 16
"""Signature 12, version and command 1, family and protocol 1, length 2."""
V4_BYTES: Final = 12
V6_BYTES: Final = 36
_V4_SIZE: Final = 4
_V6_SIZE: Final = 16
_UNIX_BYTES: Final = 216
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_ADDRESS_BYTES: Final = {
    0x00: 0,
    0x01: 0,
    0x02: 0,
    0x10: V4_BYTES,
    _TCP4: V4_BYTES,
    0x12: V4_BYTES,
    0x20: V6_BYTES,
    _TCP6: V6_BYTES,
    0x22: V6_BYTES,
    0x30: _UNIX_BYTES,
    0x31: _UNIX_BYTES,
    0x32: _UNIX_BYTES,
}
"""By family and protocol. An unspecified half leaves the addresses unused, but their place is the family's."""
_CRC32C: Final = 0x03
_SSL: Final = 0x20
_CHECKSUM_BYTES: Final = 4
_NO_CHECKSUM: Final = b"\0\0\0\0"
_CLIENT_SSL: Final = 0x01
_TLV_BYTES: Final = 3


def parse_block(block: bytes) -> Outcome[ProxyHeader, BlockMalformed | ChecksumWrong]:
    """The header of a whole block; where it ends has been told by its length."""
    command, kind = uint_at(block, 12, 1), uint_at(block, 13, 1)
    if command not in {_LOCAL, _PROXY}:
        return Failure(BlockMalformed("version or command"))
    if command == _LOCAL:
        return Success(NO_ADDRESS)  # with whatever follows: its family and length mean nothing (section 2.2)
    address_bytes = _ADDRESS_BYTES.get(kind)
    if address_bytes is None:
        return Failure(BlockMalformed("family or protocol"))
    if len(block) < FIXED_BYTES + address_bytes:
        return Failure(BlockMalformed("length"))
    told = _told_beside(block, FIXED_BYTES + address_bytes)
    if not isinstance(told, bool):
        return Failure(told)
    if kind == _TCP4:
        return Success(_header(block, _V4_SIZE, is_tls=told))
    return Success(_header(block, _V6_SIZE, is_tls=told) if kind == _TCP6 else NO_ADDRESS)


def _header(block: bytes, size: int, *, is_tls: bool) -> ProxyHeader:
    source, target = uint_at(block, FIXED_BYTES, size), uint_at(block, FIXED_BYTES + size, size)
    ports_at = FIXED_BYTES + size + size
    ports = uint_at(block, ports_at, 2), uint_at(block, ports_at + 2, 2)
    if size == _V4_SIZE:
        return ProxyHeader(ipv4_text(source), ports[0], ipv4_text(target), ports[1], is_tls=is_tls)
    return ProxyHeader(ipv6_text(source), ports[0], ipv6_text(target), ports[1], is_tls=is_tls)


def _told_beside(block: bytes, at: int) -> bool | BlockMalformed | ChecksumWrong:
    """Whether the extensions (type, length, value) say that the visitor speaks TLS, or what is wrong with them."""
    is_tls = False
    while at < len(block):
        kind, size = uint_at(block, at, 1), uint_at(block, at + 1, 2)
        start = at + _TLV_BYTES
        at = start + size
        if size < 0 or at > len(block):
            return BlockMalformed("extension")
        if kind == _CRC32C:
            wrong = _checksum_fault(block, start, size)
            if wrong is not None:
                return wrong
        if kind == _SSL and uint_at(block[:at], start, 1) & _CLIENT_SSL:
            is_tls = size > 0
    return is_tls


def _checksum_fault(block: bytes, start: int, size: int) -> BlockMalformed | ChecksumWrong | None:
    """The sum is that of the whole block with its own four bytes as zeros (section 2.2.3)."""
    if size != _CHECKSUM_BYTES:
        return BlockMalformed("checksum")
    seen = uint_at(block, start, size)
    expected = crc32c(block[:start] + _NO_CHECKSUM + block[start + size :])
    return None if seen == expected else ChecksumWrong(seen, expected)
