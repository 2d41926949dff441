"""A development authority: an X.509 root made on this machine, and the server certificates it signs (ADR 0020).

Pure but for randomness: PEM in, PEM out, the time an argument. `state.py` keeps the results in files.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of

AUTHORITY_DAYS: Final = 3650
"""Agents pin `ca.pem` by file; a shorter life would end every one of them on one day for no gain in a private root."""
LEAF_DAYS: Final = 90
LEAF_RENEW_DAYS: Final = 30
"""A leaf with less than this left is made anew: a third of its life, as public authorities advise."""
_SKEW: Final = timedelta(hours=1)
"""How far an agent's clock may be behind ours and still accept a certificate made this minute."""


@final
@dataclass(frozen=True, slots=True)
class PemUnreadable:
    """The text is not the key or certificate it should be; `wanted` says which, `reason` what the parser said."""

    wanted: str
    reason: str


@final
@dataclass(frozen=True, slots=True)
class KeyOfAnother:
    """Key and certificate are each well-formed but do not belong together."""

    wanted: str


@final
@dataclass(frozen=True, slots=True)
class AuthorityExpired:
    """The root is past its end; agents refuse everything it signs."""

    ended: datetime


@final
@dataclass(frozen=True, slots=True)
class NameUnusable:
    """A host name that cannot stand in a certificate."""

    name: str
    reason: str


AuthorityError: TypeAlias = PemUnreadable | KeyOfAnother | AuthorityExpired | NameUnusable


@final
@dataclass(frozen=True, slots=True)
class Authority:
    """A root with its key, proven to belong together and to be within its time."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_key_pem() -> bytes:
    """A fresh P-256 private key, PKCS #8 PEM without a passphrase."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def authority_pem(key_pem: bytes, now: UnixSeconds) -> Outcome[bytes, PemUnreadable]:
    """A self-signed root (PEM) over `key_pem`, valid for ten years, which may sign leaves and nothing else."""
    read = _read_key(key_pem, "the authority's private key")
    if not isinstance(read, Success):
        return read
    key = value_of(read)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tunnel development authority")])
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    root = (
        _unsigned(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(subject_key, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Success(root.public_bytes(serialization.Encoding.PEM))


def read_authority(certificate_pem: bytes, key_pem: bytes, now: UnixSeconds) -> Outcome[Authority, AuthorityError]:
    """The root of two PEM texts, once it is sure that it is one, that the key is its key and that it has not ended."""
    certificate = _read_certificate(certificate_pem, "the authority's certificate")
    if not isinstance(certificate, Success):
        return certificate
    key = _read_key(key_pem, "the authority's private key")
    if not isinstance(key, Success):
        return key
    root = value_of(certificate)
    if root.public_key() != value_of(key).public_key():
        return Failure(KeyOfAnother("the authority"))
    if root.not_valid_after_utc <= _time(now):
        return Failure(AuthorityExpired(root.not_valid_after_utc))
    return Success(Authority(root, value_of(key)))


def leaf_pem(authority: Authority, names: Sequence[str], now: UnixSeconds) -> Outcome[bytes, NameUnusable]:
    """A fresh private key and a server certificate over it for `names` (DNS names and IP addresses), in one PEM text.

    One text, so that one rename replaces both and no reader ever pairs an old key with a new certificate.
    """
    alternatives = _general_names(names)
    if not isinstance(alternatives, Success):
        return alternatives
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tunnel server")])
    issuer = x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
    leaf = (
        _unsigned(subject, authority.certificate.subject, key.public_key(), now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(value_of(alternatives)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Success(_key_pem(key) + leaf.public_bytes(serialization.Encoding.PEM))


def leaf_serves(
    pem: bytes, authority: Authority, names: Sequence[str], now: UnixSeconds
) -> Outcome[bool, PemUnreadable | KeyOfAnother | NameUnusable]:
    """Whether the leaf in `pem` is of this authority, for exactly `names`, with a month left; else make another."""
    certificate = _read_certificate(pem, "the server certificate")
    if not isinstance(certificate, Success):
        return certificate
    key = _read_key(pem, "the server's private key")
    if not isinstance(key, Success):
        return key
    wanted = _general_names(names)
    if not isinstance(wanted, Success):
        return wanted
    leaf = value_of(certificate)
    if leaf.public_key() != value_of(key).public_key():
        return Failure(KeyOfAnother("the server"))
    remaining = leaf.not_valid_after_utc - _time(now)
    in_time = leaf.not_valid_before_utc <= _time(now) and remaining > timedelta(days=LEAF_RENEW_DAYS)
    return Success(in_time and _issued(leaf, authority) and _alternatives_of(leaf) == value_of(wanted))


def describe(error: AuthorityError) -> str:
    """What was seen and what was expected; which file to look at is the caller's to say."""
    match error:
        case PemUnreadable(wanted=wanted, reason=reason):
            return f"{wanted} cannot be read as PEM: {reason}"
        case KeyOfAnother(wanted=wanted):
            return f"the certificate and the private key of {wanted} do not belong together"
        case AuthorityExpired(ended=ended):
            return f"the authority's certificate ended on {ended:%Y-%m-%d}"
        case NameUnusable(name=name, reason=reason):
            return f"{name!r} cannot stand in a certificate: {reason}"


def _unsigned(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: UnixSeconds, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now) - _SKEW)
        .not_valid_after(_time(now) + timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Sequence[str]) -> Outcome[list[x509.GeneralName], NameUnusable]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):  # each once, in order
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
            continue
        except ValueError:
            pass  # then it is a DNS name
        try:
            found.append(x509.DNSName(name))
        except ValueError as cause:
            return Failure(NameUnusable(name, str(cause)))
    return Success(found)


def _alternatives_of(leaf: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []


def _issued(leaf: x509.Certificate, authority: Authority) -> bool:
    try:
        leaf.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _read_certificate(pem: bytes, wanted: str) -> Outcome[x509.Certificate, PemUnreadable]:
    try:
        return Success(x509.load_pem_x509_certificate(pem))
    except ValueError as cause:
        return Failure(PemUnreadable(wanted, _first_line(cause)))


def _read_key(pem: bytes, wanted: str) -> Outcome[ec.EllipticCurvePrivateKey, PemUnreadable]:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        return Failure(PemUnreadable(wanted, _first_line(cause)))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return Failure(PemUnreadable(wanted, "not an elliptic-curve key"))
    return Success(key)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _time(now: UnixSeconds) -> datetime:
    return datetime.fromtimestamp(now, tz=UTC)


def _first_line(cause: Exception) -> str:
    """Libraries explain at length, with links to their manual; the first sentence is what a person needs."""
    return str(cause).splitlines()[0].partition(". ")[0] if str(cause) else type(cause).__name__
