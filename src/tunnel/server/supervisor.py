"""The supervisor: starts workers, owns their names, replaces those that die, and puts new ones in their place.

It passes no byte of anybody. Its process stays the same for as long as the server runs; a reload replaces the workers.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final, final

import anyio

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.cluster.errors import describe
from tunnel.core.cluster.messages import Message, WorkerId
from tunnel.core.directory.directory import Directory
from tunnel.drive import files
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.feed import FEED, feeding
from tunnel.observe.events import (
    Event,
    EventSink,
    FromWorker,
    NotReloaded,
    Reloaded,
    Reloading,
    ServerReady,
    SessionEnded,
    SessionOpened,
    ShuttingDown,
    Warned,
    WorkerEnded,
    WorkerStarted,
)
from tunnel.server.control import Answer, answering
from tunnel.server.crew import Crew
from tunnel.server.doors import Doors
from tunnel.server.end import ServerEnd, StateUnusable, WorkersUnable
from tunnel.server.gate import Gate
from tunnel.server.ledger import WORKER_GONE, keeping_books
from tunnel.server.merged_feed import MergedFeed, feed_of_worker
from tunnel.server.process import WorkerProcess
from tunnel.server.settings import ServerSettings, changed_fields
from tunnel.server.slots import Slots, open_slots

_RESPAWN_SECONDS: Final = 0.1
_STEADY_SECONDS: Final = 10.0
"""A worker that served for so long died of something else than its start."""
_LOOK_SECONDS: Final = 0.5
_ENTROPY_BYTES: Final = 16
_KILL_SECONDS: Final = 5.0
"""Beyond its grace period, before a worker that was asked to end is ended."""

Reread = Callable[[], Outcome[ServerSettings, str]]


@final
@dataclass(frozen=True, slots=True)
class Staff:
    """What to start workers with: the command, and how to read the configuration again."""

    command: list[str]
    reread: Reread


@final
class Supervisor:
    """All workers of one server. Finished once `end` has returned."""

    def __init__(self, settings: ServerSettings, staff: Staff, events: EventSink, slots: Slots) -> None:
        self._settings = settings
        self._staff: Final = staff
        self._events: Final = events
        self._clock: Final = SystemClock()
        self._entropy: Final = SystemEntropy()
        self._crew: Final = Crew(settings.limits, slots, staff.command, self._clock, self)
        self._sessions: Final[dict[int, tuple[WorkerId, float]]] = {}
        self._deaths: Final[list[WorkerProcess]] = []
        self._failures: Final[dict[int, int]] = {}
        self._is_ending = False
        self._reloading: Final = asyncio.Lock()
        self._ready: ServerReady | None = None
        self.gate: Final = Gate(settings.state, self, self._clock, events)
        self.feed: Final = MergedFeed(self.gate, self._feeds)

    # Getters.

    @property
    def workers(self) -> list[WorkerProcess]:
        """All that run, those that are to end included."""
        return self._crew.workers

    @property
    def session_count(self) -> int:
        """Agents' links at all workers."""
        return self._crew.registry.session_count()

    # Commands.

    async def start(self) -> Outcome[None, ServerEnd]:
        """Let the first workers serve; `ServerReady` says when."""
        self.gate.begin()
        self._crew.give_out(self._settings.tcp_ports)
        started = await self._crew.start_generation(self._settings)
        if not isinstance(started, Success):
            return Failure(WorkersUnable(error_of(started)))
        self._let_serve(value_of(started))
        while self._ready is None and self.workers:
            await self._crew.next_news()
        if self._ready is not None:
            self._events.emit(self._ready)
        self._tell_started(value_of(started))
        return Success(None)

    async def reload(self) -> Outcome[None, str]:
        """Put new workers in the place of the present ones, by what is on the disk now; else why all is as before."""
        async with self._reloading:
            self._events.emit(Reloading())
            done = await self._reload(monotonic())
            if not isinstance(done, Success):
                self._events.emit(NotReloaded(error_of(done)))
            return done

    async def _reload(self, begun: float) -> Outcome[None, str]:
        reread = self._staff.reread()
        if not isinstance(reread, Success):
            return reread
        settings = value_of(reread)
        moved = self._crew.slots.refusal(settings)
        if moved:
            return Failure(moved)
        before = [worker for worker in self.workers if not worker.is_expected_to_end]
        grace = self._settings.limits.grace_seconds
        started = await self._crew.start_generation(settings)
        if not isinstance(started, Success):
            return started
        changed = ", ".join(changed_fields(self._settings, settings))
        self._settings = settings
        self._crew.limits = settings.limits
        self._crew.give_out(settings.tcp_ports)
        self._let_serve(value_of(started))
        self._tell_started(value_of(started))
        for worker in before:
            worker.is_expected_to_end = True
            worker.ends_by = monotonic() + grace + _KILL_SECONDS
            self._crew.registry.retire(worker.number)
        self._crew.flush()
        self._events.emit(Reloaded(len(value_of(started)), monotonic() - begun, changed))
        return Success(None)

    async def reload_when(self, again: asyncio.Event) -> None:
        """Reload each time that `again` is set; what came of it is told as an event."""
        while True:
            await again.wait()
            again.clear()
            done = await self.reload()
            if not isinstance(done, Success):
                continue

    async def answer(self, command: str) -> Answer:
        """What the control socket is asked."""
        match command:
            case "reload":
                done = await self.reload()
                detail = "" if isinstance(done, Success) else error_of(done)
                return {"ok": isinstance(done, Success), "detail": detail, "workers": self._count()}
            case "status":
                workers = [
                    {"worker": each.number, "pid": each.pid, "ending": each.is_expected_to_end} for each in self.workers
                ]
                return {"ok": True, "pid": os.getpid(), "workers": workers, "agents": self.session_count}
            case "ping":
                return {"ok": True}
            case _:
                return {"ok": False, "detail": f"unknown command {command!r}"}

    def _count(self) -> int:
        return sum(not worker.is_expected_to_end for worker in self.workers)

    async def tend(self, stop: asyncio.Event) -> None:
        """Replace workers that die, and end those that hold up others, until `stop` is set."""
        async with anyio.create_task_group() as group:

            async def replace() -> None:
                while True:
                    while self._deaths:
                        group.start_soon(self._replace, self._deaths.pop(0))
                    await self._crew.next_news()

            group.start_soon(self._watch)
            group.start_soon(replace)
            await stop.wait()
            group.cancel_scope.cancel()

    async def end(self, *, at_once: bool = False) -> None:
        """End all workers, in order within their grace period unless `at_once`; no process is left."""
        self._is_ending = True
        if not at_once:
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch)
                await self._end_in_order(self._settings.limits.grace_seconds)
                group.cancel_scope.cancel()
        for worker in self.workers:
            worker.kill("it did not end in time")
        await self._crew.all_ended()
        self._crew.close()

    def warn(self, text: str) -> None:
        """Tell the operator."""
        self._events.emit(Warned(text))

    def _feeds(self) -> list[Path]:
        return [feed_of_worker(worker.path) for worker in self.workers]

    def learn(self, directory: Directory, now: Instant) -> None:
        """Decide by this directory from now on, and let all workers look at it."""
        self._crew.registry.learn(directory)
        self._crew.flush()

    # What workers do.

    def on_word(self, worker: WorkerProcess, message: Message) -> None:
        """A worker said something to the registry."""
        entropy = self._entropy.random_bytes(_ENTROPY_BYTES)
        taken = self._crew.registry.receive(worker.number, message, self._clock.now(), self._clock.unix(), entropy)
        if not isinstance(taken, Success):
            worker.kill(f"it sent {describe(error_of(taken))}")
        self._crew.flush()
        self._crew.news.set()

    def on_event(self, worker: WorkerProcess, event: Event) -> None:
        """A worker tells the operator something; what the server as a whole says is not for it to say."""
        match event:
            case ServerReady():
                self._ready = self._ready or event
                self._crew.news.set()
                return
            case ShuttingDown():
                return
            case SessionOpened(session=session):
                self._sessions[session] = (worker.number, monotonic())
            case SessionEnded(session=session):
                self._sessions.pop(session, None)
            case _:
                pass
        self._events.emit(FromWorker(worker.number, event))

    def on_ended(self, worker: WorkerProcess) -> None:
        """A worker process is gone."""
        self._crew.forget(worker)
        for session, (number, begun) in list(self._sessions.items()):
            if number == worker.number:
                del self._sessions[session]
                ended = SessionEnded(session, WORKER_GONE, monotonic() - begun)
                self._events.emit(FromWorker(number, ended))
        words = worker.last_words
        expected = worker.is_expected_to_end and not worker.charge
        self._events.emit(WorkerEnded(worker.number, worker.pid, worker.code, words, expected))
        if not worker.is_expected_to_end and not self._is_ending:
            self._deaths.append(worker)
        self._crew.news.set()

    # Helpers.

    async def _watch(self) -> None:
        """Look again and again whether a worker holds others up, or the directory changed."""
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            self._crew.look()
            self.gate.look_again()

    async def _end_in_order(self, grace_seconds: float) -> None:
        self._events.emit(ShuttingDown(grace_seconds))
        self._crew.registry.end()
        for worker in self.workers:
            worker.end()
        with anyio.move_on_after(grace_seconds + _KILL_SECONDS):
            await self._crew.all_ended()

    def _let_serve(self, workers: list[WorkerProcess]) -> None:
        for worker in workers:
            worker.is_expected_to_end = worker.ended.is_set()
            self._crew.registry.serve(worker.number)
        self._crew.flush()

    def _tell_started(self, workers: list[WorkerProcess]) -> None:
        for worker in workers:
            self._events.emit(WorkerStarted(worker.number, worker.pid))

    async def _replace(self, dead: WorkerProcess) -> None:
        """A worker for the slot of a dead one: at once the first time, after growing pauses when it goes on dying."""
        slot, limits = dead.slot, self._settings.limits
        if asyncio.get_running_loop().time() - dead.started_at >= _STEADY_SECONDS:
            self._failures.pop(slot, None)
        while slot < self._settings.workers and not self._is_ending:
            failures = self._failures.get(slot, 0)
            self._failures[slot] = failures + 1
            if failures:
                await anyio.sleep(min(_RESPAWN_SECONDS * (1 << min(failures, 16)), limits.respawn_seconds_max))
            async with self._reloading:
                if self._is_served(slot):
                    return
                started = await self._crew.start(slot, self._settings.workers)
                if isinstance(started, Success) and await self._crew.is_ready(value_of(started)):
                    self._let_serve([value_of(started)])
                    self._tell_started([value_of(started)])
                    return

    def _is_served(self, slot: int) -> bool:
        return any(worker.slot == slot and not worker.is_expected_to_end for worker in self.workers)


async def supervise(
    settings: ServerSettings,
    staff: Staff,
    events: EventSink,
    stop: asyncio.Event,
    again: asyncio.Event,
    given: Doors | None = None,
) -> Outcome[None, ServerEnd]:
    """Serve with several workers until `stop` is set; each `again` is a reload, as is `tunnel reload`.

    However it ends, no process of it is left.
    """
    made = files.make_directory(settings.state)
    if not isinstance(made, Success):
        return Failure(StateUnusable(str(settings.state), files.describe(error_of(made))))
    opened = await open_slots(settings, given)
    if not isinstance(opened, Success):
        return opened
    async with keeping_books(settings, events, speaks_for_all=True) as books:
        supervisor = Supervisor(settings, staff, books.events, value_of(opened))
        return await _supervise(settings, supervisor, stop, again)


async def _supervise(
    settings: ServerSettings, supervisor: Supervisor, stop: asyncio.Event, again: asyncio.Event
) -> Outcome[None, ServerEnd]:
    try:
        async with answering(settings.state, supervisor.answer) as answers:
            if not isinstance(answers, Success):
                return Failure(StateUnusable(str(settings.state), error_of(answers)))
            started = await supervisor.start()
            if not isinstance(started, Success):
                return started
            async with feeding(settings.state, FEED, supervisor.feed) as fed:
                if not isinstance(fed, Success):
                    supervisor.warn(f"nobody can ask this server anything: {error_of(fed)}")
                async with anyio.create_task_group() as group:
                    group.start_soon(supervisor.reload_when, again)
                    await supervisor.tend(stop)
                    group.cancel_scope.cancel()
                await supervisor.end()
        return Success(None)
    finally:
        with anyio.CancelScope(shield=True):
            await supervisor.end(at_once=True)
