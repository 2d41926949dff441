"""Ports for programs that cannot be asked for "any": below those that the system hands out, so that nobody gets them.

A port that was bound as number 0 and freed again may be given to anybody's next connection before it is listened on.
"""

import secrets
import socket
from contextlib import suppress
from typing import Final

import pytest

from tunnel.server.settings import PortRange

LOOPBACK: Final = "127.0.0.1"
_LOW: Final = 20_000
_COUNT: Final = 12_000


def free_ports(count: int) -> PortRange:
    """So many neighbouring ports that nobody listens on; drawn, as other tests look for some at the same time."""
    for _ in range(100):
        low = _LOW + secrets.randbelow(_COUNT)
        held: list[socket.socket] = []
        with suppress(OSError):
            for port in range(low, low + count):
                held.append(socket.socket())
                held[-1].bind((LOOPBACK, port))
        for each in held:
            each.close()
        if len(held) == count:
            return PortRange(low, low + count - 1)
    pytest.fail("no free ports")


def free_port() -> int:
    """One of them."""
    return free_ports(1).low
