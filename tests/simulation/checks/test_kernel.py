"""The simulated sockets beside the system's own: one script, both ways, and the same answers (SIM-LOOP-002).

Each step of a script is what a program asks of a socket; the answer is data, `b""` at the end, or the name of the
errno. Real sockets on loopback need a moment for what crosses the network, so a step waits until a read would not.
"""

import errno
import select
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

import pytest
from tests.simulation.kernel import HOST, Kernel, Weather
from tests.simulation.sockets import SimSocket, System

_PATIENCE: Final = 5.0
_LINGER_NONE: Final = struct.pack("ii", 1, 0)


class Ends(Protocol):
    """Two ends of one connection: `a` dialled."""

    def ask(self, end: str, what: str, data: bytes = b"") -> str:
        """One step; what the system said."""

    def settle(self, end: str) -> None:
        """Let what was sent to an end arrive."""


def _answer(sock: "socket.socket | SimSocket", what: str, data: bytes) -> str:
    actions: dict[str, Callable[[], object]] = {
        "send": lambda: sock.send(data),
        "recv": lambda: sock.recv(100),
        "peek": lambda: sock.recv(100, socket.MSG_PEEK),
        "shut": lambda: sock.shutdown(socket.SHUT_WR),
        "error": lambda: errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "none"),
        "hard": lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE),
        "close": sock.close,
    }
    try:
        return str(actions[what]())
    except OSError as cause:
        return errno.errorcode[cause.errno or 0]


class Real:
    """On loopback."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.ends = {"a": socket.create_connection(listening.getsockname())}
            self.ends["b"] = listening.accept()[0]
        for each in self.ends.values():
            each.settimeout(0)

    def ask(self, end: str, what: str, data: bytes = b"") -> str:
        """One step."""
        return _answer(self.ends[end], what, data)

    def settle(self, end: str) -> None:
        """Wait until a read would not."""
        select.select([self.ends[end]], [], [], _PATIENCE)

    def close(self) -> None:
        """Leave none open."""
        for each in self.ends.values():
            each.close()


class Simulated:
    """In memory."""

    def __init__(self) -> None:
        self.kernel = Kernel("kernel", Weather())
        self.kernel.random.random = lambda: 0.5  # type: ignore[method-assign]  # Linux: what had arrived can be read
        system = System(self.kernel)
        HOST.set("10.0.0.9")
        listening = system.socket()
        listening.bind(("10.0.0.9", 99))
        listening.listen(5)
        dialled = system.socket()
        with pytest.raises(BlockingIOError):
            dialled.connect(("10.0.0.9", 99))
        self.settle("a")
        self.ends = {"a": dialled, "b": listening.accept()[0]}

    def ask(self, end: str, what: str, data: bytes = b"") -> str:
        """One step."""
        return _answer(self.ends[end], what, data)

    def settle(self, end: str) -> None:
        """Let a second pass."""
        for _ in range(10):
            self.kernel.now += 0.1
            self.kernel.happen()


SCRIPTS: Final = {
    "data both ways": "a.send:hello b? b.recv b.send:there a? a.recv a.recv",
    "a peek takes nothing": "a.send:hello b? b.peek b.peek b.recv b.recv",
    "half close": "a.send:x a.shut b? b.recv b? b.recv b.send:still a? a.recv a.send:y b.close a? a.recv",
    "close ends the peer": "a.close b? b.recv b.recv",
    "close behind data": "a.send:last a.close b? b.recv b? b.recv",
    "write to one who closed": "b.close a? a.send:one a? a.recv a.send:two",
    "write after its end was seen": "b.close a? a.recv a.send:one a? a.send:two",
    "close over unread data resets": "a.send:unread b? b.close a? a.recv",
    "close over unread data, then a write": "a.send:unread b? b.close a? a.send:more",
    "hard close": "b.hard b.close a? a.recv a.recv",
    "hard close asked by option": "b.hard b.close a? a.error a.recv",
    "what had arrived before a reset": "b.send:early a? b.hard b.close a? a.peek",
    "shut twice": "a.shut a.shut b? b.recv",
    "closed already": "a.close a.send:x",
}


def _run(script: str, ends: Ends) -> list[str]:
    told = []
    for step in script.split(" "):
        if step.endswith("?"):
            ends.settle(step[0])
            continue
        what, _, data = step[2:].partition(":")
        told.append(f"{step} -> {ends.ask(step[0], what, data.encode())}")
    return told


@pytest.mark.shows("SIM-LOOP-002")
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_simulated_sockets_answer_as_real_ones(script: str) -> None:
    real = Real()
    try:
        expected = _run(script, real)
    finally:
        real.close()
    assert _run(script, Simulated()) == expected
