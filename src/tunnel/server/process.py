"""One worker as its supervisor sees it: a process, the conversation with it, and what it tells of itself."""

import asyncio
import os
import signal
import socket
from collections import deque
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Final, Protocol, final

from typing_extensions import override

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.cluster.codec import MessageReader, encode_message
from tunnel.core.cluster.errors import describe
from tunnel.core.cluster.messages import Message, SupervisorMessage, WorkerId
from tunnel.drive.guard import guarded
from tunnel.drive.parcels import ParcelSender, parcel_pair
from tunnel.drive.transport import stream_transport
from tunnel.observe.events import Event
from tunnel.observe.wire import event_of_line
from tunnel.server.doors import Doors
from tunnel.server.worker import MANDATE_VARIABLE, mandate_text

_WORDS_MAX: Final = 12
"""Last lines of standard error that are kept: a traceback's end says what it was."""
_LINE_BYTES_MAX: Final = 256 * 1024
_CROSSINGS_BACKLOG: Final = 256


class Boss(Protocol):
    """Who started a worker."""

    def on_word(self, worker: "WorkerProcess", message: Message) -> None:
        """It said something."""

    def on_event(self, worker: "WorkerProcess", event: Event) -> None:
        """It told something for the operator."""

    def on_ended(self, worker: "WorkerProcess") -> None:
        """The process is gone; said once, and last."""


@final
class WorkerProcess(asyncio.Protocol):
    """Finished when its boss has heard `on_ended`."""

    def __init__(self, number: WorkerId, slot: int, path: Path, boss: Boss) -> None:
        self.number: Final = number
        self.slot: Final = slot
        self.path: Final = path
        self.pid = 0
        self.code = 0
        self.is_expected_to_end = False
        self.started_at = 0.0
        self.ended: Final = asyncio.Event()
        self.charge = ""
        """Why we ended it ourselves."""
        self.ends_by = inf
        """When one that was asked to end is ended."""
        self._boss: Final = boss
        self._reader: Final = MessageReader()
        self._words: Final[deque[str]] = deque(maxlen=_WORDS_MAX)
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.Transport | None = None
        self._parcels: ParcelSender | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def last_words(self) -> str:
        """What it wrote last to standard error, on one line, or why we ended it."""
        return self.charge or " | ".join(self._words)

    async def start(self, command: list[str], of: int, doors: Doors) -> Outcome[None, str]:
        """Start the process; it inherits the sockets and nothing else of ours."""
        ours, theirs = socket.socketpair()
        sending, parcels = parcel_pair()
        crossing = socket.socket(socket.AF_UNIX)
        try:
            crossing.bind(str(self.path))
            crossing.listen(_CROSSINGS_BACKLOG)
            mandate = mandate_text(self.number, of, theirs, crossing, parcels, doors)
            given = [theirs, crossing, parcels, *doors.public, *doors.agents]
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES_MAX,
                pass_fds=[each.fileno() for each in given],
                env=child_environment(MANDATE_VARIABLE, mandate),
                start_new_session=True,
            )
        except OSError as cause:
            ours.close()
            sending.close()
            return Failure(cause.strerror or str(cause))
        finally:
            theirs.close()
            parcels.close()
            crossing.close()
        self.pid = self._process.pid
        loop = asyncio.get_running_loop()
        self.started_at = loop.time()
        ours.settimeout(0)
        self._parcels = ParcelSender(sending)
        self._task = loop.create_task(self._watch(self._process))
        await loop.connect_accepted_socket(lambda: self, ours)
        return Success(None)

    def say(self, message: SupervisorMessage) -> None:
        """Tell it something; one that is gone hears nothing."""
        if self._transport is not None:
            self._transport.write(encode_message(message))

    def hand_over(self, number: int, sockets: list[socket.socket]) -> None:
        """Give it these, too; what is said to it later finds them there, or on their way."""
        if self._parcels is not None:
            self._parcels.send(number, sockets)

    def end(self) -> None:
        """Ask it to end in order, within its grace period."""
        self.is_expected_to_end = True
        self._signal(signal.SIGTERM)

    def kill(self, reason: str = "") -> None:
        """End it now."""
        self.charge = self.charge or reason
        self._signal(signal.SIGKILL)

    def abort_session(self) -> None:
        """What went wrong in talking with it ends it."""
        self.kill("its words could not be handled")

    @override
    @guarded
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream_transport(transport)

    @override
    @guarded
    def data_received(self, data: bytes) -> None:
        read = self._reader.receive(data)
        if not isinstance(read, Success):
            self.kill(f"it sent {describe(error_of(read))}")
            return
        for message in value_of(read):
            self._boss.on_word(self, message)

    @override
    @guarded
    def connection_lost(self, exc: Exception | None) -> None:
        """Without the conversation it is of no use; one that is to end says goodbye in this way."""
        self._transport = None
        if not self.is_expected_to_end:
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        try:
            await asyncio.gather(self._read_events(process.stdout), self._read_words(process.stderr))
            self.code = await process.wait()
        finally:
            if self._transport is not None:
                self._transport.abort()
            if self._parcels is not None:
                self._parcels.close()
            with suppress(OSError):
                self.path.unlink()
            self._tell_end()

    @guarded
    def _tell_end(self) -> None:
        self.ended.set()
        self._boss.on_ended(self)

    async def _read_events(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None:
            line = await _line(stream)
            if line is None:
                return
            event = event_of_line(line)
            if event is not None:
                self._boss.on_event(self, event)

    async def _read_words(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None:
            line = await _line(stream)
            if line is None:
                return
            words = line.decode("utf-8", "backslashreplace").strip()
            if words:
                self._words.append(words)


def child_environment(variable: str, mandate: str) -> dict[str, str]:
    """Ours for a child of ours, with its mandate, and without what a service manager said to us alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LISTEN_", "WATCHDOG_"))}
    kept.pop("NOTIFY_SOCKET", None)
    return {**kept, variable: mandate}


async def _line(stream: asyncio.StreamReader) -> bytes | None:
    """The next line, b"" for one that is too long, None at the end."""
    try:
        return await stream.readline() or None
    except ValueError:  # longer than the limit; what was held is dropped
        return b""
