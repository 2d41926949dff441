"""Fuzz target of directories: any bytes are one that is written back as it was, or an error that can be said."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.partial import sha256_digest
from tunnel.core.directory.codec import DIGEST_BYTES, decode_directory, encode_directory
from tunnel.core.directory.errors import describe
from tunnel.core.directory.toll import Tolls


def fuzz_directory(data: bytes) -> None:
    """As they are, and with a digest that fits, so that what is behind the digest is reached."""
    body = data[:-DIGEST_BYTES] if len(data) > DIGEST_BYTES else data
    for raw in (data, body + sha256_digest(body)):
        read = decode_directory(raw)
        if not isinstance(read, Success):
            assert describe(error_of(read))
            continue
        directory = value_of(read)
        assert encode_directory(directory) == Success(raw)
        tolls = Tolls()
        tolls.learn(directory, [])
        assert tolls.count() <= len(directory.accounts)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"directory": fuzz_directory}
