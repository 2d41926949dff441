"""The three extensions of a ClientHello that say where it wants to go; all others are passed over."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.tls.errors import HelloMalformed
from tunnel.core.tls.server_name import canonical_name
from tunnel.core.tls.vector import Cursor

EXTENSIONS_MAX: Final = 128
"""Browsers send about 18; the numbers in use are some sixty."""

_SERVER_NAME: Final = 0
_PROTOCOLS: Final = 16
_VERSIONS: Final = 43
_HOST_NAME: Final = 0
_GREASE: Final = 0x0A0A
_GREASE_MASK: Final = 0x0F0F


@final
@dataclass(frozen=True, slots=True)
class Extensions:
    """Server name (RFC 6066 section 3), ALPN (RFC 7301) and supported_versions (RFC 8446 section 4.2.1)."""

    server_name: str
    protocols: tuple[bytes, ...]
    versions: tuple[int, ...]


def read_extensions(data: bytes) -> Outcome[Extensions, HelloMalformed]:
    """What they say; "" and () for one that is not there."""
    cursor = Cursor(data)
    found: dict[int, bytes] = {}
    while not cursor.at_end():
        kind = cursor.take_uint("extension", 2)
        held = cursor.take_vector("extension", 2)
        if cursor.fault():
            break
        if kind in found:
            cursor.refuse("an extension that stands twice")
        elif len(found) >= EXTENSIONS_MAX:
            cursor.refuse("too many extensions")
        found[kind] = held
    name = _server_name(found.get(_SERVER_NAME), cursor)
    protocols = _protocols(found.get(_PROTOCOLS), cursor)
    versions = _versions(found.get(_VERSIONS), cursor)
    fault = cursor.fault()
    return Failure(HelloMalformed(fault)) if fault else Success(Extensions(name, protocols, versions))


def _server_name(data: bytes | None, faults: Cursor) -> str:
    """The one host name; RFC 6066 permits one of each type and defines one type, and OpenSSL takes nothing else."""
    if data is None:
        return ""
    outer = Cursor(data)
    inner = Cursor(outer.take_vector("server name", 2))
    kind = inner.take_uint("server name", 1)
    name = canonical_name(inner.take_vector("server name", 2))
    is_whole = outer.at_end() and inner.at_end() and not outer.fault() and not inner.fault()
    if not is_whole or kind != _HOST_NAME or name is None:
        faults.refuse("server name")
        return ""
    return name


def _protocols(data: bytes | None, faults: Cursor) -> tuple[bytes, ...]:
    """The protocols offered, in order; none of them empty."""
    if data is None:
        return ()
    outer = Cursor(data)
    inner = Cursor(outer.take_vector("protocols", 2))
    found: list[bytes] = []
    while not inner.at_end():
        protocol = inner.take_vector("protocols", 1)
        if not protocol:
            inner.refuse("protocols")
        found.append(protocol)
    if not found or not outer.at_end() or outer.fault() or inner.fault():
        faults.refuse("protocols")
    return tuple(found)


def _versions(data: bytes | None, faults: Cursor) -> tuple[int, ...]:
    """The versions offered, in order, without those that only keep servers tolerant (RFC 8701)."""
    if data is None:
        return ()
    outer = Cursor(data)
    inner = Cursor(outer.take_vector("versions", 1))
    found: list[int] = []
    while not inner.at_end():
        found.append(inner.take_uint("versions", 2))
    if not found or not outer.at_end() or outer.fault() or inner.fault():
        faults.refuse("versions")
    return tuple([version for version in found if version & _GREASE_MASK != _GREASE])
