"""Making a weaker token of one's own, offline: a step that is signed with the secret at the end of the token.

The secret goes with the step: the narrowed token has another one, or none, and from that the old is not to be had. So
its holder can neither take the step back nor go on from before it (ADR 0061).
"""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import public_key_of, signature_of
from tunnel.core.token.block import rights_bytes, unfit_part, widened_part
from tunnel.core.token.codec import (
    MINTED_BYTES,
    NO_KEY,
    SEED_AT,
    STEP_BYTES,
    decode_token,
    next_key,
    step_at,
    step_signed_part,
)
from tunnel.core.token.errors import BrokenChain, NarrowError, PartUnfit, Sealed, TokenPart, WouldWiden
from tunnel.core.token.token import STEPS_MAX, EndpointKind, NamePattern, Token, bounds_of

_STEPS_END: Final = MINTED_BYTES + STEPS_MAX * STEP_BYTES


@final
@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is to be left of each right; None leaves it as it is."""

    pattern: NamePattern | None = None
    kinds: frozenset[EndpointKind] | None = None
    names_max: int | None = None
    streams_max: int | None = None
    sessions_max: int | None = None
    not_before: UnixSeconds | None = None
    expiry: UnixSeconds | None = None


def narrow_token(raw: bytes, asked: Narrowing, seed: bytes | None) -> Outcome[bytes, NarrowError]:
    """The bytes of a token with what was asked for; nothing is asked of the server, and no key of its is needed.

    `seed`: 32 fresh random bytes with which the next holder may narrow on; without, and after the last step, it is
    sealed. Asking for more than the token has is an error, never less than was asked.
    """
    decoded = decode_token(raw)
    if not isinstance(decoded, Success):
        return decoded
    token = value_of(decoded)
    steps = len(token.ancestors)
    holder_key = next_key(raw, steps)
    if holder_key == NO_KEY:
        return Failure(Sealed(steps))
    if public_key_of(raw[SEED_AT:]) != holder_key:
        return Failure(BrokenChain(steps + 1))
    inner = _narrowed(token, asked)
    unfit = unfit_part(inner)
    if unfit is not None:
        return Failure(PartUnfit(unfit))
    wider = widened_part(token, inner)
    if wider is not None:
        return Failure(WouldWiden(wider))
    return _signed(raw, inner, seed if steps + 1 < STEPS_MAX else None)


def _narrowed(token: Token, asked: Narrowing) -> Token:
    return Token(
        key_id=token.key_id,
        token_id=token.token_id,
        account=token.account,
        pattern=token.pattern if asked.pattern is None else asked.pattern,
        kinds=token.kinds if asked.kinds is None else asked.kinds,
        names_max=token.names_max if asked.names_max is None else asked.names_max,
        streams_max=token.streams_max if asked.streams_max is None else asked.streams_max,
        sessions_max=token.sessions_max if asked.sessions_max is None else asked.sessions_max,
        not_before=token.not_before if asked.not_before is None else asked.not_before,
        expiry=token.expiry if asked.expiry is None else asked.expiry,
        ancestors=bounds_of(token),
    )


def _signed(raw: bytes, inner: Token, seed: bytes | None) -> Outcome[bytes, NarrowError]:
    """The token with one more step, signed with the secret that it held until now."""
    own_key = NO_KEY if seed is None else public_key_of(seed)
    if own_key is None:
        return Failure(PartUnfit(TokenPart.SEED))
    at = step_at(len(inner.ancestors))
    body = raw[:at] + rights_bytes(inner) + own_key
    signature = signature_of(raw[SEED_AT:], step_signed_part(body, at)) or b""  # it is a key: its public half was made
    return Success(body + signature + raw[at + STEP_BYTES : _STEPS_END] + (NO_KEY if seed is None else seed))
