"""Who a visitor is behind a proxy of the operator's: the rightmost stranger that trusted proxies name (API-PROXY).

Every proxy appends whom it saw to a list that anybody may begin. From the right, addresses of proxies that the operator
named are passed over; the first other one is the visitor's, and what stands left of it is the visitor's word
(docs/adr/0093). Nothing that does not come from a named proxy is read at all.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.policy.ip import Block, Ip, ip_of, ip_text, is_within

Fields: TypeAlias = Iterable[tuple[bytes, bytes]]

_LIST: Final = b"x-forwarded-for"
_SCHEME: Final = b"x-forwarded-proto"
_STANDARD: Final = b"forwarded"
_TRACES: Final = frozenset({_LIST, _SCHEME, _STANDARD, b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip", b"via"})
_HOP: Final = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?", re.ASCII)
_PAIR: Final = re.compile(r'[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^",;\s]*)[ \t]*([;,]|$)', re.ASCII)
_SCHEMES: Final = frozenset({"http", "https"})


@final
@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request came from, and how its sender speaks to us. Without an address, "" as the socket has none."""

    address: str
    scheme: str


@final
@dataclass(frozen=True, slots=True)
class _Hop:
    """What one proxy says of whom it saw: the address, "" when it says none, and the scheme, "" likewise."""

    address: str
    scheme: str = ""


def is_forwarded(fields: Fields) -> bool:
    """Whether a request shows a trace of any proxy, a trusted one or not."""
    return any(name in _TRACES for name, _ in fields)


def visitor_of(peer: str, fields: Fields, trusted: Sequence[Block]) -> Visitor:
    """Who asks: the peer of the connection, or whom trusted proxies saw.

    Where two lists are there, of which a visitor can have sent the one that the proxy does not write, they have to
    agree; where they do not, or where a list is none, the nearest proxy that can be told stands for the visitor.
    """
    if not trusted or not is_within(ip_of(peer), trusted):
        return Visitor(peer, "http")
    held = tuple(fields)
    plain, standard = _plain_hops(_texts(held, _LIST)), _standard_hops(_texts(held, _STANDARD))
    said = [_stranger(peer, hops, trusted) for hops in (plain, standard) if hops]
    if any(each.address != said[0].address for each in said):
        return Visitor(peer, "http")
    told = _texts(held, _SCHEME)
    scheme = told[0].strip().lower() if len(told) == 1 else next((each.scheme for each in said if each.scheme), "")
    address = said[0].address if said else peer
    return Visitor(address, scheme if scheme in _SCHEMES else "http")


def _texts(fields: Fields, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in fields if name == wanted]


def _stranger(peer: str, hops: Sequence[_Hop], trusted: Sequence[Block]) -> _Hop:
    """From the right, the first address that is no trusted proxy's; the last that could be read where none is."""
    nearest = _Hop(peer)
    for hop in reversed(hops):
        ip = _ip_of_hop(hop.address)
        if ip is None:
            return nearest
        nearest = _Hop(ip_text(ip), hop.scheme)
        if not is_within(ip, trusted):
            return nearest
    return nearest


def _ip_of_hop(text: str) -> Ip | None:
    """The address of a hop, which may have brackets and a port around it."""
    ip = ip_of(text)
    if ip is not None:
        return ip
    found = _HOP.fullmatch(text)
    return None if found is None else ip_of(found[1] or found[2] or "")


def _plain_hops(fields: Sequence[str]) -> list[_Hop]:
    """X-Forwarded-For: addresses with commas between them, in however many fields."""
    return [_Hop(part.strip(" \t")) for field in fields for part in field.split(",")]


def _standard_hops(fields: Sequence[str]) -> list[_Hop]:
    """Forwarded (RFC 7239): an element a proxy, its pairs `for=` and `proto=` among others."""
    return [hop for field in fields for hop in _elements(field)]


def _elements(field: str) -> list[_Hop]:
    """The elements of one field; of one that cannot be read, a hop that says nothing."""
    hops: list[_Hop] = []
    pairs: dict[str, str] = {}
    at = 0
    while True:
        found = _PAIR.match(field, at)
        if found is None:
            return [_Hop("")]
        name, value, end = found[1].lower(), found[2], found[3]
        pairs[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = found.end()
        if end != ";":
            hops.append(_Hop(pairs.get("for", ""), pairs.get("proto", "").lower()))
            pairs = {}
        if end == "":
            return hops
