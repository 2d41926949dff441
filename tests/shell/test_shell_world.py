"""The proof that every shell test rests on can fail: what a test leaves behind is found."""

import asyncio
import socket

import pytest
from tests.support import shell_world
from tests.support.shell_world import nothing_left

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_world, "SETTLING_SECONDS", 0.05)


async def test_a_task_that_is_left_is_found() -> None:
    forgotten: list[asyncio.Task[None]] = []
    with pytest.raises(AssertionError):
        async with nothing_left():
            forgotten.append(asyncio.create_task(asyncio.sleep(60)))
    forgotten[0].cancel()


async def test_a_socket_that_is_left_is_found() -> None:
    with socket.socket() as forgotten:
        first = forgotten.fileno()
        with pytest.raises(AssertionError, match=str(first + 1)):
            async with nothing_left():
                other = socket.socket()
        other.close()


async def test_a_complaint_of_the_loop_is_found() -> None:
    with pytest.raises(AssertionError, match="nobody saw this"):
        async with nothing_left():
            asyncio.get_running_loop().call_exception_handler({"message": "nobody saw this"})


async def test_what_is_closed_in_time_is_not_held_against_it() -> None:
    async with nothing_left():
        task = asyncio.create_task(asyncio.sleep(0.01))
        with socket.socket():
            pass
    assert task.done()
