"""The one class whose methods the event loop calls for a connection; it guards each call and hands it on.

asyncio asks for a subclass of `asyncio.BufferedProtocol`, which is an interpreted class that a compiled one cannot
inherit from. So the connections themselves (`Link`, `PublicConnection`, `LocalPipe`) are plain classes that compile
(ADR 0033), and this thin one stands between them and the loop.
"""

import asyncio
from typing import Final, Protocol, final

from typing_extensions import override

from tunnel.drive.guard import guarded


class Connection(Protocol):
    """What a connection is told by the loop."""

    @property
    def read_buffer(self) -> memoryview:
        """Where the loop puts what it reads; the bytes are reported before anybody else may use it."""

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""

    def on_read(self, count: int) -> None:
        """So many bytes are in the buffer."""

    def on_eof(self) -> bool:
        """The peer ended its side; whether ours stays open."""

    def on_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""

    def on_full(self) -> None:
        """The transport holds as much as it may."""

    def on_room(self) -> None:
        """The transport has room again."""

    def abort_session(self) -> None:
        """End at once; must not raise."""


@final
class Callbacks(asyncio.BufferedProtocol):
    """One connection as the event loop sees it. Finished when the connection is."""

    __slots__ = ("_buffer", "_connection")

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection
        self._buffer: Final = connection.read_buffer

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    @override
    @guarded
    def buffer_updated(self, nbytes: int) -> None:
        self._connection.on_read(nbytes)

    @override
    @guarded
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.on_connected(transport)

    @override
    @guarded
    def eof_received(self) -> bool:
        return self._connection.on_eof()

    @override
    @guarded
    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.on_lost(exc)

    @override
    @guarded
    def pause_writing(self) -> None:
        self._connection.on_full()

    @override
    @guarded
    def resume_writing(self) -> None:
        self._connection.on_room()

    def abort_session(self) -> None:
        """Pass an escape on to the connection, whose session it is."""
        self._connection.abort_session()
