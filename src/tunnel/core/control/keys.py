"""API keys as text: `tnlk_`, the public part, and the secret that only its holder has (API-KEY).

tnlk_k_abcdefghijklmnop_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG
     ^ public part: who    ^ 32 random bytes in base64url: proof
"""

import re
from dataclasses import dataclass, field
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import (
    base32_text,
    base64url_bytes,
    base64url_text,
    latin1_text,
    sha256_digest,
    two_groups,
    utf8_bytes,
)

PREFIX: Final = "tnlk_"
"""What a secret scanner looks for, and what tells a person that this is an API key of ours."""
NEW_KEY_BYTES: Final = 42
"""Random bytes that a new key is made of: 10 for the public part, 32 for the secret."""
_PUBLIC_BYTES: Final = 10
_TEXT: Final = re.compile(rb"tnlk_(k_[a-z2-7]{16})_([A-Za-z0-9_-]{43})")


@final
@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: `text` is shown once and never kept."""

    key: str
    text: str = field(repr=False)
    secret_hash: bytes = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class PresentedKey:
    """What somebody showed: which key it claims to be, and what its secret comes to."""

    key: str
    secret_hash: bytes = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class NotAKey:
    """The text is no API key; it is not repeated, as it may be another secret."""


def new_key(random: bytes) -> NewKey:
    """A key of `NEW_KEY_BYTES` random bytes; fewer make one that nobody can present."""
    secret = random[_PUBLIC_BYTES:NEW_KEY_BYTES]
    key = "k_" + base32_text(random[:_PUBLIC_BYTES])
    return NewKey(key, f"{PREFIX}{key}_{base64url_text(secret)}", sha256_digest(secret))


def read_key(text: str) -> Outcome[PresentedKey, NotAKey]:
    """Which key `text` is; whether its secret is right is for the store's record to say."""
    groups = two_groups(_TEXT, utf8_bytes(text))
    if groups is None:
        return Failure(NotAKey())
    key, written = groups
    secret = base64url_bytes(latin1_text(written))
    return Failure(NotAKey()) if secret is None else Success(PresentedKey(latin1_text(key), sha256_digest(secret)))
