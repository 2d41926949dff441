"""A transport that keeps what is written, and an owner and handler that only listen: a link without a network."""

import asyncio
from typing import Final, final

from tests.support.shell_raw import DATA
from typing_extensions import override

from tunnel.core.base.ids import Instant, StreamId
from tunnel.drive.link import Link, StreamHandler

HEADER_BYTES: Final = 12


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
