"""The feed: questions, orders and news between the data plane and whoever operates it, over a Unix socket (ADR 0065).

A line of JSON each way. A question is `{"ask": NAME, ...}`, its answer `{"ok": true, ...}` or `{"ok": false, "detail":
...}`; `{"ask": "events"}` is answered with news until somebody hangs up. Only the user of the server may enter.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol, TypeAlias, final

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive.guests import Guests
from tunnel.drive.unix_place import listening_at, reachable

FEED: Final = "feed.sock"
EVENTS: Final = "events"
QUESTION_BYTES_MAX: Final = 16 * 1024
"""A question is a few names and a reason."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""All sessions of a full server; more than that is no answer of ours."""
GUESTS_MAX: Final = 32
"""Who may be connected at once: a control process, some pages of a dashboard, some commands."""
NEWS_MAX: Final = 1024
"""News that wait for one who does not read; of what comes meanwhile it is told how much it missed."""
_TAKEN_SECONDS_MAX: Final = 10.0
"""For how long an answer may wait for one who does not read it."""
_ANSWER_SECONDS_MAX: Final = 5.0

Facts: TypeAlias = Mapping[str, object]
Answer: TypeAlias = dict[str, object]


class Answerer(Protocol):
    """Who knows."""

    async def answer(self, question: str, facts: Facts) -> Answer:
        """The answer; what it has under `ok` is false where there is none."""

    def subscribe(self) -> "Subscription":
        """News from now on."""

    def unsubscribe(self, subscription: "Subscription") -> None:
        """No more."""


@final
class Subscription:
    """News on their way to one reader: bounded, the oldest kept, what does not fit counted and said."""

    def __init__(self) -> None:
        self._waiting: Final[deque[str]] = deque()
        self._left_out = 0
        self._news: Final = asyncio.Event()

    def put(self, line: str) -> None:
        """One piece of news, in JSON."""
        if len(self._waiting) < NEWS_MAX:
            self._waiting.append(line)
        else:
            self._left_out += 1
        self._news.set()

    async def next(self) -> str:
        """The next piece, once there is one."""
        while not self._waiting and not self._left_out:
            self._news.clear()
            await self._news.wait()
        if self._waiting:
            return self._waiting.popleft()
        count, self._left_out = self._left_out, 0
        return json.dumps({"left_out": count})


@final
class _Desk:
    """Where those who are connected to one feed are answered."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer: Final = answerer

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the other side hangs up, is too slow, or says what is no question."""
        try:
            while line := await reader.readline():
                asked = json.loads(line)
                if not isinstance(asked, dict):
                    return
                if asked.get("ask") == EVENTS:
                    await self._tell_news(reader, writer)
                    return
                facts = {str(key): value for key, value in asked.items()}
                await _tell(writer, json.dumps(await self._answerer.answer(str(facts.pop("ask", "")), facts)))
        except (OSError, ValueError, RecursionError, TimeoutError):
            return  # whoever asked does not want to know, or is not one of ours

    async def _tell_news(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subscription = self._answerer.subscribe()
        try:
            await _tell(writer, json.dumps({"ok": True}))
            await _pass_on(subscription, reader, writer)
        finally:
            self._answerer.unsubscribe(subscription)


async def _pass_on(subscription: Subscription, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """News as they come, until the other side says anything or hangs up."""
    gone = asyncio.ensure_future(reader.read(1))
    try:
        while not gone.done():
            piece = asyncio.ensure_future(subscription.next())
            try:
                await asyncio.wait([gone, piece], return_when=asyncio.FIRST_COMPLETED)
                if piece.done():
                    await _tell(writer, piece.result())
            finally:
                piece.cancel()
    finally:
        gone.cancel()


async def _tell(writer: asyncio.StreamWriter, line: str) -> None:
    writer.write(line.encode() + b"\n")
    async with asyncio.timeout(_TAKEN_SECONDS_MAX):
        await writer.drain()


@asynccontextmanager
async def feeding(directory: Path, name: str, answerer: Answerer) -> AsyncIterator[Outcome[None, str]]:
    """Answer inside; or why that cannot be, which is no reason not to serve. The socket is gone afterwards."""
    bound = listening_at(directory, name)
    if not isinstance(bound, Success):
        yield Failure(error_of(bound))
        return
    guests = Guests(value_of(bound), _Desk(answerer), QUESTION_BYTES_MAX, GUESTS_MAX)
    try:
        yield Success(None)
    finally:
        with suppress(OSError):
            (directory / name).unlink()
        await guests.close()


@final
class FeedClient:
    """Asks the data plane that runs on a state directory; a connection a question, so that nothing has to be mended."""

    def __init__(self, directory: Path, name: str = FEED, seconds: float = _ANSWER_SECONDS_MAX) -> None:
        self._directory: Final = directory
        self._name: Final = name
        self._seconds: Final = seconds

    async def ask(self, question: str, /, **facts: object) -> Outcome[Answer, str]:
        """The answer, or why there is none; what the other side refuses is its detail."""
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await self._connect()
                try:
                    writer.write(json.dumps({**facts, "ask": question}).encode() + b"\n")
                    told = json.loads(await reader.readline() or b"null")
                finally:
                    writer.transport.abort()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return Failure(f"no server runs on {self._directory}")
        except TimeoutError:
            return Failure(f"the server on {self._directory} did not answer within {self._seconds:g} s")
        except (OSError, ValueError) as cause:
            return Failure(f"{self._directory / self._name}: {cause}")
        if not isinstance(told, dict):
            return Failure(f"{self._directory / self._name}: it ended before it answered")
        answer = {str(key): value for key, value in told.items()}
        return Success(answer) if answer.get("ok") is True else Failure(str(answer.get("detail", "refused")))

    async def events(self) -> AsyncIterator[Answer]:
        """News as they come, until the data plane ends or the caller stops listening; none when it cannot be reached.

        `{"left_out": N}` says that N pieces are missing here.
        """
        try:
            reader, writer = await self._connect()
        except OSError:
            return
        try:
            writer.write(json.dumps({"ask": EVENTS}).encode() + b"\n")
            await reader.readline()
            while line := await reader.readline():
                told = json.loads(line)
                if isinstance(told, dict):
                    yield {str(key): value for key, value in told.items()}
        except (OSError, ValueError):
            return
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with reachable(self._directory, self._name) as path:
            return await asyncio.open_unix_connection(path, limit=ANSWER_BYTES_MAX)
