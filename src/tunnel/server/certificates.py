"""The certificates of the TLS port: read from files, chosen by name, read again when the files change.

Each is held twice, as a context for agents and one for visitors, and both are replaced together, once the new files
are known to be good; connections that stand are not touched.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias, final

from cryptography import x509

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import MIB
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.tls.choice import Choice
from tunnel.drive.keylog import log_keys
from tunnel.drive.tls import TlsUnusable, server_context, visitor_context
from tunnel.server.settings import CertificateFiles

_CHAIN_BYTES_MAX: Final = 1 * MIB

Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""What tells one version of the files from another: for each its inode, size and time of change; None is no file."""


@final
@dataclass(frozen=True, slots=True)
class Presented:
    """One certificate, ready to be presented."""

    names: tuple[str, ...]
    agents: ssl.SSLContext
    visitors: ssl.SSLContext


@final
class Certificates:
    """What is presented now. The first one is for clients that name nobody, or a name that no certificate is for."""

    def __init__(self, files: tuple[CertificateFiles, ...], held: list[Presented], keylog: Path | None) -> None:
        self._files: Final = files
        self._held: Final = held
        self._keylog: Final = keylog
        self._stamps: Final = [_stamp_of(each) for each in files]
        self._choice = Choice([each.names for each in held])

    def for_agents(self, host: str) -> ssl.SSLContext:
        """The context for an agent that dials `host`."""
        return self._presented_to(host).agents

    def for_visitors(self, host: str) -> ssl.SSLContext:
        """The context for a visitor of `host`."""
        return self._presented_to(host).visitors

    def covers(self, host: str) -> bool:
        """Whether some certificate is for `host`."""
        return self._choice.place_of(host) is not None

    def read_changed(self, now: UnixSeconds) -> list[TlsUnusable]:
        """Read again what changed since it was last read; what cannot be used is told once and the old one stays."""
        unusable: list[TlsUnusable] = []
        for place, files in enumerate(self._files):
            stamp = _stamp_of(files)
            if stamp == self._stamps[place]:
                continue
            self._stamps[place] = stamp
            read = _read(files, self._keylog, now)
            if isinstance(read, Success):
                self._held[place] = value_of(read)
                self._choice = Choice([each.names for each in self._held])
            else:
                unusable.append(error_of(read))
        return unusable

    def _presented_to(self, host: str) -> Presented:
        return self._held[self._choice.place_of(host) or 0]


def read_certificates(
    files: tuple[CertificateFiles, ...], keylog: Path | None, now: UnixSeconds
) -> Outcome[Certificates, TlsUnusable]:
    """All of them, one at least, or what is wrong with the first that cannot be used."""
    held: list[Presented] = []
    for each in files:
        read = _read(each, keylog, now)
        if not isinstance(read, Success):
            return read
        held.append(value_of(read))
    return Success(Certificates(files, held, keylog))


def _read(files: CertificateFiles, keylog: Path | None, now: UnixSeconds) -> Outcome[Presented, TlsUnusable]:
    names = _names_in(files.chain, now)
    if not isinstance(names, Success):
        return names
    agents, visitors = server_context(files.chain, files.key), visitor_context(files.chain, files.key)
    if not isinstance(agents, Success):
        return agents
    if not isinstance(visitors, Success):
        return visitors
    for context in (value_of(agents), value_of(visitors)):
        logged = Success(None) if keylog is None else log_keys(context, keylog)
        if not isinstance(logged, Success):
            return logged
    return Success(Presented(value_of(names), value_of(agents), value_of(visitors)))


def _names_in(chain: Path, now: UnixSeconds) -> Outcome[tuple[str, ...], TlsUnusable]:
    """The DNS names of the leaf, which stands first, once it is sure that it is in its time."""
    try:
        with chain.open("rb") as opened:
            leaf = x509.load_pem_x509_certificate(opened.read(_CHAIN_BYTES_MAX))
    except OSError as cause:
        return Failure(TlsUnusable(str(chain), f"cannot be read: {cause.strerror}"))
    except ValueError:
        return Failure(TlsUnusable(str(chain), "holds no certificate in PEM"))
    moment = datetime.fromtimestamp(now, tz=UTC)
    if leaf.not_valid_after_utc <= moment:
        return Failure(TlsUnusable(str(chain), f"the certificate ended on {leaf.not_valid_after_utc:%Y-%m-%d}"))
    if leaf.not_valid_before_utc > moment:
        begins = f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return Failure(TlsUnusable(str(chain), f"the certificate is not valid before {begins}"))
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return Failure(TlsUnusable(str(chain), "the certificate names no host (no subject alternative names)"))
    return Success(tuple(alternatives.get_values_for_type(x509.DNSName)))


def _stamp_of(files: CertificateFiles) -> Stamp:
    return tuple(_stamp(path) for path in (files.chain, files.key) if path is not None)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns
