"""Fuzz targets of the token part: whatever the bytes, decoding answers, and what it accepts has one encoding."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.base.partial import latin1_text, public_key_of
from tunnel.core.token.block import RIGHTS_BYTES, rights_bytes, widened_part
from tunnel.core.token.codec import decode_chain, decode_token, key_id_of, step_at, token_raw, token_text
from tunnel.core.token.errors import BadPattern, BrokenChain, Sealed
from tunnel.core.token.explain import describe, explain_raw
from tunnel.core.token.narrow import Narrowing, narrow_token
from tunnel.core.token.rights import matches, pattern_of
from tunnel.core.token.token import Token, bounds_of
from tunnel.core.token.verify import verify_token

PRIVATE_KEY: Final = bytes(range(32))
SEED: Final = bytes(range(64, 96))
PUBLIC_KEY: Final = public_key_of(PRIVATE_KEY) or b""
KEYS: Final[dict[bytes, bytes]] = {key_id_of(PUBLIC_KEY): PUBLIC_KEY}


def fuzz_token(data: bytes) -> None:
    """Bytes as a token's bytes and as its text; what decodes has each block's rights, and none is wider."""
    text = token_raw(latin1_text(data))
    raw = value_of(text) if isinstance(text, Success) else data
    if isinstance(text, Success):
        assert token_text(raw).encode() == data
    now = UnixSeconds(1_790_000_000)
    decoded = decode_token(raw)
    verified = verify_token(raw, KEYS, now)
    if not isinstance(decoded, Success):
        assert isinstance(verified, Failure)
        assert describe(error_of(decoded))
        return
    token, chain = value_of(decoded), decode_chain(raw)
    words = explain_raw(raw, now)
    assert isinstance(words, Success)
    assert all(value_of(words))
    assert isinstance(chain, Success)
    assert value_of(chain).token == token
    for step, each in enumerate([*value_of(chain).before, token]):
        at = step_at(step) if step else 1
        assert rights_bytes(each) == raw[at : at + RIGHTS_BYTES]
        assert widened_part(each, token) is None
    assert isinstance(verified, Failure) or value_of(verified) == token
    _narrow(raw, token)


def _narrow(raw: bytes, token: Token) -> None:
    """Any token that its holder can narrow gives one that decodes, of the same length, with as much or less."""
    made = narrow_token(raw, Narrowing(names_max=1), SEED)
    if isinstance(made, Success):
        decoded = decode_token(value_of(made))
        assert isinstance(decoded, Success)
        assert widened_part(token, value_of(decoded)) is None
        assert value_of(decoded).ancestors == bounds_of(token)
    else:
        assert isinstance(error_of(made), (Sealed, BrokenChain))


def fuzz_name_pattern(data: bytes) -> None:
    """Text as a pattern: what is accepted is its own pattern, and one without a star matches itself only."""
    text = latin1_text(data)
    made = pattern_of(text)
    if not isinstance(made, Success):
        assert error_of(made) == BadPattern(text[:64])
        return
    pattern = value_of(made)
    assert pattern_of(pattern) == Success(pattern)
    label = Label(pattern.replace("*", "x"))
    assert matches(pattern, label)
    assert matches(pattern, Label(f"y{label}z")) == (pattern == "*")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"token": fuzz_token, "name_pattern": fuzz_name_pattern}
