"""A stand-in for TLS under asyncio's own TLS transport: messages and ends as in TLS 1.3, without the cryptography.

Records, a handshake of one round trip with names and ALPN, close_notify and truncation behave as with OpenSSL, so that
what is tested is asyncio's TLS transport and the product above it. Two hundred times cheaper, and every byte repeats.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from tests.support.tls_hello import hello, protocols, server_names, vector, versions
from typing_extensions import override

_RECORD_MAX: Final = 16 * 1024
_SMALL_RECORDS: Final = 60
_SMALL_EACH: Final = 5
_HEAD: Final = 5
_ALERT, _HANDSHAKE, _DATA = 21, 22, 23
_KINDS: Final = frozenset((_ALERT, _HANDSHAKE, _DATA))
_CLOSE: Final = b"\x01\x00"
_WELCOME: Final = b"welcome "
_FINISHED: Final = b"finished"
_HELLO_CUT_BELOW: Final = 100
_HELLO_PIECE_MIN: Final = 4
_HELLO_PIECES: Final = 8


@final
class StandInContext:
    """What the product asks of an `ssl.SSLContext`."""

    def __init__(self, reach: Callable[[str], None], record_max: int = _RECORD_MAX) -> None:
        self.reach: Final = reach
        self.record_max: Final = record_max
        self.protocols: list[str] = []
        self.minimum_version: object = None
        self.maximum_version: object = None
        self.num_tickets = 2
        self.options = 0
        self.check_hostname = True
        self.verify_mode: object = None
        self.verify_flags = 0
        self.sni_callback: Callable[..., object] | None = None
        self.keylog_filename: str | None = None
        self.names: tuple[str, ...] = ()

    def set_alpn_protocols(self, protocols: list[str]) -> None:
        """What it speaks, best first."""
        self.protocols = list(protocols)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """What else a context can be told, such as ciphers, changes nothing here."""
        if not name.startswith("set_"):
            raise AttributeError(name)
        return lambda *_, **__: None

    def load_cert_chain(self, certificate: object, key: object = None, password: object = None) -> None:
        """Read the files, so that they can be missing."""
        self.reach("load_cert_chain")
        text = Path(str(certificate)).read_bytes()
        if b"CERTIFICATE" not in text:
            raise fault("NO_START_LINE")

    def load_verify_locations(self, cafile: object = None, capath: object = None, cadata: object = None) -> None:
        """Likewise."""
        self.reach("load_verify_locations")

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as in the standard library
        server_hostname: str | None = None,
        session: object = None,
    ) -> "StandInTls":
        """One connection's TLS."""
        self.reach("wrap_bio")
        return StandInTls(self, incoming, outgoing, is_server=server_side, hostname=server_hostname or "")


@final
class StandInTls(ssl.SSLObject):
    """One side of one connection: what asyncio's TLS transport asks of an `ssl.SSLObject`."""

    def __init__(
        self,
        context: StandInContext,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *,
        is_server: bool,
        hostname: str,
    ) -> None:
        self._context_of: Final = context
        self._incoming: Final = incoming
        self._outgoing: Final = outgoing
        self._is_server: Final = is_server
        self._hostname: Final = hostname
        self._raw: Final = bytearray()
        self._plain: Final = bytearray()
        self._greeted = False
        self._heard: Final = bytearray()
        self._records = 0
        self._stands = False
        self._alpn: str | None = None
        self._was_closed = False
        self._has_closed = False

    # What asyncio asks.

    @override
    def do_handshake(self) -> None:
        self._context_of.reach("do_handshake")
        if not self._is_server and not self._greeted:
            self._greeted = True
            self._outgoing.write(self._hello())
        while not self._stands:
            kind, payload = self._take_record()
            if kind == _ALERT:
                raise fault("TLSV1_ALERT")
            if kind != _HANDSHAKE:
                raise fault("UNEXPECTED_MESSAGE")
            self._shake(payload)

    def _hello(self) -> bytes:
        """A ClientHello as real ones are: the product looks at it before it hands the connection to TLS."""
        offered = protocols(*(each.encode() for each in self._context_of.protocols))
        small = self._context_of.record_max
        sizes = () if small > _HELLO_CUT_BELOW else [max(small, _HELLO_PIECE_MIN)] * _HELLO_PIECES
        return hello(server_names(self._hostname.encode()) + versions(0x0304) + offered, sizes)

    def _shake(self, payload: bytes) -> None:
        if self._is_server and payload != _FINISHED:
            self._heard.extend(payload)
            if len(self._heard) < 4 or len(self._heard) < 4 + int.from_bytes(self._heard[1:4]):
                return
            spoken = [each for each in self._context_of.protocols if vector(each.encode(), 1) in self._heard]
            self._alpn = spoken[0] if spoken else None
            self._put(_HANDSHAKE, _WELCOME + (self._alpn or "").encode().ljust(600, b"."))
        elif self._is_server:
            self._stands = True
        elif payload.startswith(_WELCOME):
            self._alpn = payload[len(_WELCOME) :].rstrip(b".").decode() or None
            self._stands = True
            self._put(_HANDSHAKE, _FINISHED)
        else:
            raise fault("BAD_MESSAGE")

    @override
    def read(self, len: int = 1024, buffer: bytearray | memoryview | None = None) -> bytes | int:  # type: ignore[override]
        self._context_of.reach("tls-read")
        while not self._plain and not self._was_closed:
            kind, payload = self._take_record()
            if kind == _DATA:
                self._plain.extend(payload)
            elif kind == _ALERT:
                self._was_closed = True
        data = bytes(self._plain[:len])
        del self._plain[:len]
        if buffer is None:
            return data
        count = data.__len__()
        buffer[:count] = data
        return count

    @override
    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._context_of.reach("tls-write")
        # Whoever sends may cut records as small as it likes; if all were small, a megabyte would take all day.
        self._records += 1
        is_small = self._records <= _SMALL_RECORDS or not self._records % _SMALL_EACH
        size = self._context_of.record_max if is_small else _RECORD_MAX
        piece = bytes(memoryview(data)[:size])
        self._put(_DATA, piece)
        return len(piece)

    @override
    def unwrap(self) -> None:
        self._context_of.reach("unwrap")
        if not self._has_closed:
            self._has_closed = True
            self._put(_ALERT, _CLOSE)
        while not self._was_closed:
            kind, _ = self._take_record()
            if kind == _ALERT:
                self._was_closed = True
            elif kind == _DATA:
                raise fault("APPLICATION_DATA_AFTER_CLOSE_NOTIFY")

    @override
    def getpeercert(self, binary_form: bool = False) -> None:
        return None

    @override
    def cipher(self) -> tuple[str, str, int]:
        return ("STAND_IN", "TLSv1.3", 256)

    @override
    def compression(self) -> None:
        return None

    @override
    def selected_alpn_protocol(self) -> str | None:
        return self._alpn

    @override
    def pending(self) -> int:
        return len(self._plain)

    # Records.

    def _put(self, kind: int, payload: bytes) -> None:
        self._outgoing.write(bytes((kind, 3, 3)) + len(payload).to_bytes(2) + payload)

    def _take_record(self) -> tuple[int, bytes]:
        """The next one. What came behind it stays where it is: OpenSSL, too, reads ahead only where it is told to."""
        self._fetch(_HEAD)
        if len(self._raw) >= _HEAD and (self._raw[0] not in _KINDS or self._raw[1] != 3):
            raise fault("WRONG_VERSION_NUMBER")
        size = int.from_bytes(self._raw[3:5])
        if len(self._raw) >= _HEAD:
            self._fetch(_HEAD + size)
        if len(self._raw) < _HEAD or len(self._raw) < _HEAD + size:
            if self._incoming.eof:
                raise ssl.SSLEOFError(8, "the stand-in met the end of the connection")
            raise ssl.SSLWantReadError(2, "the stand-in wants to read")
        kind, payload = self._raw[0], bytes(self._raw[_HEAD : _HEAD + size])
        del self._raw[: _HEAD + size]
        return kind, payload

    def _fetch(self, size: int) -> None:
        """Have so many bytes of the record that is being read, or as many as came."""
        missing = size - len(self._raw)
        if missing > 0:
            self._raw.extend(self._incoming.read(missing))


def fault(reason: str) -> ssl.SSLError:
    """An error as OpenSSL gives it: with a reason to look at."""
    made = ssl.SSLError(1, f"[SSL: {reason}] (stand-in)")
    made.reason = reason
    return made
