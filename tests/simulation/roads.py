"""The ways on which visitors come: plainly, by HTTPS, introduced by an upstream, or to a raw endpoint."""

import ssl
from enum import Enum
from typing import Final, final

from tests.simulation.loop import SimLoop
from tests.simulation.tls import StandInContext
from tests.simulation.wire import Over, Wire, dial
from tests.support.tls_hello import hello, server_names, versions

UPSTREAM_HOSTS: Final = "10.0.4."
"""Whoever comes from there is a trusted upstream."""
DENIED_HOSTS: Final = "10.0.5."
"""Whoever comes from there may not."""


@final
class Road(Enum):
    """Which way."""

    PLAIN = "plain"
    HTTPS = "https"
    PROXY = "introduced by an upstream"
    TCP = "tcp"
    TLS = "tls passed through"

    @property
    def is_raw(self) -> bool:
        """Whether the server reads none of what passes."""
        return self in {Road.TCP, Road.TLS}


def told_host(host: str) -> str:
    """Who an upstream at `host` says that its visitor is."""
    return "203.0.113." + host.rpartition(".")[2]


async def come(
    loop: SimLoop, road: Road, server: str, ports: tuple[int, int], host: str, name: str, record: int
) -> Wire:
    """A connection on this road: to the first of the ports in the clear, to the second with TLS; Over without one."""
    plain, secure = ports
    wire = await dial(loop, server, secure if road in {Road.HTTPS, Road.TLS} else plain)
    try:
        if road is Road.PROXY:
            await wire.send(f"PROXY TCP4 {told_host(host)} {server} 4000 {plain}\r\n".encode())
        elif road is Road.TLS:
            await wire.send(hello(server_names(f"{name}.tunnel.test".encode()) + versions(0x0304)))
        elif road is Road.HTTPS:
            await _shake_hands(wire, f"{name}.tunnel.test", record)
    except Over:
        wire.close()
        raise
    return wire


async def _shake_hands(wire: Wire, name: str, record: int) -> None:
    context = StandInContext(lambda _: None, record)
    context.set_alpn_protocols(["http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    await wire.secure(context.wrap_bio(incoming, outgoing, server_hostname=name), incoming, outgoing)
