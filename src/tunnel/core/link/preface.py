"""The first bytes of a stream in each direction: the server's preface, then the agent's two bytes of reply.

What follows belongs to the visitor and to the local service; `take_rest` hands over what came along with it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, final

from tunnel.core.base.fields import Fields, text_bytes
from tunnel.core.base.ids import EndpointId
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import uint_at, uint_bytes
from tunnel.core.link.errors import PrefaceMalformed, ReplyMalformed

STREAM_VERSION: Final = 1
ADDRESS_CHARS_MAX: Final = 64
"""An IPv6 address with its zone; an empty address says that it is not known."""
REPLY_BYTES: Final = 2

_FIXED_BYTES: Final = 9
"""Version 1, endpoint 4, port 2, length of the address 2."""
_SECOND_BYTES: Final = 4
"""The same for where the visitor connected to: port 2, length of the address 2."""


@final
class StreamReply(Enum):
    """What became of the local connection; the value is the byte on the wire."""

    CONNECTED = 0
    REFUSED = 1
    TIMED_OUT = 2
    UNREACHABLE = 3
    TLS_FAILED = 4
    UNKNOWN_ENDPOINT = 5
    OVERLOADED = 6


_REPLIES: Final[Mapping[bytes, StreamReply]] = {
    uint_bytes(STREAM_VERSION, 1) + uint_bytes(reply.value, 1): reply for reply in StreamReply
}


@final
class StreamPreface:
    """For which endpoint a stream is, from where its visitor came and to which public address."""

    def __init__(
        self, endpoint: EndpointId, address: str, port: int, public_address: str = "", public_port: int = 0
    ) -> None:
        self.endpoint: Final = endpoint
        self.address: Final = address
        self.port: Final = port
        self.public_address: Final = public_address
        """Where the visitor connected to; a local service that wants the PROXY protocol is told both (ADR 0043)."""
        self.public_port: Final = public_port


def encode_preface(preface: StreamPreface) -> bytes:
    """The bytes that a server writes first on a stream."""
    fixed = uint_bytes(STREAM_VERSION, 1) + uint_bytes(preface.endpoint, 4) + uint_bytes(preface.port, 2)
    second = uint_bytes(preface.public_port, 2) + text_bytes(preface.public_address, ADDRESS_CHARS_MAX)
    return fixed + text_bytes(preface.address, ADDRESS_CHARS_MAX) + second


def encode_reply(reply: StreamReply) -> bytes:
    """The two bytes that an agent writes first on a stream."""
    return uint_bytes(STREAM_VERSION, 1) + uint_bytes(reply.value, 1)


@final
class PrefaceReader:
    """Feed the first bytes of a stream in, until the preface comes out; it is finished then, or at its one error."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> Outcome[StreamPreface | None, PrefaceMalformed]:
        """The preface once it is complete, else None. Not to be fed again after either end."""
        self._held += data
        if self._held and uint_at(self._held, 0, 1) != STREAM_VERSION:
            return Failure(PrefaceMalformed("version"))
        chars = uint_at(self._held, _FIXED_BYTES - 2, 2)
        if chars > ADDRESS_CHARS_MAX:
            return Failure(PrefaceMalformed("address"))
        end = _FIXED_BYTES + chars + _SECOND_BYTES
        public_chars = uint_at(self._held, end - 2, 2)
        if chars < 0 or public_chars < 0:
            return Success(None)
        if public_chars > ADDRESS_CHARS_MAX:
            return Failure(PrefaceMalformed("public address"))
        end += public_chars
        return Success(None) if len(self._held) < end else self._decoded(end)

    def take_rest(self) -> bytes:
        """What came after the preface; handed over once."""
        rest, self._held = self._held, b""
        return rest

    def _decoded(self, end: int) -> Outcome[StreamPreface | None, PrefaceMalformed]:
        fields = Fields(self._held[1:end])
        endpoint = fields.take_uint("endpoint", 4)
        port = fields.take_uint("port", 2)
        address = fields.take_text("address", ADDRESS_CHARS_MAX)
        public_port = fields.take_uint("public port", 2)
        public_address = fields.take_text("public address", ADDRESS_CHARS_MAX)
        if endpoint == 0:
            fields.refuse("endpoint")
        fault = fields.fault()
        if fault:
            return Failure(PrefaceMalformed(fault))
        self._held = self._held[end:]
        return Success(StreamPreface(EndpointId(endpoint), address, port, public_address, public_port))


@final
class ReplyReader:
    """Feed the first bytes of a stream in, until the reply comes out; it is finished then, or at its one error."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> Outcome[StreamReply | None, ReplyMalformed]:
        """The reply once its two bytes are there, else None. Not to be fed again after either end."""
        self._held += data
        if len(self._held) < REPLY_BYTES:
            return Success(None)
        reply = _REPLIES.get(self._held[:REPLY_BYTES])
        if reply is None:
            return Failure(ReplyMalformed(self._held[:REPLY_BYTES]))
        self._held = self._held[REPLY_BYTES:]
        return Success(reply)

    def take_rest(self) -> bytes:
        """What came after the reply; handed over once."""
        rest, self._held = self._held, b""
        return rest
