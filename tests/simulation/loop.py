"""asyncio's own selector loop over the simulated kernel: a selector that never sleeps, and a clock that jumps.

When nothing is ready, time goes straight to the next timer or the next event of the network. Callbacks keep their
order, which asyncio promises; descriptors that are ready in one turn are served in an order drawn from the seed, as
nobody promises any, and some a turn later.
"""

import asyncio
import random
import selectors
import socket
from asyncio import selector_events, unix_events
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar, final

from tests.simulation.kernel import Endless, Stuck
from tests.simulation.sockets import System
from typing_extensions import override

T = TypeVar("T")

TURN_SECONDS: Final = 0.000_02
"""What one turn of the loop takes."""
_TURNS_MAX: Final = 2_000_000
_SECONDS_MAX: Final = 20_000.0
_CLOSED_TWICE: Final = ("_SelectorSocketTransport._call_connection_lost", "'NoneType' object has no attribute 'close'")
"""A fault of asyncio itself: where `resume_writing` aborts, its transport reports the loss twice, and the second report
fails before it reaches anybody. uvloop, on which the product usually runs, has no such transport."""
_UNIX: Final = unix_events.SelectorEventLoop
_LATE: Final = 0.1
"""How often a ready descriptor is served a turn later."""


@final
class SimTask(asyncio.Task[T]):
    """A task whose place in a set does not depend on where it lies in memory."""

    _made = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on as they are
        SimTask._made += 1
        self._serial: Final = SimTask._made
        super().__init__(*args, **kwargs)

    @classmethod
    def restart(cls) -> None:
        """Count from the beginning: a run is to repeat within one process, too."""
        cls._made = 0

    @override
    def __hash__(self) -> int:
        return self._serial


def make_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, T],
    **kwargs: Any,  # noqa: ANN401 - passed on
) -> SimTask[T]:
    """What the loop makes of a coroutine."""
    return SimTask(coro, loop=loop, **kwargs)


@final
class SimSelector(selectors.BaseSelector):
    """Knows which of its descriptors are ready because the kernel says so at each change."""

    def __init__(self, system: System, seed: str) -> None:
        self._system: Final = system
        self._kernel: Final = system.kernel
        self._random: Final = random.Random(f"{seed}/turns")
        self._keys: Final[dict[int, selectors.SelectorKey]] = {}
        self._maybe: Final[dict[int, None]] = {}
        self.is_woken = False
        """A thread has asked for a callback."""
        self.watch: Callable[[], None] | None = None
        """Called once a turn."""
        system.touch = self._touch
        system.forget = self._forget

    def _touch(self, number: int) -> None:
        self._maybe[number] = None

    def _forget(self, number: int) -> None:
        # As with epoll: a closed descriptor is not reported any more.
        self._keys.pop(number, None)
        self._maybe.pop(number, None)

    @override
    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        if number not in self._system.sockets:
            raise KeyError(number)
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[number] = key
        self._maybe[number] = None
        return key

    @override
    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        self._maybe.pop(number, None)
        return self._keys.pop(number)

    @override
    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[number] = key
        self._maybe[number] = None
        return key

    @override
    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj if isinstance(fileobj, int) else int(fileobj.fileno())]

    @override
    def get_map(self) -> dict[int, selectors.SelectorKey]:  # type: ignore[override]
        return self._keys

    @override
    def close(self) -> None:
        self._keys.clear()

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        kernel = self._kernel
        if self.watch is not None:
            self.watch()
        kernel.turns += 1
        kernel.now += TURN_SECONDS
        if kernel.turns > _TURNS_MAX or kernel.now > _SECONDS_MAX:
            raise Endless(kernel.turns, kernel.now)
        kernel.happen()
        ready = self._ready()
        if ready or timeout == 0:
            return ready
        until = None if timeout is None else kernel.now + timeout
        while not ready and not self.is_woken:
            due = kernel.next_due()
            if due is None and until is None:
                raise Stuck
            if due is None or (until is not None and due > until):
                kernel.now = max(kernel.now, until or kernel.now)
                break
            kernel.now = max(kernel.now, due)
            kernel.happen()
            ready = self._ready()
            if until is not None and kernel.now >= until:
                break
        self.is_woken = False
        return ready

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]] = []
        for number in list(self._maybe):
            key, sock = self._keys.get(number), self._system.sockets.get(number)
            mask = 0
            if key is not None and sock is not None:
                mask = sock.readiness(key.events)
            if mask and key is not None:
                found.append((key, mask))
            else:
                del self._maybe[number]
        if len(found) > 1:
            self._random.shuffle(found)
            if self._random.random() < _LATE:
                found.pop()
        return found


@final
class SimLoop(selector_events.BaseSelectorEventLoop):
    """The standard library's loop with nothing of the real system below it."""

    def __init__(self, system: System, seed: str) -> None:
        self.system: Final = system
        self.sim_selector: Final = SimSelector(system, seed)
        self.complaints: Final[list[str]] = []
        SimTask.restart()
        super().__init__(self.sim_selector)
        self._clock_resolution = 1e-9
        self.set_task_factory(make_task)  # type: ignore[arg-type]  # typeshed has it for one type
        self.set_exception_handler(self._on_complaint)

    @override
    def time(self) -> float:
        return self.system.kernel.now

    @override
    async def getaddrinfo(  # type: ignore[override]
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.system.points.reach("getaddrinfo")
        await asyncio.sleep(0)
        found = self.system.kernel.address_of(str(host))
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (found, int(port or 0)))]

    def timers(self) -> list[asyncio.TimerHandle]:
        """Timers that are set."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return [timer for timer in scheduled if not timer.cancelled()]

    def _on_complaint(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaint = f"{context.get('message')}: {context.get('exception')!r}"
        if not (_CLOSED_TWICE[0] in complaint and _CLOSED_TWICE[1] in complaint):
            self.complaints.append(complaint)

    def _make_self_pipe(self) -> None:
        self._internal_fds = 0

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self.sim_selector.is_woken = True

    @override
    async def create_unix_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        loop: Any = self
        return await _UNIX.create_unix_server(loop, *args, **kwargs)

    @override
    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> Any:
        loop: Any = self
        return await _UNIX.create_unix_connection(loop, *args, **kwargs)


__all__ = ["Context", "SimLoop", "SimSelector"]
