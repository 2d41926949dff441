"""A link without a network: its transport keeps what is written, its peer's frames are handed in by the test."""

import asyncio

import pytest
from tests.support.shell_paper import Nobody, Paper
from tests.support.shell_raw import DATA, RST, UPDATE, header

from tunnel.core.base.limits import READ_BYTES, Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.mux.session import Role
from tunnel.drive.link import Link

pytestmark = pytest.mark.anyio

WINDOW = 262_144


@pytest.mark.shows("OPS-RUN-008")
@pytest.mark.bug("A6", "C15")
async def test_a_break_waits_behind_what_was_said_before_it() -> None:
    """An early answer whose service then resets: the window is full when it breaks, and every byte still arrives."""
    buffer = memoryview(bytearray(READ_BYTES))
    link = Link(Role.CLIENT, Limits(), Nobody(), asyncio.get_running_loop(), buffer)
    paper = Paper()
    link.on_connected(paper)
    opened = link.open_stream(Nobody())
    assert isinstance(opened, Success)
    stream = value_of(opened)
    link.send(stream, b"e" * (WINDOW + 1000))
    link.break_off(stream)
    await asyncio.sleep(0)
    assert sum(length for kind, _, _, length in paper.frames() if kind == DATA) == WINDOW
    assert not any(flags & RST for _, flags, _, _ in paper.frames())
    update = header(UPDATE, 0, stream, 5000)
    buffer[: len(update)] = update
    link.on_read(len(update))
    await asyncio.sleep(0)
    assert sum(length for kind, _, _, length in paper.frames() if kind == DATA) == WINDOW + 1000
    assert paper.frames()[-1][1] & RST
    link.abort_session()
    link.on_lost(None)
