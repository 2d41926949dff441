"""`tunnel audit`: the trail of a database written out, and an export looked at for tampering."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, Final, assert_never

import anyio

from tunnel.api.auditing import Export, open_export
from tunnel.api.witness import audit_key
from tunnel.api.witness import describe as describe_witness
from tunnel.cli.commands import AuditCommand, AuditExportCommand, AuditKeyCommand, AuditVerifyCommand
from tunnel.cli.databases import NO_DATABASE, database_asked
from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import BadArgument, CannotRead, Problem
from tunnel.cli.report import refuse, say
from tunnel.core.audit.entry import NUMBER_MAX
from tunnel.core.audit.findings import Verdict, describe
from tunnel.core.audit.lines import LINE_BYTES_MAX
from tunnel.core.audit.verify import Verification
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import ED25519_KEY_BYTES, decimal, hex_bytes
from tunnel.core.token.moments import count_text
from tunnel.drive import files
from tunnel.store import open as opening
from tunnel.store.errors import describe as describe_store

STANDARD_INPUT: Final = "-"
_A_NUMBER: Final = "the number of an entry, 1 or more"
_A_KEY: Final = "64 hexadecimal digits, or a file that holds them (see `tunnel audit key`)"


def run_audit(command: AuditCommand, environment: Mapping[str, str]) -> ExitCode:
    """Carry the command out."""
    match command:
        case AuditExportCommand():
            return _export(command, environment)
        case AuditVerifyCommand():
            return _verify(command)
        case AuditKeyCommand():
            return _show_key(command)
        case _:
            assert_never(command)


def _export(command: AuditExportCommand, environment: Mapping[str, str]) -> ExitCode:
    database = database_asked(command.database, environment, None)
    first, last = _number("--from", command.first), _number("--to", command.last)
    problems = [error_of(each) for each in (database, first, last) if isinstance(each, Failure)]
    if problems or isinstance(database, Failure) or isinstance(first, Failure) or isinstance(last, Failure):
        return refuse(tuple(problems))
    if opening.is_missing(value_of(database), Path(command.state)):
        return refuse((CannotRead("--state", NO_DATABASE.format(command.state)),))
    ready = files.make_directory(Path(command.state))
    if not isinstance(ready, Success):
        return refuse((CannotRead("--state", files.describe(error_of(ready))),))
    numbers = (value_of(first) or 1, value_of(last))
    try:
        with _out(command.out) as out:
            return anyio.run(_write_out, command, value_of(database), numbers, out)
    except BrokenPipeError:
        raise
    except OSError as cause:
        return refuse((CannotRead("--out", f"cannot write {command.out}: {cause.strerror}"),))


async def _write_out(
    command: AuditExportCommand, database: str, numbers: tuple[int, int | None], out: BinaryIO
) -> ExitCode:
    now, state = UnixSeconds(int(time.time())), Path(command.state)
    opened = await opening.open_store(database, state, now)
    if not isinstance(opened, Success):
        return refuse((CannotRead("--database", opening.describe(error_of(opened))),))
    store = value_of(opened)
    try:
        there = await store.audit_head()
        if not isinstance(there, Success):
            say(f"tunnel: {describe_store(error_of(there))}")
            return ExitCode.NETWORK
        begun = await open_export(store, state, now)
        if not isinstance(begun, Success):
            return refuse((CannotRead("--state", error_of(begun)),))
        export, trouble = value_of(begun)
        if trouble:
            say(f"tunnel: {trouble}")
        return await _write_blocks(export, numbers, now, out)
    finally:
        await store.close()


async def _write_blocks(export: Export, numbers: tuple[int, int | None], now: UnixSeconds, out: BinaryIO) -> ExitCode:
    async for block in export.blocks(numbers[0], numbers[1], now):
        if not isinstance(block, Success):
            say(f"tunnel: the export is not complete, and has no seal: {error_of(block)}")
            return ExitCode.NETWORK
        out.write(value_of(block))
    out.flush()
    say(f"{export.entries} entries, {export.checkpoints} checkpoints")
    return ExitCode.OK


def _out(file: str | None) -> "nullcontext[BinaryIO] | BinaryIO":
    """Where to write; a file is for its owner's eyes, as the trail has names and addresses of people."""
    if file is None:
        return nullcontext(sys.stdout.buffer)
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, files.PRIVATE), "wb")


def _verify(command: AuditVerifyCommand) -> ExitCode:
    trusted: set[bytes] = set()
    for text in command.keys:
        key = _key(text)
        if key is None:
            return refuse((BadArgument("--key", text, _A_KEY),))
        trusted.add(key)
    place = "standard input" if command.file == STANDARD_INPUT else command.file
    try:
        with nullcontext(sys.stdin.buffer) if command.file == STANDARD_INPUT else Path(command.file).open("rb") as file:
            verdict = verdict_of(file, frozenset(trusted))
    except (OSError, ValueError) as cause:  # ValueError: a path with a NUL byte
        reason = cause.strerror if isinstance(cause, OSError) else str(cause)
        return refuse((CannotRead("audit verify", f"cannot read {place}: {reason}"),))
    print("\n".join(words_of(verdict, place, is_trusted=bool(trusted))))
    return ExitCode.TAMPERED if verdict.findings_total else ExitCode.OK


def verdict_of(file: BinaryIO, trusted: frozenset[bytes]) -> Verdict:
    """What verification says of all lines of the file, read one at a time."""
    verification = Verification(trusted)
    while line := file.readline(LINE_BYTES_MAX + 1):
        verification.receive_line(line)
    return verification.verdict()


def words_of(verdict: Verdict, place: str, *, is_trusted: bool) -> list[str]:
    """The verdict for people, a line each."""
    if verdict.findings_total:
        lines = [
            f"{place}: {count_text(verdict.findings_total, 'finding')}",
            *[f"  {describe(one)}" for one in verdict.findings],
        ]
        more = verdict.findings_total - len(verdict.findings)
        return [*lines, f"  and {more} more"] if more else lines
    covered = f"the last vouches for all up to entry {verdict.covered_to}" if verdict.covered_to else "none vouches"
    lines = [
        f"{place}: nothing was changed, taken out, put in or moved",
        f"  entries      {verdict.entries}, the last is {verdict.last.number}",
        f"  checkpoints  {verdict.checkpoints}, {covered}",
        f"  sealed by    {verdict.sealed_by.hex()}",
    ]
    if not is_trusted:
        lines.append(
            "  The key is the one that the file names: compare it with `tunnel audit key`, or give it by --key."
        )
    return lines


def _show_key(command: AuditKeyCommand) -> ExitCode:
    ready = files.make_directory(Path(command.state))
    if not isinstance(ready, Success):
        return refuse((CannotRead("--state", files.describe(error_of(ready))),))
    key = audit_key(Path(command.state))
    if not isinstance(key, Success):
        return refuse((CannotRead("--state", describe_witness(error_of(key))),))
    print(value_of(key).public.hex())
    return ExitCode.OK


def _number(flag: str, text: str | None) -> Outcome[int | None, Problem]:
    if text is None:
        return Success(None)
    number = decimal(text.encode("utf-8", "replace"))
    if number is None or not 1 <= number <= NUMBER_MAX:
        return Failure(BadArgument(flag, text, _A_NUMBER))
    return Success(number)


def _key(text: str) -> bytes | None:
    """The key that the text says, or that the file of that name does."""
    key = hex_bytes(text)
    if key is None:
        try:
            with Path(text).open("rb") as file:
                key = hex_bytes(file.read(4 * ED25519_KEY_BYTES).decode("ascii", "replace").strip())
        except (OSError, ValueError):
            return None
    return key if key is not None and len(key) == ED25519_KEY_BYTES else None
