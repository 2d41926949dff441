"""Fuzz targets of policies: a block has one reading, and nothing but the password signs in."""

from base64 import b64decode
from collections.abc import Callable
from typing import Final

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.policy.ip import block_of, block_text, ip_of, ip_text, is_within
from tunnel.core.policy.sign_in import is_signed_in, sign_in_of

USER: Final = sign_in_of(b"anna:s3cret", bytes(16))


def fuzz_block(data: bytes) -> None:
    """What is read is written and read again the same; the first address of a block is in it."""
    text = data.decode("latin-1")
    address = ip_of(text)
    assert address is None or ip_of(ip_text(address)) == address
    read = block_of(text)
    if not isinstance(read, Success):
        assert text.startswith(error_of(read).seen)
        return
    block = value_of(read)
    assert block_of(block_text(block)) == read
    assert is_within(ip_of(block_text(block).partition("/")[0]), [block])


def fuzz_sign_in(data: bytes) -> None:
    """An Authorization value signs in exactly when it writes the user and the password."""
    if is_signed_in([USER], [data]):
        scheme, _, text = data.partition(b" ")
        assert scheme.lower() == b"basic"
        assert b64decode(text.strip(b" "), validate=True) == b"anna:s3cret"
    assert not is_signed_in([USER], [data, data])
    assert not is_signed_in([], [data])


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"block": fuzz_block, "sign_in": fuzz_sign_in}
