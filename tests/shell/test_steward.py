"""The control process as its server sees it: begun with the server, begun again whatever becomes of it, ended with it.

The child is a few lines of Python that do what is told; that the real one fits in is shown in tests/api.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tunnel.cli.policies import blocks_among
from tunnel.drive.address import Address
from tunnel.observe.events import ControlEnded, ControlReady, Event, EventSink, Reloaded, ServerReady
from tunnel.server.settings import ControlChoice
from tunnel.server.steward import CONTROL_VARIABLE, ControlMandate, attended, mandate_of, mandate_text

READY: Final = ServerReady("http://NAME.x/", "127.0.0.1:1", "127.0.0.1:2")
AT: Final = Address("127.0.0.1", 0)
TELL: Final = (
    "import json, os, sys, time\nprint(json.dumps(['ControlReady', {'url': f'http://{os.getpid()}/'}]), flush=True)\n"
)
PATIENT: Final = TELL + "sys.stdin.read()\n"
DEAF: Final = TELL + "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsys.stdin.read(); time.sleep(60)\n"
WAIT_SECONDS: Final = 30.0

pytestmark = pytest.mark.anyio


class Log:
    """Events, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def emit(self, event: Event) -> None:
        """Keep one event."""
        self.events.append(event)
        self._news.set()

    async def one(self, kind: type[Event]) -> None:
        """Wait for an event of this kind."""
        await self._until(lambda: any(isinstance(each, kind) for each in self.events))

    async def pids(self, count: int) -> list[int]:
        """The process of each control process that said it is ready, once there are so many."""
        await self._until(lambda: len(self._pids()) >= count)
        return self._pids()

    def _pids(self) -> list[int]:
        return [int(each.url.split("/")[2]) for each in self.events if isinstance(each, ControlReady)]

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                self._news.clear()
                await self._news.wait()


def choice(program: str, silence: float = 60.0) -> ControlChoice:
    return ControlChoice(AT, "", (sys.executable, "-c", program), silence)


async def is_gone(pid: int) -> bool:
    """Whether a process that we started has ended, within a generous time; it is reaped by who started it."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.shows("API-PROC-001")
async def test_it_begins_once_the_server_serves_and_ends_with_it(tmp_path: Path) -> None:
    log = Log()

    async def work(events: EventSink) -> str:
        assert log.events == []
        events.emit(READY)
        (pid,) = await log.pids(1)
        os.kill(pid, 0)
        return "done"

    assert await attended(work, choice(PATIENT), tmp_path, log) == "done"
    assert log.events[0] == READY
    assert await is_gone((await log.pids(1))[0])
    assert not any(isinstance(each, ControlEnded) for each in log.events)


@pytest.mark.shows("API-PROC-001")
async def test_a_server_that_never_serves_starts_none(tmp_path: Path) -> None:
    log = Log()

    async def work(_: EventSink) -> str:
        return "cannot listen"

    assert await attended(work, choice(PATIENT), tmp_path, log) == "cannot listen"
    assert log.events == []


@pytest.mark.shows("API-PROC-002")
async def test_one_that_is_killed_is_begun_again(tmp_path: Path) -> None:
    log = Log()

    async def work(events: EventSink) -> None:
        events.emit(READY)
        (first,) = await log.pids(1)
        os.kill(first, signal.SIGKILL)
        _, second = await log.pids(2)
        assert second != first

    await attended(work, choice(PATIENT), tmp_path, log)
    assert ControlEnded(-9, "", 0.5) in log.events


@pytest.mark.shows("API-PROC-004")
async def test_a_reload_puts_another_in_its_place_by_the_choice_of_then(tmp_path: Path) -> None:
    log, now = Log(), choice(PATIENT.replace("getpid()}/", "getpid()}/renewed"))

    async def work(events: EventSink) -> None:
        events.emit(READY)
        await log.pids(1)
        events.emit(Reloaded(1, 0.1, ""))
        first, second = await log.pids(2)
        assert await is_gone(first)
        os.kill(second, 0)
        assert [each.url.endswith("/renewed") for each in log.events if isinstance(each, ControlReady)] == [False, True]

    await attended(work, choice(PATIENT), tmp_path, log, lambda: now)
    assert not any(isinstance(each, ControlEnded) for each in log.events)
    assert await is_gone((await log.pids(2))[1])


@pytest.mark.shows("API-PROC-004")
async def test_a_reload_ends_one_that_does_not_end_when_asked_and_waits_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.server.steward._END_SECONDS", 0.3)
    log = Log()

    async def work(events: EventSink) -> None:
        events.emit(READY)
        await log.pids(1)
        events.emit(Reloaded(1, 0.1, ""))
        await log.pids(2)

    await attended(work, choice(DEAF), tmp_path, log)
    assert not any(isinstance(each, ControlEnded) for each in log.events)


@pytest.mark.shows("API-PROC-002")
async def test_its_last_words_are_told(tmp_path: Path) -> None:
    log = Log()

    async def work(events: EventSink) -> None:
        events.emit(READY)
        await log.pids(2)

    await attended(work, choice(TELL + "sys.exit('no such thing')"), tmp_path, log)
    assert ControlEnded(1, "no such thing", 0.5) in log.events


@pytest.mark.shows("API-PROC-002")
async def test_one_that_hangs_is_ended_and_begun_again(tmp_path: Path) -> None:
    log = Log()

    async def work(events: EventSink) -> None:
        events.emit(READY)
        await log.pids(2)

    await attended(work, choice(PATIENT, silence=0.5), tmp_path, log)
    assert any(isinstance(each, ControlEnded) and "said nothing" in each.words for each in log.events)


@pytest.mark.shows("API-PROC-001")
async def test_one_that_does_not_end_when_asked_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.server.steward._END_SECONDS", 0.3)
    log = Log()

    async def work(events: EventSink) -> None:
        events.emit(READY)
        await log.pids(1)

    await attended(work, choice(DEAF), tmp_path, log)
    assert await is_gone((await log.pids(1))[0])


@pytest.mark.shows("API-PROC-002")
async def test_a_program_that_is_not_there_costs_the_server_nothing(tmp_path: Path) -> None:
    log = Log()

    async def work(events: EventSink) -> str:
        events.emit(READY)
        await log.one(ControlEnded)
        return "served on"

    nowhere = ControlChoice(AT, "", (str(tmp_path / "nothing"),))
    assert await attended(work, nowhere, tmp_path, log) == "served on"


@pytest.mark.shows("API-PROC-003")
async def test_the_database_is_told_in_the_environment_alone(tmp_path: Path) -> None:
    log = Log()
    url = "postgresql://u:secret@h/d"
    program = (
        "import os, json\n"
        f"told = json.loads(os.environ['{CONTROL_VARIABLE}'])['database']\n"
        "assert told.startswith('postgresql:') and told not in open('/proc/self/cmdline').read()\n" + PATIENT
    )

    async def work(events: EventSink) -> None:
        events.emit(READY)
        await log.pids(1)

    made = ControlChoice(AT, url, (sys.executable, "-c", program))
    assert "secret" not in repr(made)
    await attended(work, made, tmp_path, log)


def test_a_mandate_is_read_back_and_nothing_else_is() -> None:
    proxies = blocks_among(("10.0.0.0/8", "::1"))[0]
    mandate = ControlMandate(Path("/s"), "127.0.0.1:0", "sqlite:x", proxies)
    assert mandate_of(mandate_text(mandate)) == mandate
    strange = {"state": "/s", "api": "127.0.0.1:0", "database": "", "proxies": ["10.0.0.0/33"]}
    for wrong in ("", "[]", "{}", "3", json.dumps({"state": "x"}), json.dumps(strange)):
        assert mandate_of(wrong) is None
