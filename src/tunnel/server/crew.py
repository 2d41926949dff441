"""The worker processes of a supervisor: started, awaited until ready, told what the registry says, and ended."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final, final

import anyio

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.cluster.messages import WorkerId
from tunnel.core.cluster.registry import ClusterRegistry
from tunnel.ports import Clock
from tunnel.server.openings import Openings
from tunnel.server.process import Boss, WorkerProcess
from tunnel.server.settings import PortRange, ServerSettings
from tunnel.server.slots import Slots


@final
class Crew:
    """All workers that run, those that are to end included. Finished after `close`."""

    def __init__(self, limits: Limits, slots: Slots, command: list[str], clock: Clock, boss: Boss) -> None:
        self.limits = limits
        self.slots: Final = slots
        self.registry: Final = ClusterRegistry(limits)
        self.news: Final = asyncio.Event()
        """Set whenever something happened to a worker."""
        self._command: Final = command
        self._clock: Final = clock
        self._boss: Final = boss
        self._openings: Final = Openings(self.registry, limits, slots.places(), clock)
        self._place: Final = Path(tempfile.mkdtemp(prefix="tunnel-", dir=os.environ.get("RUNTIME_DIRECTORY")))
        self._workers: Final[dict[WorkerId, WorkerProcess]] = {}
        self._begun = 0

    @property
    def workers(self) -> list[WorkerProcess]:
        """All that run."""
        return list(self._workers.values())

    def forget(self, worker: WorkerProcess) -> None:
        """A worker process is gone."""
        self._workers.pop(worker.number, None)
        self.registry.on_worker_lost(worker.number, self._clock.now())
        self.flush()

    def give_out(self, ports: PortRange | None) -> None:
        """Give out these public TCP ports from now on."""
        self._openings.give_out(ports)

    def close(self) -> None:
        """Close the listening sockets, and leave nothing behind on the disk."""
        self._openings.close()
        self.slots.close()
        shutil.rmtree(self._place, ignore_errors=True)

    async def start_generation(self, settings: ServerSettings) -> Outcome[list[WorkerProcess], str]:
        """Workers for every slot, all ready to serve, or none."""
        spread = self.slots.spread(settings.workers)
        if not isinstance(spread, Success):
            return Failure(f"cannot listen on {error_of(spread).address}: {error_of(spread).detail}")
        started: list[WorkerProcess] = []
        for slot in range(settings.workers):
            begun = await self.start(slot, settings.workers)
            if not isinstance(begun, Success):
                await self.give_up(started)
                return begun
            started.append(value_of(begun))
        with anyio.move_on_after(settings.limits.worker_start_seconds_max):
            while not all(self.registry.is_ready(worker.number) for worker in started):
                if any(worker.ended.is_set() for worker in started):
                    break
                await self.next_news()
        failed = [worker for worker in started if worker.ended.is_set() or not self.registry.is_ready(worker.number)]
        if not failed:
            return Success(started)
        await self.give_up(started)
        told = [worker.last_words for worker in failed if worker.last_words]
        late = f"a worker was not ready within {settings.limits.worker_start_seconds_max:g} s"
        return Failure(told[0] if told else late)

    async def start(self, slot: int, of: int) -> Outcome[WorkerProcess, str]:
        """One worker for a slot; its end is the business of who starts it until it serves."""
        self._begun += 1
        number = WorkerId(self._begun)
        path = self._place / f"{number}.sock"
        worker = WorkerProcess(number, slot, path, self._boss)
        self._workers[number] = worker
        self.registry.on_worker(number, str(path))
        worker.is_expected_to_end = True
        begun = await worker.start(self._command, of, self.slots.of(slot))
        if not isinstance(begun, Success):
            self._workers.pop(number, None)
            self.registry.on_worker_lost(number, self._clock.now())
            return Failure(f"a worker could not be started: {error_of(begun)}")
        for opening in self._openings.all:
            worker.hand_over(opening.number, opening.sockets)
        return Success(worker)

    async def give_up(self, workers: list[WorkerProcess]) -> None:
        """End workers that are not to serve; returns when they are gone."""
        for worker in workers:
            worker.kill()
        for worker in workers:
            await worker.ended.wait()

    async def is_ready(self, worker: WorkerProcess) -> bool:
        """Whether the worker is ready in time; else it is ended."""
        with anyio.move_on_after(self.limits.worker_start_seconds_max):
            while not self.registry.is_ready(worker.number) and not worker.ended.is_set():
                await self.next_news()
        if worker.ended.is_set() or not self.registry.is_ready(worker.number):
            await self.give_up([worker])
            return False
        return True

    def look(self) -> None:
        """End workers that hold up others."""
        for number in self.registry.overdue(self._clock.now()):
            worker = self._workers.get(number)
            if worker is not None:
                worker.kill("it did not end a fenced lease in time")
        for worker in self.workers:
            if monotonic() >= worker.ends_by:
                worker.kill("it did not end in time")

    def flush(self) -> None:
        """Do what the registry asks for, and say what it has to say; sockets first, they are what is talked about."""
        orders = self.registry.poll_ports()
        while orders:
            for order in orders:
                self._openings.obey(order)
            orders = self.registry.poll_ports()
        for opening in self._openings.poll_fresh():
            for each in self.workers:
                each.hand_over(opening.number, opening.sockets)
        for number, message in self.registry.poll_output():
            worker = self._workers.get(number)
            if worker is not None:
                worker.say(message)

    async def all_ended(self) -> None:
        """Return once no worker is left."""
        while self._workers:
            await self.next_news()

    async def next_news(self) -> None:
        """Return once something has happened to a worker."""
        self.news.clear()
        await self.news.wait()
