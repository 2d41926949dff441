"""Fuzz targets of the PROXY protocol: one reading however it is cut, and nothing behind a header is touched."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.proxy.errors import ProxyError, describe
from tunnel.core.proxy.header import ProxyHeader, ProxyVersion
from tunnel.core.proxy.reader import BLOCK_BYTES_MAX, ProxyReader
from tunnel.core.proxy.writer import proxy_header_bytes

Said = tuple[str, int, str, int, bool]


def _said(header: ProxyHeader) -> Said:
    return header.source, header.source_port, header.target, header.target_port, header.is_tls


def _read(pieces: list[bytes]) -> tuple[Said | ProxyError | None, int]:
    """What comes out, and how many bytes were fed by then less those handed back."""
    reader, fed = ProxyReader(), 0
    for piece in pieces:
        done = reader.receive(piece)
        fed += len(piece)
        if not isinstance(done, Success):
            return error_of(done), 0
        found = value_of(done)
        if found is not None:
            return _said(found), fed - len(reader.take_rest())
    assert fed < BLOCK_BYTES_MAX
    return None, 0


def fuzz_proxy_header(data: bytes) -> None:
    """Whole and byte by byte give the same header, of the same bytes; what it says can be said again."""
    whole, size = _read([data])
    by_byte, by_byte_size = _read([data[at : at + 1] for at in range(len(data))])
    if isinstance(whole, tuple) or whole is None:
        assert (whole, size) == (by_byte, by_byte_size)
    else:
        assert type(by_byte) is type(whole)
        assert describe(whole)
    if isinstance(whole, tuple) and whole[0]:
        for version in ProxyVersion:
            again, _ = _read([proxy_header_bytes(version, *whole[:4])])
            assert isinstance(again, tuple)
            assert again[1] == whole[1]


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"proxy_header": fuzz_proxy_header}
