"""A signed statement of where the chain had got to: what stood up to there cannot change without being noticed.

Signed with Ed25519 over: `tunnel/audit-checkpoint/1` NUL | number 8 | digest 32 | before 8 | at 8
"""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.audit.entry import ChainHead
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.partial import public_key_of, signature_holds, signature_of, uint_bytes

CONTEXT: Final = b"tunnel/audit-checkpoint/1\x00"
"""Signed in front, so that a signature of this key over anything else is never one over a checkpoint."""

SIGNATURE_BYTES: Final = 64


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The chain had `number` entries and the last had `digest` at `at`. `before`: the checkpoint before, 0 for none.

    `key` is the public key that signed it; whether that key is to be trusted is for the reader to know.
    """

    number: int
    digest: bytes
    before: int
    at: UnixSeconds
    key: bytes
    signature: bytes


def checkpoint_of(head: ChainHead, before: int, at: UnixSeconds, private_key: bytes) -> Checkpoint | None:
    """A checkpoint of `head` that follows the one at `before`, or None when the key is not 32 bytes."""
    public = public_key_of(private_key)
    signature = signature_of(private_key, _signed_part(head, before, at))
    if public is None or signature is None:
        return None
    return Checkpoint(head.number, head.digest, before, at, public, signature)


def checkpoint_holds(checkpoint: Checkpoint) -> bool:
    """Whether the key that the checkpoint names did sign it."""
    head = ChainHead(checkpoint.number, checkpoint.digest)
    signed = _signed_part(head, checkpoint.before, checkpoint.at)
    return signature_holds(checkpoint.key, checkpoint.signature, signed)


def _signed_part(head: ChainHead, before: int, at: UnixSeconds) -> bytes:
    return b"".join([CONTEXT, uint_bytes(head.number, 8), head.digest, uint_bytes(before, 8), uint_bytes(at, 8)])
