"""The server's state directory and a token, made once in a process from fixed secrets: a seed repeats to the byte."""

import datetime as dt
import shutil
import tempfile
from functools import cache
from hashlib import sha256
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.token.codec import encode_token, key_id_of
from tunnel.core.token.token import AccountId, EndpointKind, NamePattern, Token, TokenId
from tunnel.server.state import SIGNING_KEY, names_served, server_identity

UNIX_START: Final = 1_795_001_000
"""When every simulation begins, on the wall clock."""
_DAY: Final = 86_400


def secret(name: str) -> bytes:
    """32 bytes that are the same in every run; nothing outside the simulation trusts them."""
    return sha256(f"simulated {name}".encode()).digest()


@cache
def _prepared() -> Path:
    """One directory a process; the product only reads it."""
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    # Not `atexit`, which the processes of a pool end without.
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)
    made = Ed25519PrivateKey.from_private_bytes(secret("signing"))
    _write(folder / SIGNING_KEY, _key_pem(made))
    identity = server_identity(folder, [*names_served("tunnel.test", "10.0.0.1")], UnixSeconds(UNIX_START))
    assert isinstance(identity, Success), identity
    return folder


def prepared_state() -> Path:
    """The state directory of a server that ran before."""
    return _prepared()


def copied_state(folder: Path) -> Path:
    """One that a single run may write to."""
    made = folder / "state"
    shutil.copytree(_prepared(), made)
    made.chmod(0o700)
    return made


@cache
def real_identity() -> tuple[Path, Path]:
    """Certificate with key, and its authority, for real TLS: Ed25519, whose signatures all have one length."""
    root_key = Ed25519PrivateKey.from_private_bytes(secret("root"))
    leaf_key = Ed25519PrivateKey.from_private_bytes(secret("leaf"))
    root = _certificate("root", "root", root_key, root_key, 1)
    leaf = _certificate("leaf", "root", leaf_key, root_key, 2)
    chain, authority = _prepared() / "real.pem", _prepared() / "real-ca.pem"
    _write(chain, _key_pem(leaf_key) + leaf)
    _write(authority, root)
    return chain, authority


def token_id(number: int) -> TokenId:
    """That of the token of an agent."""
    return TokenId(secret(f"token {number}")[:16])


def account_id(number: int) -> AccountId:
    """That of an account; the first is everybody's where nothing else is said."""
    return AccountId(secret("account" if not number else f"account {number}")[:16])


def minted(name: str = "*", number: int = -1, account: int = 0) -> bytes:
    """A token of that server, for ten years; with a number, that of an agent of an account."""
    private = secret("signing")
    raw = encode_token(
        Token(
            key_id_of(public_key_of(private) or b""),
            TokenId(secret(f"token {name}")[:16]) if number < 0 else token_id(number),
            account_id(account),
            NamePattern(name),
            frozenset(EndpointKind),
            16,
            1024,
            16,
            UnixSeconds(UNIX_START - 30 * _DAY),
            UnixSeconds(UNIX_START + 3650 * _DAY),
        ),
        private,
    )
    assert isinstance(raw, Success), raw
    return value_of(raw)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _key_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(name: str, issuer: str, key: Ed25519PrivateKey, signs: Ed25519PrivateKey, serial: int) -> bytes:
    began = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    usage = {"key_cert_sign": name == issuer, "crl_sign": name == issuer, "digital_signature": name != issuer}
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    flags = {**usage, **dict.fromkeys((*others, "encipher_only", "decipher_only"), False)}
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(began)
        .not_valid_after(began + dt.timedelta(days=29_000))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**flags), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("tunnel.test")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signs.public_key()), critical=False)
        .sign(signs, None)
        .public_bytes(serialization.Encoding.PEM)
    )
