"""The three extensions of a ClientHello that say where it wants to go; all others are passed over."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.fields import Fields
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.tls.errors import HelloMalformed
from tunnel.core.tls.server_name import canonical_name

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
    fields = Fields(data)
    found: dict[int, bytes] = {}
    while not fields.at_end():
        kind = fields.take_uint("extension", 2)
        held = fields.take_vector("extension", 2)
        if kind in found:
            fields.refuse("an extension that stands twice")
        elif len(found) >= EXTENSIONS_MAX:
            fields.refuse("too many extensions")
        found[kind] = held
    name = _server_name(found.get(_SERVER_NAME), fields)
    protocols = _protocols(found.get(_PROTOCOLS), fields)
    versions = _versions(found.get(_VERSIONS), fields)
    fault = fields.fault()
    return Failure(HelloMalformed(fault)) if fault else Success(Extensions(name, protocols, versions))


def _server_name(data: bytes | None, faults: Fields) -> str:
    """The one host name; RFC 6066 permits one of each type and defines one type, and OpenSSL takes nothing else."""
    if data is None:
        return ""
    outer = Fields(data)
    inner = Fields(outer.take_vector("server name", 2))
    kind = inner.take_uint("server name", 1)
    name = canonical_name(inner.take_vector("server name", 2))
    if outer.fault() or inner.fault() or kind != _HOST_NAME or name is None:
        faults.refuse("server name")
        return ""
    return name


def _protocols(data: bytes | None, faults: Fields) -> tuple[bytes, ...]:
    """The protocols offered, in order; none of them empty."""
    if data is None:
        return ()
    outer = Fields(data)
    inner = Fields(outer.take_vector("protocols", 2))
    found: list[bytes] = []
    while not inner.at_end():
        protocol = inner.take_vector("protocols", 1)
        if not protocol:
            inner.refuse("protocols")
        found.append(protocol)
    if not found or outer.fault() or inner.fault():
        faults.refuse("protocols")
    return tuple(found)


def _versions(data: bytes | None, faults: Fields) -> tuple[int, ...]:
    """The versions offered, in order, without those that only keep servers tolerant (RFC 8701)."""
    if data is None:
        return ()
    outer = Fields(data)
    inner = Fields(outer.take_vector("versions", 1))
    found: list[int] = []
    while not inner.at_end():
        found.append(inner.take_uint("versions", 2))
    if not found or outer.fault() or inner.fault():
        faults.refuse("versions")
    return tuple([version for version in found if version & _GREASE_MASK != _GREASE])
