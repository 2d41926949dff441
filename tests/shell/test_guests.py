"""Guests at a Unix socket: whoever was let in is known, and hung up on when the host closes, in whatever turn it came.

On both loops; where asyncio accepts for a server that closes, it forgets who came in that very turn.
"""

import asyncio
import socket
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_world import PATIENCE, nothing_left, until

from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.guests import Guests
from tunnel.drive.unix_place import listening_at

pytestmark = pytest.mark.anyio

TURNS: Final = 8
ROOM: Final = 3


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Each of the two."""
    return "asyncio", {"use_uvloop": bool(request.param)}


class Echo:
    """Says back what each guest says, line by line."""

    def __init__(self) -> None:
        self.attended = 0

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until it hangs up."""
        self.attended += 1
        while line := await reader.readline():
            writer.write(line)


def opened(folder: Path, host: Echo) -> Guests:
    """Let guests in."""
    bound = listening_at(folder, "door")
    assert isinstance(bound, Success)
    return Guests(value_of(bound), host, 1024, ROOM)


def connected(folder: Path) -> socket.socket:
    """A guest, who waits to be let in."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(str(folder / "door"))
    made.settimeout(0)
    return made


async def heard(guest: socket.socket) -> bytes:
    """What a guest hears next; nothing once somebody hung up."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(guest, 100)
    except ConnectionResetError:
        return b""


@pytest.mark.shows("GATE-FEED-007")
async def test_whoever_comes_while_the_host_closes_is_hung_up_on(tmp_path: Path) -> None:
    """The host closes none, one, two ... turns after somebody came: before, while and after it was let in."""
    met: list[int] = []
    async with nothing_left():
        for turns in range(TURNS):
            host = Echo()
            guests = opened(tmp_path, host)
            with connected(tmp_path) as guest:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await guests.close()
                assert await heard(guest) == b""
            met.append(host.attended)
    assert {met[0], met[-1]} == {0, 1}, "the moments of a close were meant to lie on both sides of being let in"


@pytest.mark.shows("GATE-FEED-005", "GATE-FEED-007")
async def test_there_is_room_for_so_many_and_again_when_one_leaves(tmp_path: Path) -> None:
    async with nothing_left():
        host = Echo()
        guests = opened(tmp_path, host)
        loop = asyncio.get_running_loop()
        crowd = [connected(tmp_path) for _ in range(ROOM)]
        for each in crowd:
            await loop.sock_sendall(each, b"here\n")
            assert await heard(each) == b"here\n"
        with connected(tmp_path) as late:
            assert await heard(late) == b""
        crowd.pop().close()
        await until(lambda: guests.count < ROOM)
        crowd.append(connected(tmp_path))
        await loop.sock_sendall(crowd[-1], b"here, too\n")
        assert await heard(crowd[-1]) == b"here, too\n"
        await guests.close()
        for each in crowd:
            assert await heard(each) == b""
            each.close()
        assert host.attended == ROOM + 1
