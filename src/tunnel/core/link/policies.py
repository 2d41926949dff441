"""The policy of an endpoint as bytes: two of length, then its numbers and lists; nothing at all for an open one."""

from typing import Final

from tunnel.core.base.fields import Fields
from tunnel.core.base.partial import uint_bytes
from tunnel.core.policy.ip import Block, block_from
from tunnel.core.policy.rules import (
    BLOCKS_MAX,
    DIGEST_BYTES,
    OPEN,
    SALT_BYTES,
    SIGN_INS_MAX,
    Policy,
    Rates,
    SignIn,
    is_sound,
)

_V4: Final = 4
_V6: Final = 6
_V4_BYTES: Final = 4
_V6_BYTES: Final = 16
_NAME: Final = "policy"


def policy_bytes(policy: Policy) -> bytes:
    """The field of `policy`; lists and users beyond their limits are cut off (the command line refuses them before)."""
    if policy == OPEN:
        return uint_bytes(0, 2)
    rates, allow = policy.rates, policy.allow[:BLOCKS_MAX]
    numbers = uint_bytes(rates.requests, 4) + uint_bytes(rates.burst, 4) + uint_bytes(rates.exchanges, 4)
    body = b"".join(
        (
            numbers,
            uint_bytes(rates.bandwidth, 8),
            _list_bytes(allow),
            _list_bytes(policy.deny[: BLOCKS_MAX - len(allow)]),
            uint_bytes(min(len(policy.sign_ins), SIGN_INS_MAX), 1),
            *[one.salt + one.digest for one in policy.sign_ins[:SIGN_INS_MAX]],
        )
    )
    return uint_bytes(len(body), 2) + body


def take_policy(fields: Fields) -> Policy:
    """The policy there; OPEN, and a refused field, when it is not exactly as `policy_bytes` writes it."""
    size = fields.take_uint(_NAME, 2)
    body = fields.take_bytes(_NAME, size)
    if not body:
        return OPEN
    inner = Fields(body)
    rates = Rates(
        inner.take_uint(_NAME, 4), inner.take_uint(_NAME, 4), inner.take_uint(_NAME, 4), inner.take_uint(_NAME, 8)
    )
    policy = Policy(rates, _take_list(inner), _take_list(inner), _take_sign_ins(inner))
    is_listed = len(policy.allow) + len(policy.deny) <= BLOCKS_MAX and len(policy.sign_ins) <= SIGN_INS_MAX
    if inner.fault() or not is_listed or not is_sound(rates) or policy == OPEN:
        fields.refuse(_NAME)
        return OPEN
    return policy


def _list_bytes(blocks: tuple[Block, ...]) -> bytes:
    return uint_bytes(len(blocks), 1) + b"".join([_block_bytes(block) for block in blocks])


def _block_bytes(block: Block) -> bytes:
    family, size = (_V4, _V4_BYTES) if block.is_v4 else (_V6, _V6_BYTES)
    return uint_bytes(family, 1) + uint_bytes(block.length, 1) + uint_bytes(block.bits, size)


def _take_list(fields: Fields) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for _ in range(fields.take_uint(_NAME, 1)):
        family, length = fields.take_uint(_NAME, 1), fields.take_uint(_NAME, 1)
        bits = fields.take_uint(_NAME, _V4_BYTES if family == _V4 else _V6_BYTES)
        block = block_from(bits, length, is_v4=family == _V4)
        if family not in {_V4, _V6} or block is None:
            fields.refuse(_NAME)
        else:
            blocks.append(block)
    return tuple(blocks)


def _take_sign_ins(fields: Fields) -> tuple[SignIn, ...]:
    count = fields.take_uint(_NAME, 1)
    return tuple(
        [SignIn(fields.take_bytes(_NAME, SALT_BYTES), fields.take_bytes(_NAME, DIGEST_BYTES)) for _ in range(count)]
    )
