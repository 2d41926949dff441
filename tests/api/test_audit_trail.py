"""The audit trail from the database to the verifier: checkpoints, what the state directory keeps of them, and exports.

The database is a real one; whoever tampers with it does so with SQL, past our code and its triggers. Exports are made
by the command and looked at by the command, in files.
"""

import dataclasses
import os
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from tests.support.audit_export import dice_of, some_facts

from tunnel.api import checkpoints, keeper, witness
from tunnel.api.auditing import open_export, signed_up_to_now
from tunnel.api.board import Board
from tunnel.api.feeding import NoFeed
from tunnel.api.keeper import Keeper, open_keeper
from tunnel.api.plane import Plane
from tunnel.api.settings import ControlSettings
from tunnel.cli.main import run
from tunnel.core.audit.checkpoint import Checkpoint
from tunnel.core.audit.entry import ChainHead, next_entry
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.files import TooOpen
from tunnel.drive.keys import Damaged
from tunnel.observe.events import Event, EventSink, Warned
from tunnel.store.open import open_store
from tunnel.store.port import Store

NOW: Final = UnixSeconds(1_795_370_000)
LATER: Final = UnixSeconds(NOW + keeper.SECONDS_BETWEEN)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("", tmp_path, NOW)
    assert isinstance(opened, Success)
    yield value_of(opened)
    await value_of(opened).close()


async def add(store: Store, count: int) -> None:
    dice = dice_of(count)
    for _ in range(count):
        assert isinstance(await store.note_audit(some_facts(dice)), Success)


async def opened(store: Store, state: Path) -> Keeper:
    made = await open_keeper(store, state)
    assert isinstance(made, Success), made
    return value_of(made)


async def signed(keeping: Keeper, now: UnixSeconds, *, at_once: bool = False) -> Checkpoint | None:
    followed = await keeping.follow(now, at_once=at_once)
    assert isinstance(followed, Success), followed
    return value_of(followed)


def tamper(state: Path, *statements: str, cells: tuple[object, ...] = ()) -> None:
    """What somebody with the database file does."""
    database = sqlite3.connect(state / "control.db")
    for trigger in ("audit_is_never_changed", "audit_is_never_shortened"):
        database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    for statement in statements:
        database.execute(statement, cells)
    database.commit()
    database.close()


async def command(*arguments: str | Path) -> int:
    """The exit code of a command, which has an event loop of its own."""
    return await anyio.to_thread.run_sync(lambda: run(["audit", *map(str, arguments)], {}))


async def export(state: Path, *flags: str) -> Path:
    """What the command writes out."""
    out = state / "export.jsonl"
    assert await command("export", "--state", state, "--out", out, *flags) == 0
    return out


@pytest.mark.shows("AUDIT-POINT-003")
async def test_a_checkpoint_is_due_after_entries_or_after_a_while(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "ENTRIES_BETWEEN", 4)
    monkeypatch.setattr(keeper, "BLOCK", 3)
    keeping = await opened(store, tmp_path)
    assert await signed(keeping, NOW) is None
    await add(store, 1)
    first = await signed(keeping, NOW)
    assert first is not None
    assert (first.number, first.before) == (1, 0)
    await add(store, 3)
    assert await signed(keeping, NOW) is None
    await add(store, 1)
    second = await signed(keeping, NOW)
    assert second is not None
    assert (second.number, second.before) == (5, 1)
    assert await signed(keeping, LATER) is None
    await add(store, 1)
    assert await signed(keeping, UnixSeconds(LATER - 1)) is None
    third = await signed(keeping, LATER)
    assert third is not None
    assert (third.number, third.at) == (6, LATER)
    await add(store, 1)
    assert await signed(keeping, LATER, at_once=True) is not None
    assert value_of_checkpoints(await store.checkpoints(1, 9, 9)) == [1, 5, 6, 7]


def value_of_checkpoints(told: object) -> list[int]:
    assert isinstance(told, Success)
    return [point.number for point in told.unwrap()]


@pytest.mark.shows("AUDIT-POINT-004")
async def test_the_last_checkpoint_and_the_key_are_kept_apart_from_the_database(store: Store, tmp_path: Path) -> None:
    await add(store, 2)
    point = await signed(await opened(store, tmp_path), NOW)
    assert witness.kept_checkpoint(tmp_path) == Success(point)
    key = witness.audit_key(tmp_path)
    assert isinstance(key, Success)
    assert point is not None
    assert point.key == value_of(key).public
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("audit.key", "audit.checkpoint", "audit.pub")}
    assert modes == {"audit.key": 0o600, "audit.checkpoint": 0o600, "audit.pub": 0o644}
    assert value_of(key).private.hex() not in repr(key)


@pytest.mark.shows("AUDIT-POINT-004")
def test_files_that_are_not_ours_are_said_and_left_alone(tmp_path: Path) -> None:
    key = tmp_path / "audit.key"
    assert isinstance(witness.audit_key(tmp_path), Success)
    (tmp_path / "audit.pub").write_text("00" * 32)
    assert error_of_key(tmp_path) == Damaged(tmp_path / "audit.pub", "it is not the public key of audit.key")
    key.write_text("no key")
    assert error_of_key(tmp_path) == Damaged(key, "it is not an Ed25519 private key in PEM")
    key.chmod(0o644)
    assert isinstance(error_of_key(tmp_path), TooOpen)
    kept = tmp_path / "audit.checkpoint"
    kept.write_text("{}\n")
    kept.chmod(0o600)
    held = witness.kept_checkpoint(tmp_path)
    assert not isinstance(held, Success)
    assert "restore it from a backup" in witness.describe(error_of(held))


def error_of_key(state: Path) -> object:
    made = witness.audit_key(state)
    assert not isinstance(made, Success)
    return error_of(made)


@pytest.mark.shows("AUDIT-POINT-005")
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM audit WHERE number > 4", "the entries 5 to 6 are gone"),
        ("UPDATE audit SET digest = zeroblob(32) WHERE number = 6", "entry 6, or one before it, is not what it was"),
        ("DELETE FROM audit WHERE number = 8", "entry 9 does not follow from entry 7"),
        ("UPDATE audit SET action = 'nothing' WHERE number = 8", "entry 8 does not follow from entry 7"),
        ("UPDATE audit SET previous = zeroblob(32) WHERE number = 8", "entry 8 does not follow from entry 7"),
    ],
)
async def test_nothing_is_signed_once_the_trail_is_not_what_it_was(
    store: Store, tmp_path: Path, statement: str, said: str
) -> None:
    await add(store, 6)
    assert await signed(await opened(store, tmp_path), NOW) is not None
    await add(store, 3)
    tamper(tmp_path, statement)
    again = await opened(store, tmp_path)
    followed = await again.follow(LATER, at_once=True)
    assert not isinstance(followed, Success)
    assert said in error_of(followed)
    assert again.trouble == error_of(followed)
    # It stays so: a later signature would make the change good.
    assert await again.follow(LATER, at_once=True) == followed
    assert value_of_checkpoints(await store.checkpoints(1, 99, 9)) == [6]


@pytest.mark.shows("AUDIT-POINT-006")
async def test_two_that_sign_the_same_database_make_one_line_of_checkpoints(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    await add(store, 2)
    one, two = await opened(store, tmp_path), await opened(store, other)
    assert await signed(one, NOW) is not None
    assert await signed(two, NOW) is None
    await add(store, 1)
    assert await signed(two, LATER) is not None
    assert await signed(one, LATER) is None
    keys = [(tmp_path / "audit.pub"), (other / "audit.pub")]
    out = await export(tmp_path, "--database", f"sqlite:{tmp_path / 'control.db'}")
    both = [flag for key in keys for flag in ("--key", str(key))]
    assert await command("verify", out, *both) == 0
    assert await command("verify", out, *both[:2]) == 8


@pytest.mark.shows("AUDIT-CLI-001", "AUDIT-CLI-002")
async def test_an_export_is_verified_with_the_key_that_the_other_command_shows(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await add(store, 7)
    out = await export(tmp_path)
    assert out.stat().st_mode & 0o777 == 0o600
    capsys.readouterr()
    assert await command("key", "--state", tmp_path) == 0
    key = capsys.readouterr().out.strip()
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert await command("verify", out, "--key", key) == 0
    words = capsys.readouterr().out
    assert "7, the last is 7" in words
    assert "vouches for all up to entry 7" in words
    assert "the one that the file names" not in words
    assert await command("verify", out) == 0
    assert "the one that the file names" in capsys.readouterr().out
    assert await command("verify", out, "--key", "00" * 32) == 8
    assert "not one of those given with --key" in capsys.readouterr().out


@pytest.mark.shows("AUDIT-CLI-001")
async def test_a_part_is_an_export_too(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "BLOCK", 2)
    monkeypatch.setattr("tunnel.api.auditing.BLOCK", 2)
    await add(store, 4)
    assert isinstance(await signed_up_to_now(store, tmp_path, NOW), Success)
    await add(store, 5)
    for first, last in ((1, 9), (3, 6), (5, 5), (9, 9), (4, 4), (8, 99), (12, 15)):
        out = await export(tmp_path, "--from", str(first), "--to", str(last))
        assert await command("verify", out) == 0, out.read_text()
        entries = re.findall(r'"number":(\d+)', out.read_text())
        assert [int(entry) for entry in entries] == list(range(first, min(last, 9) + 1))


@pytest.mark.shows("AUDIT-VERIFY-004", "AUDIT-CLI-003")
async def test_a_database_that_was_cut_back_is_found_by_what_the_state_directory_keeps(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await add(store, 6)
    assert await signed(await opened(store, tmp_path), NOW) is not None
    tamper(tmp_path, "DELETE FROM audit WHERE number > 4", "DELETE FROM checkpoints")
    out = await export(tmp_path)
    assert "tampered with: the entries 5 to 6 are gone" in capsys.readouterr().err
    assert await command("verify", out) == 8
    assert "line 6: entries 5 to 6 are missing" in capsys.readouterr().out


@pytest.mark.shows("AUDIT-VERIFY-003")
async def test_a_rewritten_chain_is_found_between_two_checkpoints(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await add(store, 3)
    keeping = await opened(store, tmp_path)
    assert await signed(keeping, NOW) is not None
    await add(store, 3)
    assert await signed(keeping, NOW, at_once=True) is not None
    told = await store.audit_range(5, 6, 9)
    assert isinstance(told, Success)
    fifth, sixth = value_of(told)
    forged = next_entry(ChainHead(4, fifth.previous), dataclasses.replace(fifth.facts, subject="somebody else"))
    after = next_entry(forged.head, sixth.facts)
    row = "UPDATE audit SET subject = ?, previous = ?, digest = ? WHERE number = ?"
    for entry in (forged, after):
        tamper(tmp_path, row, cells=(entry.facts.subject, entry.previous, entry.digest, entry.number))
    out = await export(tmp_path)
    capsys.readouterr()
    assert await command("verify", out) == 8
    assert "entries between 4 and 6 were rewritten" in capsys.readouterr().out


@pytest.mark.shows("AUDIT-VERIFY-003", "AUDIT-CLI-003")
async def test_a_chain_that_was_rewritten_whole_without_its_checkpoints_is_found_by_the_one_that_is_kept(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await add(store, 6)
    assert await signed(await opened(store, tmp_path), NOW) is not None
    told = await store.audit_range(5, 6, 9)
    assert isinstance(told, Success)
    fifth, sixth = value_of(told)
    forged = next_entry(ChainHead(4, fifth.previous), dataclasses.replace(fifth.facts, subject="somebody else"))
    after = next_entry(forged.head, sixth.facts)
    row = "UPDATE audit SET subject = ?, previous = ?, digest = ? WHERE number = ?"
    for entry in (forged, after):
        tamper(tmp_path, row, cells=(entry.facts.subject, entry.previous, entry.digest, entry.number))
    tamper(tmp_path, "DELETE FROM checkpoints")
    out = await export(tmp_path)
    capsys.readouterr()
    assert await command("verify", out) == 8
    assert "entries between 1 and 6 were rewritten" in capsys.readouterr().out


@pytest.mark.shows("AUDIT-CLI-003")
async def test_a_database_that_goes_away_leaves_an_export_without_a_seal(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.api.auditing.BLOCK", 2)
    await add(store, 5)
    begun = await open_export(store, tmp_path, NOW)
    assert isinstance(begun, Success)
    blocks = value_of(begun)[0].blocks(1, None, NOW)
    seen = [await anext(blocks), await anext(blocks)]
    tamper(tmp_path, "ALTER TABLE audit RENAME TO elsewhere")
    seen += [block async for block in blocks]
    assert [isinstance(block, Success) for block in seen] == [True, True, False]
    written = tmp_path / "half"
    written.write_bytes(b"".join(value_of(block) for block in seen if isinstance(block, Success)))
    assert await command("verify", written) == 8


@pytest.mark.shows("AUDIT-CLI-001", "AUDIT-CLI-002")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "--state", "{}", "--from", "0"], "--from: '0' is not the number of an entry"),
        (["export", "--state", "{}", "--to", "x"], "--to: 'x' is not the number of an entry"),
        (["export", "--state", "{}", "--out", "{}"], "cannot write"),
        (["export", "--state", "{}/audit.txt"], "there is no database in"),
        (["export", "--state", "{}", "--database", "mysql://x"], "--database"),
        (["key", "--state", "{}/audit.txt"], "cannot make the directory"),
        (["verify", "{}/nothing"], "cannot read"),
        (["verify", "a\0b"], "cannot read"),
        (["verify", "-", "--key", "xyz"], "--key: 'xyz' is not 64 hexadecimal digits"),
        (["verify", "-", "--key", "{}"], "is not 64 hexadecimal digits"),
    ],
)
async def test_what_cannot_be_done_is_said(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit.txt").write_text("")
    (tmp_path / "control.db").touch()
    assert await command(*[argument.replace("{}", str(tmp_path)) for argument in arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.shows("AUDIT-CLI-002")
async def test_standard_input_is_read(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(store, 2)
    out = await export(tmp_path)
    descriptor = os.open(out, os.O_RDONLY)
    with os.fdopen(descriptor) as opened_file:
        monkeypatch.setattr("sys.stdin", opened_file)
        assert await command("verify", "-") == 0


class Told:
    """Events, as they come."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep one."""
        self.events.append(event)


def plane_of(store: Store, state: Path, events: EventSink) -> Plane:
    return Plane(store, state, SystemClock(), SystemEntropy(), NoFeed(), ControlSettings(state), Board(), events)


@pytest.mark.shows("AUDIT-POINT-003", "AUDIT-POINT-005")
async def test_the_service_signs_and_says_how_the_trail_stands(store: Store, tmp_path: Path) -> None:
    told = Told()
    plane = plane_of(store, tmp_path, told)
    keeping = await opened(store, tmp_path)
    await add(store, 2)
    await checkpoints.take_round(plane, keeping)
    (standing,) = plane.board.standings()
    assert (standing.is_ready, standing.detail) == (True, "2 entries followed, signed up to 2")
    tamper(tmp_path, "DELETE FROM audit WHERE number = 2")
    await checkpoints.take_round(plane, keeping)
    (standing,) = plane.board.standings()
    assert not standing.is_ready
    assert "entries 2 to 2 are gone" in standing.detail


@pytest.mark.shows("AUDIT-POINT-005")
async def test_trouble_is_told_once_and_a_damaged_file_ends_the_service(store: Store, tmp_path: Path) -> None:
    told = Told()
    plane = plane_of(store, tmp_path, told)
    await add(store, 2)
    assert await signed(await opened(store, tmp_path), NOW) is not None
    tamper(tmp_path, "DELETE FROM audit WHERE number = 2")
    async with anyio.create_task_group() as group:
        group.start_soon(checkpoints.run, plane)
        with anyio.fail_after(30):
            while not told.events:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    (warned,) = told.events
    assert isinstance(warned, Warned)
    assert "tampered with" in warned.message
    (tmp_path / "audit.checkpoint").write_text("nothing of ours")
    await checkpoints.run(plane)
    assert plane.board.standings()[0].detail.endswith("restore it from a backup")
