"""TLS contexts: links are 1.3 only, with ALPN `tunnel/1`, and verification is always on (LINK-TLS)."""

import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success

ALPN: Final = "tunnel/1"
VISITORS_ALPN: Final = "http/1.1"


@final
@dataclass(frozen=True, slots=True)
class TlsUnusable:
    """A certificate, key or authority file that TLS cannot work with."""

    path: str
    detail: str


def server_context(certificate: Path, key: Path | None) -> Outcome[ssl.SSLContext, TlsUnusable]:
    """What the agents' listener presents; without `key`, the certificate file holds both."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    context.num_tickets = 0  # an agent's link lives long; tickets would only cost memory and be tracked
    loaded = load_certificate(context, certificate, key)
    return Success(context) if isinstance(loaded, Success) else loaded


def visitor_context(certificate: Path, key: Path | None) -> Outcome[ssl.SSLContext, TlsUnusable]:
    """What visitors are presented with: TLS 1.3, or 1.2 with forward secrecy and AEAD only (ADR 0039)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([VISITORS_ALPN])
    loaded = load_certificate(context, certificate, key)
    return Success(context) if isinstance(loaded, Success) else loaded


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> Outcome[None, TlsUnusable]:
    """Present this certificate in handshakes of this context."""
    asked: list[bool] = []

    def no_passphrase() -> str:
        """Stands in for the terminal, which OpenSSL would ask otherwise, and wait."""
        asked.append(True)
        return ""

    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as cause:
        detail = "the private key has a passphrase, and nobody is there to be asked for it"
        return Failure(TlsUnusable(str(key or certificate), detail if asked else _reason_of(cause)))
    except OSError as cause:
        return Failure(TlsUnusable(str(key or certificate), f"cannot be read: {cause.strerror}"))
    return Success(None)


def _reason_of(cause: ssl.SSLError) -> str:
    """OpenSSL's reason in words; for a text without the PEM that was looked for it has none, or this one."""
    if cause.reason == "KEY_VALUES_MISMATCH":
        return "the private key is not that of the certificate"
    reason = cause.reason or "NO_START_LINE"
    return "holds no private key in PEM" if reason == "NO_START_LINE" else f"cannot be used: {reason}"


def agent_context(authority: Path | None) -> Outcome[ssl.SSLContext, TlsUnusable]:
    """What the agent trusts: the system's authorities, or only those in `authority`. Names are always checked."""
    return _verifying(authority, ALPN)


def local_context(authority: Path | None) -> Outcome[ssl.SSLContext, TlsUnusable]:
    """What the agent trusts of a local `https` service; likewise verified."""
    return _verifying(authority, "http/1.1")


def _verifying(authority: Path | None, protocol: str) -> Outcome[ssl.SSLContext, TlsUnusable]:
    # Not `create_default_context`: it logs keys whenever SSLKEYLOGFILE is set, and tells nobody (OPS-KEYLOG-001).
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    try:
        if authority is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(cafile=str(authority))
    except ssl.SSLError:
        return Failure(TlsUnusable(str(authority), "holds no certificate in PEM"))
    except OSError as cause:
        return Failure(TlsUnusable(str(authority), f"cannot be read: {cause.strerror}"))
    context.set_alpn_protocols([protocol])
    if protocol == ALPN:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    return Success(context)


def speaks_tunnel(tls: object) -> bool:
    """Whether the handshake of a transport's `ssl_object` agreed on `tunnel/1`."""
    return isinstance(tls, ssl.SSLObject) and tls.selected_alpn_protocol() == ALPN
