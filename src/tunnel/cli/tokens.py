"""Where an agent's token comes from, and what can be done with a token and nothing else: explain it, narrow it."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tunnel.cli.commands import Amounts, MintCommand, NarrowCommand
from tunnel.cli.problems import BadArgument, CannotRead, Missing, Problem, Problems, TooMany, describe_all
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import decimal
from tunnel.core.control.minting import MintAsked
from tunnel.core.control.ttl import TTL_FORMS, ttl_of
from tunnel.core.token.codec import token_raw, token_text
from tunnel.core.token.explain import describe as describe_token_error
from tunnel.core.token.explain import explain_raw
from tunnel.core.token.narrow import Narrowing, narrow_token
from tunnel.core.token.rights import pattern_of
from tunnel.core.token.token import LIMIT_MAX
from tunnel.drive import files

STANDARD_INPUT: Final = "-"
TOKEN_FILE_BYTES_MAX: Final = 4096
"""A token is 1073 characters; a file beyond this is not one with a token."""
SEED_BYTES: Final = 32
_PATTERNS: Final = "a name pattern: one name, *, *-suffix or prefix-*"


def token_of(flag: str | None, environment: Mapping[str, str], configured: Path | None) -> Outcome[bytes, Problem]:
    """The raw token to show the server: from the flag, else the environment, else the config file."""
    named, value = environment.get("TUNNEL_TOKEN_FILE", ""), environment.get("TUNNEL_TOKEN", "")
    if flag is not None:
        return token_in_file(flag, "--token-file")
    if named and value:
        return Failure(TooMany("TUNNEL_TOKEN_FILE", "TUNNEL_TOKEN"))
    if named:
        return token_in_file(named, "TUNNEL_TOKEN_FILE")
    if value:
        return _token_in_text(value, "TUNNEL_TOKEN")
    if configured is not None:
        return token_in_file(str(configured), "token_file")
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
    """What the token in `file` (`-`: standard input) allows and how it came to be; no key is needed."""
    raw = token_in_file(file, "token explain")
    if not isinstance(raw, Success):
        return raw
    words = explain_raw(value_of(raw), now)
    if not isinstance(words, Success):
        return Failure(CannotRead(_place(file), describe_token_error(error_of(words))))
    return words


def asked_of(command: MintCommand) -> Outcome[MintAsked, Problems]:
    """What a token is to allow; all that is wrong with it as typed is told together."""
    problems: list[Problem] = []
    if not isinstance(pattern_of(command.name), Success):
        problems.append(BadArgument("--name", command.name, _PATTERNS))
    life = None if command.ttl is None else ttl_of(command.ttl)
    if command.ttl is not None and life is None:
        problems.append(BadArgument("--ttl", command.ttl, TTL_FORMS))
    amounts = _amounts(command.amounts, problems)
    if problems:
        return Failure(tuple(problems))
    return Success(MintAsked(command.name, frozenset(command.kinds), life, *amounts, command.label))


def narrowed(command: NarrowCommand, now: UnixSeconds) -> Outcome[list[str], Problems]:
    """What is left of the token, in words, once it stands in the file; nothing but the token is needed."""
    problems: list[Problem] = []
    asked = _narrowing(command, now, problems)
    raw = token_in_file(command.token_file, "--token-file")
    if not isinstance(raw, Success):
        problems.append(error_of(raw))
    if problems or not isinstance(raw, Success):
        return Failure(tuple(problems))
    made = narrow_token(value_of(raw), asked, None if command.is_sealed else os.urandom(SEED_BYTES))
    if not isinstance(made, Success):
        return Failure((CannotRead("token narrow", describe_token_error(error_of(made))),))
    written = write_secret(Path(command.out), token_text(value_of(made)))
    if not isinstance(written, Success):
        return Failure((error_of(written),))
    words = explain_raw(value_of(made), now)
    return Success(value_of(words)[:-1] if isinstance(words, Success) else [])


def sentences_of(problems: Problems) -> str:
    """All of them, each as a line of its own under the program's name."""
    return describe_all(problems).replace("\n", "\ntunnel: ")


def write_secret(file: Path, text: str) -> Outcome[None, Problem]:
    """Success when `file` holds the secret and nobody but its owner may read it; only a plain file is replaced."""
    if _is_something_else(file):  # a device or a pipe: to put a file in its place harms whoever uses it
        return Failure(CannotRead("--out", f"{file} is there and is no plain file; name one, or leave --out out"))
    written = files.replace(file, text.encode() + b"\n", files.PRIVATE)
    if isinstance(written, Success):
        return written
    return Failure(CannotRead("--out", files.describe(error_of(written))))


def _is_something_else(file: Path) -> bool:
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False  # nothing is there, or nothing that we may see: whoever writes will be told


def _narrowing(command: NarrowCommand, now: UnixSeconds, problems: list[Problem]) -> Narrowing:
    """What is to be left, as far as it was typed rightly; what was not is added to the problems."""
    pattern = None if command.name is None else pattern_of(command.name)
    if command.name is not None and not isinstance(pattern, Success):
        problems.append(BadArgument("--name", command.name, _PATTERNS))
    lives: list[int | None] = []
    for flag, text in (("--ttl", command.ttl), ("--starts-in", command.starts)):
        life = None if text is None else ttl_of(text)
        if text is not None and life is None:
            problems.append(BadArgument(flag, text, TTL_FORMS))
        lives.append(life)
    life, starts = lives
    begins = None if starts is None else UnixSeconds(now + starts)
    return Narrowing(
        value_of(pattern) if isinstance(pattern, Success) else None,
        frozenset(command.kinds) or None,
        *_amounts(command.amounts, problems),
        begins,
        None if life is None else UnixSeconds((begins or now) + life),
    )


def _amounts(asked: Amounts, problems: list[Problem]) -> tuple[int | None, int | None, int | None]:
    """The numbers that were typed; what is none is added to the problems."""
    numbers: list[int | None] = []
    for flag, text in (("--names", asked.names), ("--streams", asked.streams), ("--sessions", asked.sessions)):
        number = None if text is None else decimal(text.encode("utf-8", "replace"))
        if text is not None and (number is None or not 1 <= number <= LIMIT_MAX):
            problems.append(BadArgument(flag, text, f"a number from 1 to {LIMIT_MAX}"))
        numbers.append(number)
    names, streams, sessions = numbers
    return names, streams, sessions


def token_in_file(file: str, source: str) -> Outcome[bytes, Problem]:
    """The raw token in a file; `-` is standard input."""
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
