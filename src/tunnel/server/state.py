"""The state directory: the token signing key and the development identity, made once and kept (OPS-STATE).

    DIR/                    0700
      token-signing.key     0600  Ed25519, PKCS #8 PEM; whoever has it makes valid tokens
      ca.key  ca.pem        0600  0644  the development authority; agents are given ca.pem
      server.pem            0600  key and certificate of the server, signed by it; renewed by itself

Several processes may open one directory at the same moment: each file is published whole, and for those that are made
once every process goes on with the one that won. Nothing that is there is ever overwritten but `server.pem`.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias, assert_never, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive import files, keys
from tunnel.drive.files import FileError
from tunnel.drive.keys import Damaged, SigningKey
from tunnel.server import authority
from tunnel.server.authority import Authority, AuthorityError, AuthorityExpired, NameUnusable

SIGNING_KEY: Final = "token-signing.key"
AUTHORITY_KEY: Final = "ca.key"
AUTHORITY: Final = "ca.pem"
SERVER: Final = "server.pem"


@final
@dataclass(frozen=True, slots=True)
class KeyLost:
    """The authority's certificate is there and its key is not; agents trust a root that can no longer sign."""

    certificate: Path
    key: Path


@final
@dataclass(frozen=True, slots=True)
class AuthorityEnded:
    """The development authority is past its end."""

    certificate: Path
    ended: datetime


StateError: TypeAlias = FileError | Damaged | KeyLost | AuthorityEnded | NameUnusable


@final
@dataclass(frozen=True, slots=True)
class Identity:
    """The server's TLS identity: `chain` holds key and certificate together, `authority` is what agents are given."""

    chain: Path
    authority: Path


def signing_key(directory: Path) -> Outcome[SigningKey, StateError]:
    """The token signing key of the directory; both are made when missing."""
    ready = files.make_directory(directory)
    if not isinstance(ready, Success):
        return ready
    return keys.kept_key(directory / SIGNING_KEY)


def server_identity(directory: Path, names: Sequence[str], now: UnixSeconds) -> Outcome[Identity, StateError]:
    """A TLS identity for exactly `names`, kept while it has a month left; authority and all are made when missing.

    A server that runs for long calls this again now and then and reloads `chain`: a leaf lives 90 days.
    """
    ready = files.make_directory(directory)
    if not isinstance(ready, Success):
        return ready
    root = _authority(directory, now)
    if not isinstance(root, Success):
        return root
    chain = directory / SERVER
    renewed = _renew_leaf(chain, value_of(root), names, now)
    if not isinstance(renewed, Success):
        return renewed
    return Success(Identity(chain, directory / AUTHORITY))


def names_served(domain: str, listener_host: str) -> list[str]:
    """What the server's certificate is for: the zone, one label in it, this machine, and the listener's own name."""
    names = [domain, f"*.{domain}", "localhost", "127.0.0.1", "::1"]
    if _is_a_place(listener_host):
        names.append(listener_host)
    return list(dict.fromkeys(names))


def describe(error: StateError) -> str:
    """What was seen, what was expected, what to do."""
    match error:
        case Damaged(path=path, detail=detail):
            if path.name == SERVER:
                return f"{path} is damaged: {detail}; delete it and it is made anew"
            return keys.describe(error)
        case KeyLost(certificate=certificate, key=key):
            return (
                f"{certificate} is there but its key {key} is gone; restore the key, or delete {certificate} to "
                "make a new authority (agents then need the new ca.pem)"
            )
        case AuthorityEnded(certificate=certificate, ended=ended):
            return (
                f"the authority {certificate} ended on {ended:%Y-%m-%d}; delete {AUTHORITY} and {AUTHORITY_KEY} to "
                "make a new one, and give agents the new ca.pem"
            )
        case NameUnusable():
            return authority.describe(error)
        case files.CannotUse() | files.TooOpen():
            return files.describe(error)
        case _:
            assert_never(error)


def _authority(directory: Path, now: UnixSeconds) -> Outcome[Authority, StateError]:
    key_path, certificate_path = directory / AUTHORITY_KEY, directory / AUTHORITY
    lost = _lost_key(key_path, certificate_path)
    if not isinstance(lost, Success):
        return lost
    key = files.made_once(key_path, authority.new_key_pem(), files.PRIVATE)
    if not isinstance(key, Success):
        return key
    fresh = authority.authority_pem(value_of(key), now)
    if not isinstance(fresh, Success):
        return Failure(Damaged(key_path, authority.describe(error_of(fresh))))
    certificate = files.made_once(certificate_path, value_of(fresh), files.PUBLIC)
    if not isinstance(certificate, Success):
        return certificate
    root = authority.read_authority(value_of(certificate), value_of(key), now)
    if not isinstance(root, Success):
        return _damaged(certificate_path, error_of(root))
    return root


def _lost_key(key: Path, certificate: Path) -> Outcome[None, StateError]:
    """Failure when the root outlived its key: signing with another key would cut off every agent without a word.

    The order matters when another process is making both: the key is published first, so it is looked for last.
    """
    held = files.read_public(certificate)
    if not isinstance(held, Success):
        return held
    if value_of(held) is None:
        return Success(None)
    found = files.read_private(key)
    if not isinstance(found, Success):
        return found
    return Failure(KeyLost(certificate, key)) if value_of(found) is None else Success(None)


def _renew_leaf(chain: Path, root: Authority, names: Sequence[str], now: UnixSeconds) -> Outcome[None, StateError]:
    held = files.read_private(chain)
    if not isinstance(held, Success):
        return held
    pem = value_of(held)
    if pem is not None:
        serves = authority.leaf_serves(pem, root, names, now)
        if not isinstance(serves, Success):
            return _damaged(chain, error_of(serves))
        if value_of(serves):
            return Success(None)
    fresh = authority.leaf_pem(root, names, now)
    if not isinstance(fresh, Success):
        return _damaged(chain, error_of(fresh))
    return files.replace(chain, value_of(fresh), files.PRIVATE)


def _damaged(path: Path, error: AuthorityError) -> Failure[StateError]:
    if isinstance(error, NameUnusable):
        return Failure(error)
    if isinstance(error, AuthorityExpired):
        return Failure(AuthorityEnded(path, error.ended))
    return Failure(Damaged(path, authority.describe(error)))


def _is_a_place(host: str) -> bool:
    """Whether agents may dial this listener host as it is; `0.0.0.0` and `::` mean every address and are none."""
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host != ""
