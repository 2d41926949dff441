"""What one link may hold for a thousand readers; its peer's frames are handed in by the test, without a network."""

import asyncio
from typing import Final, final

import pytest
from tests.support.shell_paper import Nobody, Paper
from tests.support.shell_raw import DATA, PING, SYN, UPDATE, header
from typing_extensions import override

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import MIB, READ_BYTES, Limits
from tunnel.core.mux.session import Role
from tunnel.drive.link import Link, StreamHandler

pytestmark = pytest.mark.anyio

WINDOW: Final = 262_144
STREAMS: Final = 1000
"""Each may send its first window before anybody knows that its reader has stalled: 250 MiB together."""
BOUND: Final = 16 * MIB


@final
class Stalled:
    """Takes what comes and returns no credit for it, as if it were all still waiting."""

    def __init__(self) -> None:
        self.held = 0
        self.is_over = False

    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Hold it."""
        self.held += len(data)

    def on_stream_end(self, now: Instant) -> None:
        """As told."""

    def on_stream_reset(self, now: Instant) -> None:
        """What was held is let go."""
        self.is_over, self.held = True, 0

    def on_stream_writable(self, now: Instant) -> None:
        """As told."""

    def abort_session(self) -> None:
        """As told."""


@final
class Readers(Nobody):
    """An owner that has such a reader for every stream."""

    def __init__(self) -> None:
        self.readers: dict[StreamId, Stalled] = {}

    @override
    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        self.readers[stream] = Stalled()
        return self.readers[stream]


@pytest.mark.shows("MUX-FLOW-009", "MUX-FLOW-011")
@pytest.mark.bug("A22")
async def test_a_thousand_stalled_readers_hold_no_more_than_the_bound_and_the_link_goes_on() -> None:
    owner, buffer = Readers(), memoryview(bytearray(READ_BYTES))
    link = Link(Role.SERVER, Limits(session_buffer_bytes_max=BOUND), owner, asyncio.get_running_loop(), buffer)
    paper = Paper()
    link.on_connected(paper)

    def hear(wire: bytes) -> None:
        buffer[: len(wire)] = wire
        link.on_read(len(wire))

    piece = bytes(READ_BYTES // 2)
    for stream in range(1, 2 * STREAMS, 2):
        hear(header(UPDATE, SYN, stream, 0))
        for _ in range(WINDOW // len(piece)):
            hear(header(DATA, 0, stream, len(piece)) + piece)
            assert sum(one.held for one in owner.readers.values() if not one.is_over) <= BOUND
    kept = [one for one in owner.readers.values() if not one.is_over]
    assert len(owner.readers) == STREAMS
    assert BOUND - WINDOW <= sum(one.held for one in kept) <= BOUND
    # Those that are left, and the link, are as well as ever: their readers go on, and a ping is answered.
    await asyncio.sleep(0)
    before = len(paper.frames())
    for stream, one in owner.readers.items():
        if not one.is_over:
            link.return_credit(stream, one.held)
    hear(header(PING, SYN, 0, 5))
    await asyncio.sleep(0)
    answers = paper.frames()[before:]
    assert len([one for one in answers if one[0] == UPDATE]) == len(kept)
    assert any(one[0] == PING for one in answers)
    link.abort_session()
    link.on_lost(None)
