"""Fuzz target of the relay: bytes are read as a list of actions against one whole edge, whose every action is checked.

Each action is one byte of kind, and for bytes on the wire one byte of length or the number of a phrase; what comes
after the list has ended is time, and time alone must bring the connection to rest.
"""

from collections.abc import Callable
from typing import Final

from tests.support.relay_harness import CONNECTED, GET, HELLO, POST, SWITCHED, UPGRADE, World, claim_name

from tunnel.core.base.ids import EndpointId, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.problem import AGENT_OFFLINE
from tunnel.core.link.preface import StreamReply, encode_reply

LIMITS: Final = Limits(ahead_bytes_max=256, head_bytes_max=1024, linger_bytes_max=512, request_body_bytes_max=4096)
"""Small, so that limits are met."""

CLIENT_PHRASES: Final = (
    GET,
    POST,
    UPGRADE,
    b"12345",
    b"PUT /c HTTP/1.1\r\nHost: other.tunnel.test\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"4\r\nwxyz\r\n",
    b"0\r\n\r\n",
    GET.replace(b"GET", b"HEAD"),
    GET.replace(b"1.1", b"1.0"),
    GET.replace(b"app", b"gone"),
    POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
    GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    b"x" * 200,
)
LOCAL_PHRASES: Final = (
    CONNECTED,
    HELLO,
    SWITCHED,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"4\r\nwxyz\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    encode_reply(StreamReply.TIMED_OUT),
    b"y" * 200,
)
SECONDS: Final = (0.0, 0.5, 3.0, 11.0, 70.0, 130.0, 4000.0)


def fuzz_relay_actions(data: bytes) -> None:
    """Play the list; `World` asserts on each action the edge takes, and at the end the connection comes to rest."""
    world = World(LIMITS)
    at = 0
    while at + 1 < len(data):
        kind, argument = data[at] % 16, data[at + 1]
        at += 2
        if kind in {0, 1}:
            payload = data[at : at + argument]
            at += argument
            _send(world, payload, is_visitor=kind == 0)
        elif kind <= 5:
            phrases = CLIENT_PHRASES if kind <= 3 else LOCAL_PHRASES
            _send(world, phrases[argument % len(phrases)], is_visitor=kind <= 3)
        else:
            _happen(world, kind, argument)
    world.settle()


def _send(world: World, payload: bytes, *, is_visitor: bool) -> None:
    if is_visitor:
        world.visitor(payload)
    else:
        world.stream_bytes(payload)


def _happen(world: World, kind: int, argument: int) -> None:
    """Everything but bytes."""
    if kind == 6:
        world.visitor_fin()
    elif kind == 7:
        world.local_fin()
    elif kind == 8:
        world.stream_reset()
    elif kind == 9:
        world.tick(SECONDS[argument % len(SECONDS)])
    elif kind == 10:
        world = world.stuck() if argument & 1 else world.flowing()
    elif kind == 11:
        flow = world.edge.on_origin_stuck if argument & 1 else world.edge.on_origin_flowing
        flow(world.now)
    elif kind == 12:
        world.drain()
    elif kind == 13:
        world.takes_rest = bool(argument & 1)
        world.edge.on_visitor_took(world.now)
    elif kind == 14:
        world.refuses = AGENT_OFFLINE
        claim_name(world.table, "app", SessionId(1), EndpointId(1 + argument))
    else:
        world.visitor_lost()


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"relay_actions": fuzz_relay_actions}
