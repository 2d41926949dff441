"""Whether a token may be believed, decided offline: no network, no database, only keys and the time."""

from collections.abc import Mapping

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import public_key_of, signature_holds
from tunnel.core.token.codec import (
    MINTED_BYTES,
    NO_KEY,
    SEED_AT,
    SIGNED_BYTES,
    STEP_BYTES,
    STEP_SIGNED_BYTES,
    decode_token,
    next_key,
    signed_part,
    step_at,
    step_signed_part,
)
from tunnel.core.token.errors import BadSignature, BrokenChain, TokenError, UnknownKey
from tunnel.core.token.rights import time_error
from tunnel.core.token.token import Token


def verify_token(raw: bytes, keys: Mapping[bytes, bytes], now: UnixSeconds) -> Outcome[Token, TokenError]:
    """The token, when its form, key, signatures and time are all right, asked in this order.

    `keys` holds 32-byte Ed25519 public keys by key ID. Nothing secret is compared here: of the private keys one is at
    the minter, those of the steps that were taken are forgotten, and the last is shown to be there by its public half.

    A stranger can make the server check one signature per hello, as without narrowing: the steps are looked at only
    behind a block that the server's own key has signed.
    """
    decoded = decode_token(raw)
    if not isinstance(decoded, Success):
        return decoded
    token = value_of(decoded)
    public_key = keys.get(token.key_id)
    if public_key is None:
        return Failure(UnknownKey(token.key_id))
    if not signature_holds(public_key, raw[SIGNED_BYTES:MINTED_BYTES], signed_part(raw)):
        return Failure(BadSignature(token.key_id))
    broken = _broken_step(raw, len(token.ancestors))
    if broken:
        return Failure(BrokenChain(broken))
    late = time_error(token, now)
    return decoded if late is None else Failure(late)


def verify_to_revoke(raw: bytes, keys: Mapping[bytes, bytes], now: UnixSeconds) -> Outcome[Token, TokenError]:
    """The same of a token that is to be void: one that is not valid yet is judged as of the moment when it will be."""
    decoded = decode_token(raw)
    if not isinstance(decoded, Success):
        return decoded
    begins = value_of(decoded).not_before
    return verify_token(raw, keys, max(now, begins))


def _broken_step(raw: bytes, steps: int) -> int:
    """The first step that was not signed by the key before it, counted from 1; 0 when all is right.

    One after the last is the secret at the end, when it is not the last key's. Were it not asked for, whoever holds a
    narrowed token could cut its steps off and have the parent's rights.
    """
    for step in range(1, steps + 1):
        at = step_at(step)
        signature = raw[at + STEP_SIGNED_BYTES : at + STEP_BYTES]
        if not signature_holds(next_key(raw, step - 1), signature, step_signed_part(raw, at)):
            return step
    last = next_key(raw, steps)
    is_held = last == NO_KEY or public_key_of(raw[SEED_AT:]) == last
    return 0 if is_held else steps + 1
