"""How an accepted socket gets its protocol: plain ones by two steps taken by hand, which end as a task's would."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import cast

import pytest
from tests.support.shell_world import PATIENCE
from typing_extensions import override

from tunnel.drive.handover import Handovers
from tunnel.drive.transport import stream_transport

pytestmark = [pytest.mark.anyio, pytest.mark.shows("OPS-RUN-013")]


class Newcomer:
    """Hears that its attempt is over."""

    def __init__(self) -> None:
        self.details: list[str] = []

    def on_handed_over(self, detail: str) -> None:
        """It is."""
        self.details.append(detail)


class Guest(asyncio.Protocol):
    """Says hello, and knows how it went."""

    def __init__(self) -> None:
        self.stood = False
        self.lost = asyncio.Event()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self.stood = True
        stream_transport(transport).write(b"hello")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.lost.set()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one TCP connection on loopback: ours, as accepted, and the visitor's."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening, socket.socket() as theirs:
        theirs.settimeout(PATIENCE)
        theirs.connect(listening.getsockname())
        ours, _ = listening.accept()
        ours.settimeout(0)
        yield ours, theirs


async def test_a_plain_socket_is_handed_over_without_a_task(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    handovers, newcomer, guest = Handovers(asyncio.get_running_loop()), Newcomer(), Guest()
    before = asyncio.all_tasks()
    handovers.hand_over(ours, lambda: guest, None, newcomer, 0.0)
    assert asyncio.all_tasks() == before
    async with asyncio.timeout(PATIENCE):
        await handovers.none_left()
        was_waited_for = guest.stood
        # To the end before anything is judged: uvloop does not close while a socket is half taken over.
        assert await asyncio.to_thread(theirs.recv, 5) == b"hello"
        theirs.close()
        await guest.lost.wait()
    assert was_waited_for
    assert len(newcomer.details) == 1


async def test_a_handover_that_is_hung_up_on_leaves_nothing_open(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    handovers, newcomer, guest = Handovers(asyncio.get_running_loop()), Newcomer(), Guest()
    handovers.hand_over(ours, lambda: guest, None, newcomer, 0.0)
    theirs.close()
    async with asyncio.timeout(PATIENCE):
        await handovers.hang_up()
        await guest.lost.wait()
    assert len(newcomer.details) == 1


class Failing:
    """A loop that cannot take the socket: says so at once, or when its turn comes."""

    def __init__(self, turn: "asyncio.Future[None] | None") -> None:
        self._turn = turn

    async def connect_accepted_socket(self, protocol: object, accepted: object) -> None:
        """As the loop's, in vain."""
        if self._turn is not None:
            await self._turn
        raise OSError(errno.ENOBUFS, "No buffer space available")


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_socket_that_cannot_be_taken_is_told_of(
    ends: tuple[socket.socket, socket.socket], *, is_late: bool
) -> None:
    turn = asyncio.get_running_loop().create_future()
    handovers = Handovers(cast("asyncio.AbstractEventLoop", Failing(turn if is_late else None)))
    newcomer = Newcomer()
    handovers.hand_over(ends[0], Guest, None, newcomer, 0.0)
    turn.set_result(None)
    async with asyncio.timeout(PATIENCE):
        await handovers.none_left()
    assert newcomer.details == ["No buffer space available"]
    ends[0].close()


class Strange:
    """What a loop awaits that is none of ours."""

    def __await__(self) -> Iterator[str]:
        """No future at all."""
        yield "something else"


async def test_what_cannot_be_waited_for_is_given_up(ends: tuple[socket.socket, socket.socket]) -> None:
    handovers = Handovers(cast("asyncio.AbstractEventLoop", Failing(cast("asyncio.Future[None]", Strange()))))
    newcomer = Newcomer()
    handovers.hand_over(ends[0], Guest, None, newcomer, 0.0)
    assert newcomer.details == ["the connection was lost"]
    await handovers.none_left()
    ends[0].close()
