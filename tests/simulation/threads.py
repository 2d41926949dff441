"""Threads of the product in lockstep with the loop: one runs only while the loop stands, from one wait to the next.

The journal's writer is a thread that takes jobs from a queue. Here a job lies on the disk for a time that the seed
draws; then the thread, a real one, is let run until it asks for the next, while nobody else does anything.
"""

import asyncio
import queue
import random
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar, Final, final

from tests.simulation.kernel import Kernel

_SLEEP_SECONDS: Final = 0.01
_DISK_SECONDS: Final = (0.000_1, 0.002, 0.002, 0.03, 0.6)
"""What a write to the disk takes."""
_THREAD: Final[ContextVar["SimThread | None"]] = ContextVar("_THREAD", default=None)


@final
class SimThread:
    """What the product makes with `threading.Thread`. Finished when its target has returned."""

    living: ClassVar[int] = 0
    """How many have begun and not ended, in this run."""

    def __init__(self, *, target: Callable[[], None], name: str = "", daemon: bool = False) -> None:
        self._target: Final = target
        self._turn: Final = threading.Semaphore(0)
        self._rest: Final = threading.Semaphore(0)
        self.is_over = False
        self._thread: Final = threading.Thread(target=copy_context().run, args=(self._run,), name=name, daemon=True)

    def start(self) -> None:
        """Run until it waits for the first time."""
        SimThread.living += 1
        self._thread.start()
        self.go_on()

    def join(self, timeout: float | None = None) -> None:
        """Only ever waited for by `ToThread`."""

    def go_on(self) -> None:
        """Let it run until it waits again; nobody else runs meanwhile."""
        self._turn.release()
        self._rest.acquire()

    def wait(self) -> None:
        """Called by the thread itself: let the loop go on."""
        self._rest.release()
        self._turn.acquire()

    def _run(self) -> None:
        self._turn.acquire()
        _THREAD.set(self)
        try:
            self._target()
        finally:
            self.is_over = True
            SimThread.living -= 1
            self._rest.release()


@final
class SimQueue:
    """What the product makes with `queue.SimpleQueue`, between the loop and one thread."""

    def __init__(self, kernel: Kernel, disk: random.Random) -> None:
        self._kernel: Final = kernel
        self._disk: Final = disk
        self._items: Final[deque[object]] = deque()
        self._waiter: SimThread | None = None
        self._ready_at = 0.0

    def put(self, item: object) -> None:
        """By the loop: the thread comes to it once the disk is through with what was before."""
        self._ready_at = max(self._ready_at, self._kernel.now) + self._disk.choice(_DISK_SECONDS)
        self._kernel.at(self._ready_at, lambda: self._deliver(item))

    def _deliver(self, item: object) -> None:
        self._items.append(item)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.go_on()

    def get(self) -> object:
        """By the thread."""
        while not self._items:
            self._waiter = _THREAD.get()
            assert self._waiter is not None
            self._waiter.wait()
        return self._items.popleft()


@final
class ToThread:
    """`anyio.to_thread`: the product waits there for a thread to end, and for nothing else that takes time."""

    async def run_sync(self, what: Callable[..., Any], *args: Any, **_: object) -> Any:  # noqa: ANN401 - passed on
        """The result, a turn later; of a join, once the thread is over or the time is."""
        thread = getattr(what, "__self__", None)
        if not isinstance(thread, SimThread):
            await asyncio.sleep(0)
            return what(*args)
        looks = int(float(args[0]) / _SLEEP_SECONDS) if args else 1_000_000
        for _look in range(looks):
            if thread.is_over:
                break
            await asyncio.sleep(_SLEEP_SECONDS)
        return None


def replacements(kernel: Kernel, seed: str) -> dict[int, object]:
    """What stands in the place of threads and queues, by the identity of the real ones."""
    SimThread.living = 0
    disk = random.Random(f"{seed}/disk")
    return {id(queue.SimpleQueue): lambda: SimQueue(kernel, disk), id(threading.Thread): SimThread}
