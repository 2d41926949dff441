"""A link without a network: its transport keeps what is written, its peer's frames are handed in by the test."""

import asyncio
from typing import final

import pytest
from tests.support.shell_raw import DATA, RST, UPDATE, header
from typing_extensions import override

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import READ_BYTES, Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.mux.session import Role
from tunnel.drive.link import Link, StreamHandler

pytestmark = pytest.mark.anyio

WINDOW = 262_144
HEADER_BYTES = 12


@final
class Paper(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    @override
    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    @override
    def abort(self) -> None:
        """Nothing is open here."""

    def frames(self) -> list[tuple[int, int, int, int]]:
        """Kind, flags, stream and length of every frame written so far."""
        seen: list[tuple[int, int, int, int]] = []
        at = 0
        while at < len(self.written):
            kind, flags = self.written[at + 1], int.from_bytes(self.written[at + 2 : at + 4])
            stream, length = (int.from_bytes(self.written[at + n : at + n + 4]) for n in (4, 8))
            seen.append((kind, flags, stream, length))
            at += HEADER_BYTES + (length if kind == DATA else 0)
        return seen


@final
class Nobody:
    """An owner and a handler that only listen."""

    def on_link_up(self, link: Link, now: Instant) -> None:
        """As told."""

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """As told."""

    def on_peer_leaving(self, now: Instant) -> None:
        """As told."""

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """As told."""

    def on_link_gone(self) -> None:
        """As told."""

    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """As told."""

    def on_stream_end(self, now: Instant) -> None:
        """As told."""

    def on_stream_reset(self, now: Instant) -> None:
        """As told."""

    def on_stream_writable(self, now: Instant) -> None:
        """As told."""


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
