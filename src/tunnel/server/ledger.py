"""What this process has to say to the store: usage, and the events that an audit trail wants, into its journal.

It stands in front of the sink of the server's events and passes each on. Nothing here waits: what the disk does not
take stays in memory, usage as sums and without loss, events up to a bound and counted beyond it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import anyio

from tunnel import __version__
from tunnel.core.base.ids import Epoch, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.journal.book import UsageBook
from tunnel.core.journal.records import (
    JOURNAL_ID_BYTES,
    AgentRefused,
    JournalId,
    NameLost,
    NameTaken,
    Noted,
    RecordsDropped,
    ServerNote,
    ServerNoted,
    SessionBegan,
    SessionClosed,
)
from tunnel.core.token.token import AccountId, TokenId
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.guard import guarded
from tunnel.drive.journal import JournalWriter
from tunnel.drive.segments import JOURNALS, SegmentError, SegmentWriter, Stored, describe
from tunnel.observe.events import (
    Event,
    EventSink,
    FromWorker,
    LinkRefused,
    NameGranted,
    NameReleased,
    NotReloaded,
    Reloaded,
    ServerReady,
    SessionEnded,
    SessionOpened,
    ShuttingDown,
    Warned,
)
from tunnel.ports import Clock, Entropy
from tunnel.server.counting import NobodyCounts, UsageCounter
from tunnel.server.settings import ServerSettings

FLUSH_SECONDS: Final = 1.0
"""Between two notes of usage; what a crash of the process may cost."""
SPARING_FLUSHES: Final = 10
"""While the journals are more than half full, usage is noted only every so many times."""
REFUSALS_MAX: Final = 16
"""Kinds of refusals noted in one second, each as one record with its count: a scan must not fill the journal."""
_RECORD_BYTES: Final = 600
"""More than any record has, framed."""
_USAGE_BYTES: Final = 160
"""More than a record of usage has, framed."""
_OTHERS: Final = "others"
WORKER_GONE: Final = "its worker is gone"
"""The reason for the end of a session that its worker did not live to tell."""


@final
class _Agent:
    """Who a session belongs to."""

    def __init__(self, account: AccountId, token: TokenId, peer: str) -> None:
        self.account: Final = account
        self.token: Final = token
        self.peer: Final = peer


@final
class Ledger:
    """One per process that has something to note. Finished when `close` has returned.

    `speaks_for_all` is said by the one process that starts and stops with the server as a whole.
    """

    def __init__(
        self,
        events: EventSink,
        state: Path,
        limits: Limits,
        clock: Clock,
        entropy: Entropy,
        loop: asyncio.AbstractEventLoop,
        *,
        speaks_for_all: bool,
    ) -> None:
        self._events: Final = events
        self._clock: Final = clock
        self._loop: Final = loop
        self._speaks_for_all: Final = speaks_for_all
        self.journal: Final = JournalId(entropy.random_bytes(JOURNAL_ID_BYTES))
        segments = SegmentWriter(state / JOURNALS, self.journal, limits.journal_bytes_max)
        self._writer: Final = JournalWriter(segments, self.journal, limits.journal_memory_bytes_max, self, loop)
        self._book: Final = UsageBook(clock.unix())
        self._agents: Final[dict[int, _Agent]] = {}
        self._refusals: Final[dict[str, AgentRefused]] = {}
        self._dropped = 0
        self._dropped_since = UnixSeconds(0)
        self._trouble: SegmentError | None = None
        self._is_sparing = False
        self._flushes = 0
        self._timer: asyncio.TimerHandle = loop.call_later(FLUSH_SECONDS, self._on_tick)

    # Getters.

    @property
    def acknowledged(self) -> int:
        """The number of the last record that is on the disk."""
        return self._writer.acknowledged

    # What is counted.

    def count_exchange(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """One exchange has reached its end."""
        self._book.count_exchange(account, name, bytes_up, bytes_down)

    def count_connection(self, account: AccountId, name: str, bytes_up: int, bytes_down: int) -> None:
        """One raw connection has reached its end."""
        self._book.count_connection(account, name, bytes_up, bytes_down)

    # What happens.

    def emit(self, event: Event) -> None:
        """Pass an event on, and note what the store should know of it."""
        self._events.emit(event)
        match event:
            case SessionOpened():
                self._on_opened(event)
            case SessionEnded():
                self._on_ended(event)
            case NameGranted() | NameReleased():
                self._on_name(event)
            case LinkRefused():
                self._on_refused(event)
            case FromWorker(event=inner):
                self._on_told(inner)
            case ServerReady() | ShuttingDown() | Reloaded() | NotReloaded():
                if self._speaks_for_all:
                    self._on_server(event)
            case _:
                pass

    def on_journal_failed(self, error: SegmentError) -> None:
        """Say so once for each kind of trouble."""
        if type(error) is not type(self._trouble):
            self._events.emit(Warned(describe(error)))
        self._trouble = error

    def on_journal_written(self, stored: Stored) -> None:
        """Say that trouble is over, and be sparing while room is short."""
        if self._trouble is not None:
            self._trouble = None
            self._events.emit(Warned("the journal is written again; usage is complete"))
        self._is_sparing = stored.held * 2 > stored.limit

    def abort_session(self) -> None:
        """Note nothing more after an escape."""
        self._timer.cancel()

    async def close(self) -> None:
        """Note what is left and have it written; what cannot be is told."""
        self._timer.cancel()
        self._flush_refusals()
        self._flush_dropped()
        for row in self._book.take():
            self._writer.append(row)
        await self._writer.close()
        if self._writer.unacknowledged:
            lost = f"{self._writer.unacknowledged} records of usage and events are lost: they could not be written"
            self._events.emit(Warned(lost))

    # Helpers.

    @guarded
    def _on_tick(self) -> None:
        self._timer = self._loop.call_later(FLUSH_SECONDS, self._on_tick)
        self._book.on_time(self._clock.unix())
        self._flushes += 1
        self._flush_refusals()
        self._flush_dropped()
        if not self._is_sparing or self._flushes % SPARING_FLUSHES == 0:
            self._flush_usage()

    def _flush_usage(self) -> None:
        """Note usage while it will be written; in memory it is one row a name, however long that takes."""
        if self._book.row_count and not self._writer.is_failing:
            for row in self._book.take(self._writer.memory_left // _USAGE_BYTES):
                self._writer.append(row)

    def _flush_refusals(self) -> None:
        for refused in self._refusals.values():
            self._note(refused)
        self._refusals.clear()

    def _flush_dropped(self) -> None:
        if self._dropped and self._writer.memory_left > _RECORD_BYTES:
            self._writer.append(RecordsDropped(self._dropped, self._dropped_since, self._clock.unix()))
            self._dropped = 0

    def _note(self, record: Noted) -> None:
        """Append an event, or count it as left out."""
        if self._writer.memory_left > _RECORD_BYTES:
            self._writer.append(record)
            return
        if not self._dropped:
            self._dropped_since = self._clock.unix()
        self._dropped += 1

    def _on_opened(self, event: SessionOpened) -> None:
        agent = _agent_of(event)
        self._agents[event.session] = agent
        began = SessionBegan(SessionId(event.session), agent.account, agent.token, agent.peer, self._clock.unix())
        self._note(began)

    def _on_ended(self, event: SessionEnded) -> None:
        agent = self._agents.pop(event.session, None)
        if agent is not None:
            who = SessionId(event.session), agent.account, agent.token, agent.peer
            self._flush_usage()
            self._note(SessionClosed(*who, event.reason, int(event.seconds), self._clock.unix()))

    def _on_name(self, event: NameGranted | NameReleased) -> None:
        agent = self._agents.get(event.session)
        if agent is None:
            return
        now = self._clock.unix()
        name, session, epoch = Label(event.name), SessionId(event.session), Epoch(event.epoch)
        if isinstance(event, NameGranted):
            self._note(NameTaken(name, agent.account, session, epoch, agent.peer, now))
        else:
            self._note(NameLost(name, agent.account, session, epoch, now))

    def _on_refused(self, event: LinkRefused) -> None:
        kind = event.code if event.code in self._refusals or len(self._refusals) < REFUSALS_MAX else _OTHERS
        before = self._refusals.get(kind)
        count = 1 if before is None else before.count + 1
        self._refusals[kind] = AgentRefused(event.peer, kind, event.detail, count, self._clock.unix())

    def _on_told(self, event: Event) -> None:
        """What a worker notes by itself it does not need us for; that it is gone, it cannot say."""
        if isinstance(event, SessionOpened):
            self._agents[event.session] = _agent_of(event)
        elif isinstance(event, SessionEnded) and event.reason == WORKER_GONE:
            self._on_ended(event)
        elif isinstance(event, SessionEnded):
            self._agents.pop(event.session, None)

    def _on_server(self, event: ServerReady | ShuttingDown | Reloaded | NotReloaded) -> None:
        now = self._clock.unix()
        match event:
            case ServerReady():
                self._note(ServerNoted(ServerNote.START, f"tunnel {__version__} at {event.url_pattern}", now))
            case ShuttingDown():
                self._note(ServerNoted(ServerNote.STOP, f"{event.grace_seconds:g} s for what runs", now))
            case Reloaded():
                self._note(ServerNoted(ServerNote.RELOAD, f"{event.workers} workers", now))
                if event.changed:
                    self._note(ServerNoted(ServerNote.CONFIG, f"changed: {event.changed}", now))
            case _:
                self._note(ServerNoted(ServerNote.RELOAD_FAILED, event.reason, now))


@final
@dataclass(frozen=True, slots=True)
class Books:
    """Where the events of a server go, and where its usage is counted."""

    events: EventSink
    usage: UsageCounter


@asynccontextmanager
async def keeping_books(settings: ServerSettings, events: EventSink, *, speaks_for_all: bool) -> AsyncIterator[Books]:
    """The books of one process; what is in them is on the disk at the end, however that comes."""
    if not settings.is_noted:
        yield Books(events, NobodyCounts())
        return
    loop = asyncio.get_running_loop()
    ledger = Ledger(
        events, settings.state, settings.limits, SystemClock(), SystemEntropy(), loop, speaks_for_all=speaks_for_all
    )
    try:
        yield Books(ledger, ledger)
    finally:
        with anyio.CancelScope(shield=True):
            await ledger.close()


def _agent_of(event: SessionOpened) -> _Agent:
    account, token = bytes.fromhex(event.account), bytes.fromhex(event.token_id)
    return _Agent(AccountId(account), TokenId(token), event.peer)
