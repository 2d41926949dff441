"""Fuzz target of the TLS port: any bytes are a hello, a part of one or an error, also looked at in steps."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.relay.arrival import ForNobody, arrival_of
from tunnel.core.route.table import RouteTable
from tunnel.core.tls.errors import describe
from tunnel.core.tls.hello import RECORDS_MAX, ClientHello, read_hello

LIMIT: Final = DEFAULT_LIMITS.hello_bytes_max


def fuzz_tls_hello(data: bytes) -> None:
    """Whole and in the steps that are asked for; a hello that was read is decided on, and bytes behind it are not."""
    at_once = read_hello(data, LIMIT)
    seen, looks = 1, 0
    while True:
        looks += 1
        in_steps = read_hello(data[:seen], LIMIT)
        found = value_of(in_steps) if isinstance(in_steps, Success) else None
        if found is None or isinstance(found, ClientHello) or seen >= len(data):
            break
        assert found.needed > seen
        seen = found.needed
    assert in_steps == at_once
    assert looks <= 2 * RECORDS_MAX + 2
    if not isinstance(at_once, Success):
        assert describe(error_of(at_once))
        return
    hello = value_of(at_once)
    if isinstance(hello, ClientHello):
        assert hello.size <= min(len(data), LIMIT)
        assert hello.server_name == hello.server_name.lower()
        assert "\0" not in hello.server_name
        assert read_hello(data[: hello.size], LIMIT) == at_once
        arrival = arrival_of(hello, RouteTable(DEFAULT_LIMITS), "example.com", Instant(0.0))
        assert isinstance(arrival, ForNobody) or not hello.protocols or {b"tunnel/1", b"http/1.1"} & {*hello.protocols}


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"tls_hello": fuzz_tls_hello}
