"""The steward: starts the control process beside a server, starts it again when it ends, and ends it at the end.

Nothing of the data plane waits for it. It is started once the server serves, inherits no socket, and learns what it is
to do from its environment: a database's password has no place among arguments, which every user can read. It tells
events, and that it lives, on standard output, and ends by itself when its standard input does: with this process.
"""

import asyncio
import json
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, final

import anyio

from tunnel.core.base.outcome import Success, value_of
from tunnel.core.policy.ip import Block, block_of, block_text
from tunnel.observe.events import ControlEnded, Event, EventSink, Reloaded, ServerReady
from tunnel.observe.wire import event_of_line
from tunnel.server.process import child_environment
from tunnel.server.settings import ControlChoice

CONTROL_VARIABLE: Final = "TUNNEL_CONTROL"
"""Holds the mandate of a control process that a server started."""
BEAT_SECONDS: Final = 2.0
"""How often it says that it lives."""
_PAUSE_SECONDS_MIN: Final = 0.5
_PAUSE_SECONDS_MAX: Final = 30.0
"""Between its end and the next start: doubled each time, from the least again after it lived a while."""
_STEADY_SECONDS: Final = 30.0
_END_SECONDS: Final = 5.0
"""To end in order once asked; requests and a last transaction need no longer."""
_WORDS_MAX: Final = 8
_LINE_BYTES_MAX: Final = 64 * 1024

T = TypeVar("T")


def _as_before() -> ControlChoice | None:
    """No other choice than the present one."""
    return None


@final
@dataclass(frozen=True, slots=True)
class ControlMandate:
    """What a control process is to do, as its environment says it."""

    state: Path
    api: str
    database: str
    proxies: tuple[Block, ...] = ()


def mandate_text(mandate: ControlMandate) -> str:
    """The mandate as a control process finds it in its environment."""
    told = {"state": str(mandate.state), "api": mandate.api, "database": mandate.database}
    return json.dumps({**told, "proxies": [block_text(each) for each in mandate.proxies]})


def mandate_of(text: str) -> ControlMandate | None:
    """The mandate that a server wrote; None when it is none."""
    try:
        told = json.loads(text)
        proxies = tuple(block_of(str(each)) for each in told["proxies"])
        blocks = tuple(value_of(each) for each in proxies if isinstance(each, Success))
        mandate = ControlMandate(Path(told["state"]), str(told["api"]), str(told["database"]), blocks)
        return mandate if len(blocks) == len(proxies) else None
    except (ValueError, TypeError, KeyError):
        return None


async def attended(
    work: Callable[[EventSink], Awaitable[T]],
    choice: ControlChoice | None,
    state: Path,
    events: EventSink,
    reread: Callable[[], ControlChoice | None] = _as_before,
) -> T:
    """What `work` returns; beside it runs a control process, if one is wanted, from its `ServerReady` on.

    With each `Reloaded` a new one takes its place, as `reread` says then. However it ends, no process is left.
    """
    if choice is None:
        return await work(events)
    steward = Steward(choice, state, events, reread)
    async with anyio.create_task_group() as group:
        group.start_soon(steward.run)
        group.start_soon(steward.renew)
        ended = await work(steward)
        await steward.end()
        group.cancel_scope.cancel()
    return ended


@final
class Steward:
    """One control process after the other. Finished when `run` has returned, after `end` or cancelled."""

    def __init__(
        self, choice: ControlChoice, state: Path, events: EventSink, reread: Callable[[], ControlChoice | None]
    ) -> None:
        self._choice = choice
        self._state: Final = state
        self._reread: Final = reread
        self._events: Final = events
        self._serves: Final = asyncio.Event()
        self._words: Final[deque[str]] = deque(maxlen=_WORDS_MAX)
        self._process: asyncio.subprocess.Process | None = None
        self._is_ending = False
        self._is_renewed = False
        self._reloaded: Final = asyncio.Event()
        self._charge = ""

    def emit(self, event: Event) -> None:
        """Pass on one event of the server; with its readiness the first control process is started."""
        if isinstance(event, ServerReady):
            self._serves.set()
        if isinstance(event, Reloaded):
            self._reloaded.set()
        self._events.emit(event)

    async def run(self) -> None:
        """Keep a control process alive."""
        await self._serves.wait()
        loop, pause = asyncio.get_running_loop(), _PAUSE_SECONDS_MIN
        while True:
            begun = loop.time()
            code = await self._one()
            if self._is_at_end():
                return
            if loop.time() - begun > _STEADY_SECONDS or self._is_renewed:
                pause = _PAUSE_SECONDS_MIN
            if self._is_renewed:
                self._is_renewed = False
                continue
            self._events.emit(ControlEnded(code, self._charge or " | ".join(self._words), pause))
            await anyio.sleep(pause)
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)

    async def renew(self) -> None:
        """After each reload, when new workers serve, end it in order: the next is of the code and the file of now."""
        while True:
            await self._reloaded.wait()
            self._reloaded.clear()
            self._choice = self._reread() or self._choice
            process = self._process
            if process is not None:
                self._is_renewed = True
                await _ended(process)
                _send(process, signal.SIGKILL)

    async def end(self) -> None:
        """Ask it to end, and end it when it does not; no other is started."""
        self._is_ending = True
        process = self._process
        if process is not None:
            await _ended(process)

    def _mandate(self) -> str:
        choice = self._choice
        return mandate_text(ControlMandate(self._state, str(choice.api), choice.database, choice.proxies))

    def _is_at_end(self) -> bool:
        return self._is_ending

    async def _one(self) -> int:
        """Start one and stay with it to its end; its exit code, below 0 a signal."""
        self._words.clear()
        self._charge = ""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._choice.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES_MAX,
                env=child_environment(CONTROL_VARIABLE, self._mandate()),
                start_new_session=True,
            )
        except OSError as cause:
            self._charge = f"it could not be started: {cause.strerror or cause}"
            return 0
        self._process = process
        try:
            await asyncio.gather(self._hear(process), self._keep_words(process.stderr))
            return await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                _send(process, signal.SIGKILL)
                await process.wait()
                self._process = None

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what it tells; one that says nothing for too long hangs, and is ended."""
        while process.stdout is not None:
            try:
                async with asyncio.timeout(self._choice.silence_seconds_max):
                    line = await process.stdout.readline()
            except TimeoutError:
                self._charge = f"it said nothing for {self._choice.silence_seconds_max:g} s"
                _send(process, signal.SIGKILL)
                return
            except ValueError:  # a line longer than any event
                continue
            if not line:
                return
            event = event_of_line(line)
            if event is not None:
                self._events.emit(event)

    async def _keep_words(self, stream: asyncio.StreamReader | None) -> None:
        """Keep the last it wrote to standard error."""
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:
                continue
            if not line:
                return
            words = line.decode("utf-8", "backslashreplace").strip()
            if words:
                self._words.append(words)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and wait as long as that may take."""
    _send(process, signal.SIGTERM)
    with anyio.move_on_after(_END_SECONDS):
        await process.wait()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(number)
