"""Fuzz targets of the token part: whatever the bytes, decoding answers, and what it accepts has one encoding."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.base.partial import latin1_text, public_key_of
from tunnel.core.token.codec import SIGNED_BYTES, decode_token, encode_token, key_id_of, token_raw, token_text
from tunnel.core.token.errors import BadPattern, PartUnfit, TokenPart
from tunnel.core.token.explain import describe, explain
from tunnel.core.token.rights import matches, pattern_of
from tunnel.core.token.verify import verify_token

PRIVATE_KEY: Final = bytes(range(32))
PUBLIC_KEY: Final = public_key_of(PRIVATE_KEY) or b""
KEYS: Final[dict[bytes, bytes]] = {key_id_of(PUBLIC_KEY): PUBLIC_KEY}


def fuzz_token(data: bytes) -> None:
    """Bytes as a token's bytes and as its text; a decoded token encodes to the same 176 bytes."""
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
    token = value_of(decoded)
    assert all(explain(token, now))
    again = encode_token(token, PRIVATE_KEY)
    if isinstance(again, Success):
        assert value_of(again)[:SIGNED_BYTES] == raw[:SIGNED_BYTES]
    else:
        assert error_of(again) == PartUnfit(TokenPart.KEY_ID)
    assert isinstance(verified, Failure) or value_of(verified) == token


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
