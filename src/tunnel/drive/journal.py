"""The journal of this process on the event loop: records go in at once, and are on the disk a moment later.

Records that come within `COMMIT_SECONDS` share one write and one `fdatasync`, in a thread that nobody waits for. One
record is *acknowledged* when that has returned. ADR 0069 says what a crash may cost.
"""

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, Protocol, final

import anyio

from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.journal.frames import frame_bytes
from tunnel.core.journal.records import FIRST_SEQUENCE, JournalId, Noted
from tunnel.drive.guard import guarded
from tunnel.drive.segments import SegmentError, SegmentWriter, Stored

COMMIT_SECONDS: Final = 0.02
"""How long the first record of a batch waits for others; a busy second has at most 50 `fdatasync`."""
RETRY_SECONDS: Final = 1.0
"""Between two tries of what could not be written."""
CLOSE_SECONDS_MAX: Final = 5.0
"""What the last write has at the end; a disk that hangs holds up no shutdown for longer."""


class JournalOwner(Protocol):
    """Who wants to know how the writing goes."""

    def on_journal_failed(self, error: SegmentError) -> None:
        """Nothing can be written for now; said for every try."""

    def on_journal_written(self, stored: Stored) -> None:
        """Everything up to `acknowledged` is on the disk."""


@final
class JournalWriter:
    """Numbers records and has them written. Finished when `close` has returned."""

    def __init__(
        self,
        segments: SegmentWriter,
        journal: JournalId,
        memory_bytes_max: int,
        owner: JournalOwner,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._segments: Final = segments
        self._journal: Final = journal
        self._memory_bytes_max: Final = memory_bytes_max
        self._owner: Final = owner
        self._loop: Final = loop
        self._frames: Final[list[bytes]] = []
        """Those that are not acknowledged, in order."""
        self._bytes = 0
        self._next = FIRST_SEQUENCE
        self._timer: asyncio.TimerHandle | None = None
        self._writing = 0
        """How many of the frames the thread has in hand; 0 when it rests."""
        self._is_failing = False
        self._is_closing = False
        self._rested: Final = asyncio.Event()
        self._jobs: Final[SimpleQueue[tuple[bytes, int] | None]] = SimpleQueue()
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread: Final = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    @property
    def acknowledged(self) -> int:
        """The number of the last record that is on the disk; 0 before the first."""
        return self._next - 1 - len(self._frames)

    @property
    def unacknowledged(self) -> int:
        """How many records are not on the disk."""
        return len(self._frames)

    @property
    def is_failing(self) -> bool:
        """Whether the last try to write failed."""
        return self._is_failing

    @property
    def memory_left(self) -> int:
        """Bytes that may still wait in memory."""
        return self._memory_bytes_max - self._bytes

    def append(self, record: Noted) -> None:
        """Take one record, which is durable a moment later; asked for room by who calls (`memory_left`)."""
        frame = frame_bytes(self._journal, self._next, record)
        self._next += 1
        self._frames.append(frame)
        self._bytes += len(frame)
        self._arm(RETRY_SECONDS if self._is_failing else COMMIT_SECONDS)

    async def close(self) -> None:
        """Write what there is, and let the folder go; gives up on a disk that fails or does not answer."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._writing:
            self._commit()
        with anyio.move_on_after(CLOSE_SECONDS_MAX):
            while self._writing:
                self._rested.clear()
                await self._rested.wait()
        self._jobs.put(None)
        with anyio.move_on_after(CLOSE_SECONDS_MAX):
            await anyio.to_thread.run_sync(self._thread.join, CLOSE_SECONDS_MAX, abandon_on_cancel=True)

    def abort_session(self) -> None:
        """After an escape nobody knows what is written: the thread ends after what it has."""
        self._is_closing = True
        self._jobs.put(None)

    def _arm(self, seconds: float) -> None:
        if self._timer is None and not self._writing and not self._is_closing:
            self._timer = self._loop.call_later(seconds, self._on_timer)

    @guarded
    def _on_timer(self) -> None:
        self._timer = None
        self._commit()

    def _commit(self) -> None:
        """Hand everything to the thread."""
        if self._frames:
            self._writing = len(self._frames)
            self._jobs.put((b"".join(self._frames), self._next - self._writing))

    @guarded
    def _on_written(self, done: Outcome[Stored, SegmentError]) -> None:
        count, self._writing = self._writing, 0
        self._is_failing = not isinstance(done, Success)
        if isinstance(done, Success):
            self._bytes -= sum(len(frame) for frame in self._frames[:count])
            del self._frames[:count]
            self._owner.on_journal_written(value_of(done))
            if self._frames and self._is_closing:
                self._commit()
        else:
            self._owner.on_journal_failed(error_of(done))
        if self._frames:
            self._arm(RETRY_SECONDS if self._is_failing else COMMIT_SECONDS)
        self._rested.set()

    def _work(self) -> None:
        """The thread: one job after another."""
        while (job := self._jobs.get()) is not None:
            done = self._segments.write(*job)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._on_written, done)
        self._segments.close()
