"""Reads the PROXY header in front of a connection, of either version, and nothing behind it."""

from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import uint_at
from tunnel.core.proxy.block import FIXED_BYTES, SIGNATURE, parse_block
from tunnel.core.proxy.errors import BlockTooLong, LineMalformed, NoProxyHeader, ProxyError
from tunnel.core.proxy.header import ProxyHeader
from tunnel.core.proxy.line import LINE_BYTES_MAX, LINE_START, parse_line

BLOCK_BYTES_MAX: Final = 4096
"""A whole block of version 2. Addresses need 52, what large clouds add some hundred; 64 KiB could be declared."""
_SEEN_BYTES_MAX: Final = 16
_CRLF: Final = b"\r\n"


@final
class ProxyReader:
    """Feed the first bytes of a connection in, until the header comes out; finished then, or at its one error."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> Outcome[ProxyHeader | None, ProxyError]:
        """The header once it is whole, else None. Not to be fed again after either end."""
        self._held += data
        held = self._held
        if SIGNATURE.startswith(held[: len(SIGNATURE)]):
            return self._receive_block()
        if LINE_START.startswith(held[: len(LINE_START)]):
            return self._receive_line()
        return Failure(NoProxyHeader(held[:_SEEN_BYTES_MAX]))

    def take_rest(self) -> bytes:
        """What came after the header; handed over once."""
        rest, self._held = self._held, b""
        return rest

    def _receive_line(self) -> Outcome[ProxyHeader | None, ProxyError]:
        end = self._held[:LINE_BYTES_MAX].find(_CRLF)
        if end < 0:
            if len(self._held) >= LINE_BYTES_MAX:
                return Failure(LineMalformed(self._held[:LINE_BYTES_MAX]))
            return Success(None)
        end += len(_CRLF)
        parsed = parse_line(self._held[:end])
        if not isinstance(parsed, Success):
            return parsed
        self._held = self._held[end:]
        return Success(value_of(parsed))

    def _receive_block(self) -> Outcome[ProxyHeader | None, ProxyError]:
        size = uint_at(self._held, FIXED_BYTES - 2, 2)
        end = FIXED_BYTES + size
        if end > BLOCK_BYTES_MAX:
            return Failure(BlockTooLong(end, BLOCK_BYTES_MAX))
        if size < 0 or len(self._held) < end:
            return Success(None)
        parsed = parse_block(self._held[:end])
        if not isinstance(parsed, Success):
            return parsed
        self._held = self._held[end:]
        return Success(value_of(parsed))
