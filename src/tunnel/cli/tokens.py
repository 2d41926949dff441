"""Where an agent's token comes from, and the two commands about tokens: `mint` and `explain`."""

import hashlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tunnel.cli.commands import MintCommand
from tunnel.cli.problems import BadArgument, CannotRead, Missing, Problem, Problems, TooMany
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.token.codec import decode_token, encode_token, key_id_of, token_raw, token_text
from tunnel.core.token.explain import describe as describe_token_error
from tunnel.core.token.explain import explain
from tunnel.core.token.rights import pattern_of
from tunnel.core.token.token import AccountId, NamePattern, Token, TokenId
from tunnel.drive import files
from tunnel.drive.keys import SigningKey
from tunnel.server import state

STANDARD_INPUT: Final = "-"
TOKEN_FILE_BYTES_MAX: Final = 4096
"""A token is 1073 characters; a file beyond this is not one with a token."""
SKEW_SECONDS: Final = 60
"""A token is valid from a minute before it was made: the server's clock may be behind."""

_TTL: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])", re.ASCII)
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TTL_SECONDS_MAX: Final = 10 * 365 * 86_400
_TTLS: Final = "a time to live of at most ten years: 30s, 15m, 1h or 7d"


@final
@dataclass(frozen=True, slots=True)
class Minted:
    """A new token as text and bytes, what it allows in words, and whether this call made the signing key."""

    text: str
    raw: bytes
    words: tuple[str, ...]
    key_is_new: bool


def token_of(flag: str | None, environment: Mapping[str, str], configured: Path | None) -> Outcome[bytes, Problem]:
    """The raw token to show the server: from the flag, else the environment, else the config file."""
    named, value = environment.get("TUNNEL_TOKEN_FILE", ""), environment.get("TUNNEL_TOKEN", "")
    if flag is not None:
        return _token_in_file(flag, "--token-file")
    if named and value:
        return Failure(TooMany("TUNNEL_TOKEN_FILE", "TUNNEL_TOKEN"))
    if named:
        return _token_in_file(named, "TUNNEL_TOKEN_FILE")
    if value:
        return _token_in_text(value, "TUNNEL_TOKEN")
    if configured is not None:
        return _token_in_file(str(configured), "token_file")
    ways = ("--token-file F (- for standard input)", "TUNNEL_TOKEN_FILE", "TUNNEL_TOKEN", "a config file with --config")
    return Failure(Missing("token", ways))


def secret_file_warning(file: str | None, secret: str) -> str | None:
    """A sentence when others than its owner may read the file; None when they may not, or when there is none."""
    if not file or file == STANDARD_INPUT:
        return None
    try:
        mode = stat.S_IMODE(Path(file).stat().st_mode)
    except OSError:
        return None
    return f"others may read the {secret} in {file} (mode {mode:04o}); chmod 600 {file}" if mode & 0o077 else None


def explained(file: str, now: UnixSeconds) -> Outcome[list[str], Problem]:
    """What the token in `file` (`-`: standard input) allows, a sentence a line; no key is needed."""
    raw = _token_in_file(file, "token explain")
    if not isinstance(raw, Success):
        return raw
    token = decode_token(value_of(raw))
    if not isinstance(token, Success):
        return Failure(CannotRead(_place(file), describe_token_error(error_of(token))))
    return Success(explain(value_of(token), now))


def mint(command: MintCommand, now: UnixSeconds) -> Outcome[Minted, Problems]:
    """A token signed with the key of the state directory, which is made when there is none yet."""
    problems: list[Problem] = []
    pattern, seconds = pattern_of(command.name), _ttl_seconds(command.ttl)
    if not isinstance(pattern, Success):
        problems.append(BadArgument("--name", command.name, "a name pattern: one name, *, *-suffix or prefix-*"))
    if seconds is None:
        problems.append(BadArgument("--ttl", command.ttl, _TTLS))
    if not isinstance(pattern, Success) or seconds is None:
        return Failure(tuple(problems))
    key = state.signing_key(Path(command.state))
    if not isinstance(key, Success):
        return Failure((CannotRead("--state", state.describe(error_of(key))),))
    return _minted(value_of(key), value_of(pattern), command, seconds, now)


def write_token(file: Path, text: str) -> Outcome[None, Problem]:
    """Success when `file` holds the token and nobody but its owner may read it."""
    written = files.replace(file, text.encode() + b"\n", files.PRIVATE)
    if isinstance(written, Success):
        return written
    return Failure(CannotRead("--out", files.describe(error_of(written))))


def _minted(
    key: SigningKey, pattern: NamePattern, command: MintCommand, seconds: int, now: UnixSeconds
) -> Outcome[Minted, Problems]:
    token = Token(
        key_id=key_id_of(public_key_of(key.private) or b""),
        token_id=TokenId(os.urandom(16)),
        account=account_of(command.account),
        pattern=pattern,
        kinds=frozenset(command.kinds),
        names_max=DEFAULT_LIMITS.endpoints_per_session_max,
        streams_max=DEFAULT_LIMITS.streams_per_session_max,
        sessions_max=DEFAULT_LIMITS.sessions_per_token_max,
        not_before=UnixSeconds(now - SKEW_SECONDS),
        expiry=UnixSeconds(now + seconds),
    )
    raw = encode_token(token, key.private)
    if not isinstance(raw, Success):
        return Failure((CannotRead("token mint", describe_token_error(error_of(raw))),))
    return Success(Minted(token_text(value_of(raw)), value_of(raw), tuple(explain(token, now)), key.is_new))


def account_of(name: str) -> AccountId:
    """The account that goes by `name`: the same on every machine, so that tokens minted apart can follow each other."""
    return AccountId(hashlib.sha256(b"tunnel/account\0" + name.encode("utf-8", "replace")).digest()[:16])


def _ttl_seconds(text: str) -> int | None:
    found = _TTL.fullmatch(text)
    if found is None:
        return None
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]]
    return seconds if seconds <= _TTL_SECONDS_MAX else None


def _token_in_file(file: str, source: str) -> Outcome[bytes, Problem]:
    try:
        if file == STANDARD_INPUT:
            content = sys.stdin.buffer.read(TOKEN_FILE_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(TOKEN_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as cause:  # ValueError: a path with a NUL byte
        reason = cause.strerror if isinstance(cause, OSError) else str(cause)
        return Failure(CannotRead(source, f"cannot read {_place(file)}: {reason}"))
    if len(content) > TOKEN_FILE_BYTES_MAX:
        return Failure(CannotRead(source, f"{_place(file)} is far too long to hold a token"))
    return _token_in_text(content.decode("ascii", "replace"), f"{source} ({_place(file)})")


def _token_in_text(text: str, source: str) -> Outcome[bytes, Problem]:
    """The raw token in a text that may have white space around it. What was seen is never repeated: it is a secret."""
    raw = token_raw(text.strip())
    if isinstance(raw, Success):
        return raw
    return Failure(CannotRead(source, describe_token_error(error_of(raw))))


def _place(file: str) -> str:
    return "standard input" if file == STANDARD_INPUT else file
