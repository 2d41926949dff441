"""Basic authentication (RFC 7617): a user and a password against the digests that the agent sent ahead."""

from collections.abc import Sequence
from typing import Final

from tunnel.core.base.partial import base64_bytes, is_same_secret, sha256_digest
from tunnel.core.policy.rules import SignIn

_SCHEME: Final = b"basic"
_CREDENTIALS_BYTES_MAX: Final = 1024
"""Longer ones are nobody's; a digest is made of them for every user."""


def sign_in_of(credentials: bytes, salt: bytes) -> SignIn:
    """What an agent sends of `user:password`; the salt is 16 random bytes of its own for each."""
    return SignIn(salt, sha256_digest(salt + credentials))


def is_signed_in(sign_ins: Sequence[SignIn], values: Sequence[bytes]) -> bool:
    """Whether the Authorization fields of a request, one exactly, show one of these users.

    All of them are tried, and each compared whole, so that time tells nothing of who exists or what nearly matched.
    """
    if len(values) != 1:
        return False
    scheme, _, text = b"".join(values).partition(b" ")
    credentials = base64_bytes(text.strip(b" "))
    if scheme.lower() != _SCHEME or credentials is None or len(credentials) > _CREDENTIALS_BYTES_MAX:
        return False
    found = 0
    for one in sign_ins:
        found += 1 if is_same_secret(one.digest, sha256_digest(one.salt + credentials)) else 0
    return found > 0
