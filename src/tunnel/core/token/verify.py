"""Whether a token may be believed, decided offline: no network, no database, only keys and the time."""

from collections.abc import Mapping

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import signature_holds
from tunnel.core.token.codec import SIGNED_BYTES, decode_token, signed_part
from tunnel.core.token.errors import BadSignature, TokenError, UnknownKey
from tunnel.core.token.rights import time_error
from tunnel.core.token.token import Token


def verify_token(raw: bytes, keys: Mapping[bytes, bytes], now: UnixSeconds) -> Outcome[Token, TokenError]:
    """The token, when its form, key, signature and time are all right, asked in this order.

    `keys` holds 32-byte Ed25519 public keys by key ID. Nothing secret is compared here: the only secret, the
    private key, is at the minter, and the signature check itself is the library's.
    """
    decoded = decode_token(raw)
    if not isinstance(decoded, Success):
        return decoded
    token = value_of(decoded)
    public_key = keys.get(token.key_id)
    if public_key is None:
        return Failure(UnknownKey(token.key_id))
    if not signature_holds(public_key, raw[SIGNED_BYTES:], signed_part(raw)):
        return Failure(BadSignature(token.key_id))
    late = time_error(token, now)
    return decoded if late is None else Failure(late)
