"""What a real server notes: every request and connection once, every session and name, and nothing of it in the way."""

import asyncio
import errno
import os
from collections import Counter
from pathlib import Path
from typing import Final, final

import pytest
from tests.shell.test_raw_endpoints import calling, echo
from tests.support.journals import noted_in
from tests.support.ports import free_ports
from tests.support.shell_local import hello, serving
from tests.support.shell_visitor import fetched, get, visitor
from tests.support.shell_world import PATIENCE, Log, world

from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.journal.records import (
    AgentRefused,
    NameLost,
    NameTaken,
    Noted,
    RecordsDropped,
    ServerNote,
    ServerNoted,
    SessionBegan,
    SessionClosed,
    UsageNoted,
)
from tunnel.core.token.token import AccountId, EndpointKind
from tunnel.observe.events import (
    AgentReady,
    ConnectionDone,
    Event,
    FromWorker,
    LinkRefused,
    NotReloaded,
    Reloaded,
    SessionEnded,
    SessionOpened,
    Warned,
)
from tunnel.server.ledger import WORKER_GONE, Ledger
from tunnel.server.settings import changed_fields

pytestmark = pytest.mark.anyio

ONE: Final = AccountId(b"a" * 16)
OTHER: Final = AccountId(b"b" * 16)
CHANGED: Final = "limits.grace_seconds, workers"
LIMITS: Final = Limits(grace_seconds=5.0)


def usage_of(records: list[Noted]) -> Counter[tuple[AccountId, str, str]]:
    """All usage, summed by account, name and what is counted."""
    found = Counter[tuple[AccountId, str, str]]()
    for record in records:
        if isinstance(record, UsageNoted):
            key = (record.account, record.name)
            found.update({(*key, "requests"): record.requests, (*key, "connections"): record.connections})
            found.update({(*key, "up"): record.bytes_up, (*key, "down"): record.bytes_down})
    return +found


@pytest.mark.shows("JRNL-USAGE-001", "JRNL-USAGE-003", "JRNL-EVENT-001")
async def test_every_request_is_noted_once_for_whom_it_reached(tmp_path: Path) -> None:
    async with (
        world(tmp_path / "state", LIMITS, journal=True) as running,
        serving(hello) as service,
        running.agent(service.address, "one"),
        running.agent(service.address, "other", token=running.token(account=OTHER)),
    ):
        async with visitor(running) as client:
            for _ in range(5):
                await client.send(get(running, name="one"))
                assert (await client.answer()).status == 200
        for _ in range(3):
            assert (await fetched(running, name="other")).status == 200
        assert (await fetched(running, name="nobody")).status == 404
    records = noted_in(tmp_path / "state")
    counted = usage_of(records)
    assert {key: count for key, count in counted.items() if key[2] == "requests"} == {
        (ONE, "one", "requests"): 5,
        (OTHER, "other", "requests"): 3,
    }
    assert counted[ONE, "one", "down"] * 3 == counted[OTHER, "other", "down"] * 5 > 0
    assert [type(record) for record in records if isinstance(record, ServerNoted)] == [ServerNoted] * 2
    assert [record.kind for record in records if isinstance(record, ServerNoted)] == [ServerNote.START, ServerNote.STOP]
    began = [record for record in records if isinstance(record, SessionBegan)]
    closed = [record for record in records if isinstance(record, SessionClosed)]
    assert {record.account for record in began} == {ONE, OTHER}
    assert {(record.session, record.token, record.peer) for record in began} == {
        (record.session, record.token, record.peer) for record in closed
    }
    assert all(record.reason for record in closed)
    taken = {(record.name, record.account, record.epoch) for record in records if isinstance(record, NameTaken)}
    assert {name for name, _, _ in taken} == {"one", "other"}
    assert taken == {(record.name, record.account, record.epoch) for record in records if isinstance(record, NameLost)}


@pytest.mark.shows("JRNL-USAGE-001")
async def test_a_raw_connection_is_noted_once_with_its_bytes(tmp_path: Path) -> None:
    ports = free_ports(1)
    async with (
        world(tmp_path / "state", LIMITS, journal=True, tcp_ports=ports) as running,
        serving(echo) as service,
        running.agent(service.address, "raw", kind=EndpointKind.TCP, port=ports.low) as agent,
    ):
        url = (await agent.log.next(AgentReady)).url
        for number in range(2):
            async with calling(url) as client:
                await client.send(b"x" * 1000)
                assert len(await client.exactly(1000)) == 1000
                client.end()
                assert await client.to_the_end() == b""
            await running.log.next(ConnectionDone, number + 1)
    assert usage_of(noted_in(tmp_path / "state")) == {
        (ONE, "raw", "connections"): 2,
        (ONE, "raw", "up"): 2000,
        (ONE, "raw", "down"): 2000,
    }


@final
class HandClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1_795_305_600

    def now(self) -> Instant:
        """Seconds of it."""
        return Instant(float(self.seconds))

    def unix(self) -> UnixSeconds:
        """The same, whole."""
        return UnixSeconds(self.seconds)


@final
class NewIds:
    """Bytes of the system."""

    def random_bytes(self, count: int) -> bytes:
        """So many."""
        return os.urandom(count)


def ledger_in(state: Path, log: Log, limits: Limits = DEFAULT_LIMITS, *, speaks_for_all: bool = True) -> Ledger:
    loop = asyncio.get_running_loop()
    return Ledger(log, state, limits, HandClock(), NewIds(), loop, speaks_for_all=speaks_for_all)


@pytest.mark.shows("JRNL-EVENT-002")
async def test_a_scan_of_the_agents_port_is_a_handful_of_records(tmp_path: Path) -> None:
    log = Log()
    ledger = ledger_in(tmp_path, log)
    for number in range(10_000):
        ledger.emit(LinkRefused(f"192.0.2.1:{number}", f"code-{number % 40}", "a bad one"))
    assert len(log.all(LinkRefused)) == 10_000, "the operator's log has them all"
    await ledger.close()
    refused = [record for record in noted_in(tmp_path) if isinstance(record, AgentRefused)]
    assert len(refused) == len(noted_in(tmp_path)) == 17
    assert sum(record.count for record in refused) == 10_000
    assert {record.code: record.count for record in refused}["others"] == 24 * 250


@pytest.mark.shows("JRNL-EVENT-003")
async def test_a_supervisor_closes_the_sessions_of_a_worker_that_is_gone_and_no_others(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path, Log())
    for session in (1, 2, 3):
        ledger.emit(FromWorker(session, SessionOpened(session, ONE.hex(), "peer", "07" * 16)))
    ledger.emit(FromWorker(1, SessionEnded(1, "the agent left", 2.0)))
    ledger.emit(FromWorker(2, SessionEnded(2, WORKER_GONE, 7.9)))
    ledger.emit(FromWorker(2, SessionEnded(9, WORKER_GONE, 7.9)))
    await ledger.close()
    (closed,) = noted_in(tmp_path)
    assert isinstance(closed, SessionClosed)
    assert (closed.session, closed.account, closed.token, closed.seconds) == (2, ONE, bytes([7]) * 16, 7)


@pytest.mark.shows("JRNL-EVENT-001")
async def test_reloads_done_and_refused_and_what_they_changed_are_noted_by_one_process(tmp_path: Path) -> None:
    events: list[Event] = [
        Reloaded(2, 0.5, "limits.grace_seconds, workers"),
        Reloaded(2, 0.5),
        NotReloaded("the port is taken"),
    ]
    ledgers = [ledger_in(tmp_path, Log()), ledger_in(tmp_path, Log(), speaks_for_all=False)]
    for ledger in ledgers:
        for event in events:
            ledger.emit(event)
        await ledger.close()
    noted = [(record.kind, record.detail) for record in noted_in(tmp_path) if isinstance(record, ServerNoted)]
    assert noted == [
        (ServerNote.RELOAD, "2 workers"),
        (ServerNote.CONFIG, f"changed: {CHANGED}"),
        (ServerNote.RELOAD, "2 workers"),
        (ServerNote.RELOAD_FAILED, "the port is taken"),
    ]


def test_settings_that_differ_are_named_without_their_values() -> None:
    assert changed_fields(Limits(), Limits()) == []
    assert changed_fields(Limits(), Limits(grace_seconds=1.0, retries_max=9)) == ["grace_seconds", "retries_max"]
    before, after = Reloaded(1, 0.5), NotReloaded("other")
    assert changed_fields(before, after) == []
    nested = FromWorker(1, before), FromWorker(1, Reloaded(2, 0.5)), FromWorker(1, after)
    assert changed_fields(nested[0], nested[1]) == ["event.workers"]
    assert changed_fields(nested[0], nested[2]) == ["event"]


@pytest.mark.shows("JRNL-WRITE-006", "JRNL-USAGE-002", "JRNL-WRITE-003")
async def test_without_a_disk_usage_is_kept_and_events_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full for as long as it takes to fill the memory, then it is not."""
    monkeypatch.setattr("tunnel.drive.journal.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("tunnel.server.ledger.FLUSH_SECONDS", 0.02)
    real = os.fdatasync

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", full)
    log = Log()
    ledger = ledger_in(tmp_path, log, Limits(journal_memory_bytes_max=20_000))
    ledger.emit(SessionOpened(1, ONE.hex(), "peer", "07" * 16))
    assert "No space left" in (await log.next(Warned)).message
    for number in range(2, 5_000):
        ledger.emit(SessionOpened(number, ONE.hex(), "peer", "07" * 16))
        ledger.count_exchange(ONE, "web", 1, 2)
        ledger.count_connection(OTHER, f"raw-{number % 7}", 3, 4)
    assert len(log.all(Warned)) == 1, "said once, however often it is tried"
    monkeypatch.setattr(os, "fdatasync", real)
    assert "written again" in (await log.next(Warned, 2)).message
    ledger.emit(NotReloaded("said when there is room again"))
    async with asyncio.timeout(PATIENCE):
        while True:
            if any(isinstance(record, RecordsDropped) for record in noted_in(tmp_path)):
                break
            await asyncio.sleep(0.01)
    await ledger.close()
    records = noted_in(tmp_path)
    counted = usage_of(records)
    assert counted[ONE, "web", "requests"] == 4_998
    assert (
        sum(count for (account, _, what), count in counted.items() if (account, what) == (OTHER, "down")) == 4 * 4_998
    )
    began = sum(isinstance(record, SessionBegan) for record in records)
    dropped = sum(record.count for record in records if isinstance(record, RecordsDropped))
    assert began + dropped == 4_999
    assert 100 < began < 400, "as many as 20,000 bytes hold"
    assert len(log.all(Warned)) == 2


@pytest.mark.shows("JRNL-WRITE-005")
async def test_what_cannot_be_written_at_the_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("in the way", encoding="utf-8")
    log = Log()
    ledger = ledger_in(tmp_path, log)
    ledger.count_exchange(ONE, "web", 1, 2)
    ledger.emit(NotReloaded("why not"))
    async with asyncio.timeout(PATIENCE):
        await ledger.close()
    assert log.all(Warned)[-1].message.startswith("2 records of usage and events are lost")
    assert ledger.acknowledged == 0


@pytest.mark.shows("JRNL-WRITE-003")
async def test_visitors_are_served_while_the_journal_has_no_disk(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "journal").write_text("in the way", encoding="utf-8")
    async with (
        world(state, LIMITS, journal=True) as running,
        serving(hello) as service,
        running.agent(service.address, "demo"),
    ):
        await running.log.next(Warned)
        for _ in range(3):
            assert (await fetched(running)).status == 200
        (state / "journal").unlink()
    assert usage_of(noted_in(state))[ONE, "demo", "requests"] == 3
