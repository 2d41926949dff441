"""The feed of a server with workers: each question is asked of all of them, and their answers are joined."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.drive.feed import Answer, Facts, FeedClient, Subscription
from tunnel.observe.measures import Totals, answer_of, measures_of
from tunnel.server.gate import Gate
from tunnel.server.measuring import own_measures
from tunnel.server.recent import RECENT_MAX, Recent

_LOOK_SECONDS: Final = 1.0
"""Between two looks at which workers there are, while somebody listens to news."""
_WORKER_SECONDS: Final = 3.0
FEED_OF_WORKER: Final = ".feed"
"""Behind the path at which a worker takes crossings: its feed is beside it."""


@final
class MergedFeed:
    """Answers for all workers; one that does not answer in time is left out, and said to be."""

    def __init__(self, gate: Gate, paths: Callable[[], list[Path]]) -> None:
        self._gate: Final = gate
        self._paths: Final = paths
        self._recent: Final = Recent()
        self._totals: Final = Totals()
        self._listeners = 0
        self._listening: asyncio.Task[None] | None = None

    async def answer(self, question: str, facts: Facts) -> Answer:
        """What all of them say together."""
        if question == "directory":
            # The supervisor looks first, and tells its workers: they may not decide by older facts than it does.
            return {"ok": True, "taken": self._gate.look_again(), **self._gate.facts()}
        asked = [_client(path).ask(question, **facts) for path in self._paths()]
        told = await asyncio.gather(*asked)
        answers = [value_of(each) for each in told if isinstance(each, Success)]
        silent = [error_of(each) for each in told if not isinstance(each, Success)]
        if not answers:
            return {"ok": False, "detail": silent[0] if silent else "no worker runs"}
        if question == "metrics":
            told_of = [own_measures(), *[measures_of(answer) for answer in answers]]
            joined = answer_of(self._totals.take(told_of, is_complete=not silent))
            return {**joined, "ok": True, "workers": len(told), "silent": len(silent)}
        joined = _joined(answers)
        if question == "health":
            joined["directory"] = self._gate.facts()
        if question == "recent":
            joined["items"] = _newest(joined["items"])
        return {**joined, "ok": True, "workers": len(told), "silent": len(silent)}

    def subscribe(self) -> Subscription:
        """News of all workers from now on."""
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())
        self._listeners += 1
        return self._recent.subscribe()

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more."""
        self._recent.unsubscribe(subscription)
        self._listeners -= 1
        if not self._listeners and self._listening is not None:
            self._listening.cancel()
            self._listening = None

    async def _listen(self) -> None:
        """Hear every worker, also those that begin later, until nobody listens."""
        heard: dict[Path, asyncio.Task[None]] = {}
        try:
            while True:
                for path in self._paths():
                    if path not in heard or heard[path].done():
                        heard[path] = asyncio.get_running_loop().create_task(self._hear(path))
                for path in [path for path, task in heard.items() if task.done()]:
                    del heard[path]
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in heard.values():
                task.cancel()

    async def _hear(self, path: Path) -> None:
        async for piece in _client(path).events():
            self._recent.pass_on(json.dumps(piece))


def feed_beside(crossing: socket.socket) -> tuple[Path, str]:
    """Where a worker feeds that takes crossings at this socket: the directory, and the name there."""
    path = feed_of_worker(Path(str(crossing.getsockname())))
    return path.parent, path.name


def feed_of_worker(path: Path) -> Path:
    """Where the feed of the worker is that takes crossings at `path`."""
    return path.with_name(path.name + FEED_OF_WORKER)


def _client(path: Path) -> FeedClient:
    return FeedClient(path.parent, path.name, _WORKER_SECONDS)


def _joined(answers: list[Answer]) -> Answer:
    """Lists one behind the other, counts together; of all else the first that says anything."""
    joined: Answer = {}
    for answer in answers:
        for key, value in answer.items():
            held = joined.get(key)
            if isinstance(value, list) and isinstance(held, list):
                joined[key] = [*held, *value]
            elif key == "count" and isinstance(value, int) and isinstance(held, int):
                joined[key] = held + value
            elif not held:
                joined[key] = value
    return joined


def _newest(items: object) -> object:
    if not isinstance(items, list):
        return items
    return sorted(items, key=lambda item: -float(item["at"]))[:RECENT_MAX]
