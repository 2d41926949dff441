"""The local service for uploads: reads a request body as fast as it comes and answers with its byte count.

Run as `python -m bench.sink PORT`. It knows just enough HTTP for this benchmark: requests with a Content-Length or
without a body. It is the same for all that are compared, and its time is nobody's figure.
"""

import asyncio
import re
import sys
from typing import Final, final

import uvloop
from typing_extensions import override

from tunnel.drive.transport import stream_transport

_BUFFER_BYTES: Final = 256 * 1024
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"


@final
class Sink(asyncio.BufferedProtocol):
    """One connection: any number of requests with a Content-Length, each answered with how many bytes it brought."""

    def __init__(self) -> None:
        self._buffer: Final = memoryview(bytearray(_BUFFER_BYTES))
        self._head = b""
        self._left = 0
        self._total = 0
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream_transport(transport)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        if self._left:
            self._take(nbytes)
            return
        self._head += bytes(self._buffer[:nbytes])
        head, end, body = self._head.partition(_HEAD_END)
        if end:
            declared = _LENGTH.search(head + b"\r\n")
            self._total = self._left = 0 if declared is None else int(declared[1])
            self._head = b""
            self._take(len(body))

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left == 0 and self._transport is not None:
            body = b"%d" % self._total
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        elif self._left < 0 and self._transport is not None:
            self._transport.abort()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
