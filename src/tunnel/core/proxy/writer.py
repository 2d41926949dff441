"""Writes the PROXY header that a local service asked its agent for."""

from typing import Final

from tunnel.core.base.partial import (
    decimal_text,
    ipv4_number,
    ipv4_text,
    ipv6_number,
    ipv6_text,
    uint_bytes,
    utf8_bytes,
)
from tunnel.core.proxy.block import SIGNATURE, V4_BYTES, V6_BYTES
from tunnel.core.proxy.header import ProxyVersion

_MAPPED: Final = 0xFFFF << 32
_UNKNOWN_LINE: Final = b"PROXY UNKNOWN\r\n"
_LOCAL_BLOCK: Final = SIGNATURE + b"\x20\0\0\0"


def proxy_header_bytes(version: ProxyVersion, source: str, source_port: int, target: str, target_port: int) -> bytes:
    """The header for a connection from `source` to `target`, addresses in text form; zones are left out.

    A source that is no address makes it UNKNOWN, or LOCAL; a target that is none is written as the address of nobody.
    Of two families IPv4 is written as mapped into IPv6, for a header has one.
    """
    short, long = ipv4_number(source), ipv6_number(source)
    short_target, long_target = ipv4_number(target), ipv6_number(target)
    if short is not None and long_target is None:
        return _v4_bytes(version, short, source_port, short_target or 0, target_port)
    number = long if short is None else _MAPPED | short
    if number is None:
        return _UNKNOWN_LINE if version is ProxyVersion.V1 else _LOCAL_BLOCK
    mapped = None if short_target is None else _MAPPED | short_target
    return _v6_bytes(version, number, source_port, long_target or mapped or 0, target_port)


def _v4_bytes(version: ProxyVersion, source: int, source_port: int, target: int, target_port: int) -> bytes:
    if version is ProxyVersion.V1:
        return _line(b"TCP4", ipv4_text(source), source_port, ipv4_text(target), target_port)
    addresses = uint_bytes(source, 4) + uint_bytes(target, 4)
    return SIGNATURE + b"\x21\x11" + uint_bytes(V4_BYTES, 2) + addresses + _ports(source_port, target_port)


def _v6_bytes(version: ProxyVersion, source: int, source_port: int, target: int, target_port: int) -> bytes:
    if version is ProxyVersion.V1:
        return _line(b"TCP6", ipv6_text(source), source_port, ipv6_text(target), target_port)
    addresses = uint_bytes(source, 16) + uint_bytes(target, 16)
    return SIGNATURE + b"\x21\x21" + uint_bytes(V6_BYTES, 2) + addresses + _ports(source_port, target_port)


def _line(family: bytes, source: str, source_port: int, target: str, target_port: int) -> bytes:
    words = (
        b"PROXY",
        family,
        utf8_bytes(source),
        utf8_bytes(target),
        decimal_text(source_port),
        decimal_text(target_port),
    )
    return b" ".join(words) + b"\r\n"


def _ports(source_port: int, target_port: int) -> bytes:
    return uint_bytes(source_port, 2) + uint_bytes(target_port, 2)
