"""Lines for whoever reads our output, written by a thread: the event loop never waits for a slow terminal or pipe."""

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, final

LINES_MAX: Final = 10_000
"""Lines that may wait for a reader; at 100 bytes each this holds 1 MB for one that has stopped reading."""
CLOSE_SECONDS: Final = 0.5
"""What is waiting at the end is given this long; a program never hangs because nobody reads its last words."""


@final
class LineWriter:
    """Writes lines to a file descriptor, in order. Beyond `lines_max` waiting ones new lines are left out and counted.

    Finished after `close`; a reader that goes away is no error, what was meant for it is dropped.
    """

    def __init__(self, descriptor: int, left_out: Callable[[int], str], lines_max: int = LINES_MAX) -> None:
        self._descriptor = descriptor
        self._left_out = left_out
        self._lines_max = lines_max
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._dropped = 0
        self._is_closed = False
        self._thread = Thread(target=self._write_all, name="lines", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Take one line without its end; returns at once."""
        if self._is_closed:
            return
        if self._waiting.qsize() >= self._lines_max:
            self._dropped += 1
            return
        if self._dropped:
            self._waiting.put(self._left_out(self._dropped))
            self._dropped = 0
        self._waiting.put(line)

    def waiting(self) -> int:
        """Lines that the writing thread has not begun with."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Write what waits, if the reader takes it in time; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._dropped:
            self._waiting.put(self._left_out(self._dropped))
        self._waiting.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _write_all(self) -> None:
        while True:
            lines = [self._waiting.get()]
            while lines[-1] is not None and len(lines) < self._lines_max:
                try:
                    lines.append(self._waiting.get_nowait())
                except Empty:
                    break
            text = "".join(f"{line}\n" for line in lines if line is not None)
            if not _is_written(self._descriptor, text.encode("utf-8", "backslashreplace")) or lines[-1] is None:
                return


def _is_written(descriptor: int, data: bytes) -> bool:
    """Whether all of it went out; no when the reader is gone. Not through `sys.stdout`, whose lock outlives threads."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError:
            return False
    return True
