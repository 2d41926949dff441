"""Ed25519 keys in files of their own (PKCS #8 PEM, 0600): made once, and the same for every process afterwards."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.drive import files
from tunnel.drive.files import FileError


@final
@dataclass(frozen=True, slots=True)
class Damaged:
    """A file is there but is not what it should be."""

    path: Path
    detail: str


@final
@dataclass(frozen=True, slots=True)
class SigningKey:
    """The 32 private bytes of a key; `is_new` when this call made them."""

    private: bytes = field(repr=False)
    is_new: bool


KeyFileError: TypeAlias = FileError | Damaged


def kept_key(path: Path) -> Outcome[SigningKey, KeyFileError]:
    """The key in the file, made when there is none; the directory has to be there."""
    fresh = _new_pem()
    held = files.made_once(path, fresh, files.PRIVATE)
    if not isinstance(held, Success):
        return held
    private = _private_bytes(value_of(held))
    if private is None:
        return Failure(Damaged(path, "it is not an Ed25519 private key in PEM"))
    return Success(SigningKey(private, is_new=value_of(held) == fresh))


def describe(error: KeyFileError) -> str:
    """What was seen, what was expected, what to do."""
    if isinstance(error, Damaged):
        return f"{error.path} is damaged: {error.detail}; restore it from a backup"
    return files.describe(error)


def _new_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _private_bytes(pem: bytes) -> bytes | None:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key.private_bytes_raw() if isinstance(key, Ed25519PrivateKey) else None
