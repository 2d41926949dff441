"""The control socket of a supervised server: `control.sock` in its state directory, which only its own user may enter.

One question and one answer a connection, each a line of JSON.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias, final

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive.guests import Guests
from tunnel.drive.unix_place import listening_at, reachable

CONTROL: Final = "control.sock"
_LINE_BYTES_MAX: Final = 64 * 1024
_QUESTION_SECONDS: Final = 5.0
_GUESTS_MAX: Final = 32
"""Operators with a command each, at once; whoever is one too many is hung up on."""

Answer: TypeAlias = dict[str, object]
Answering: TypeAlias = Callable[[str], Awaitable[Answer]]


@asynccontextmanager
async def answering(state: Path, answer: Answering) -> AsyncIterator[Outcome[None, str]]:
    """Answer questions inside; or why that cannot be. The socket is gone afterwards."""
    bound = _bound(state)
    if isinstance(bound, str):
        yield Failure(bound)
        return
    guests = Guests(bound, _Desk(answer), _LINE_BYTES_MAX, _GUESTS_MAX)
    try:
        yield Success(None)
    finally:
        with suppress(OSError):
            (state / CONTROL).unlink()
        await guests.close()


@final
class _Desk:
    """Where the commands of one server are answered."""

    def __init__(self, answer: Answering) -> None:
        self._answer: Final = answer

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question, one answer."""
        try:
            await _converse(reader, writer, self._answer)
        except (OSError, ValueError, TimeoutError):
            pass  # whoever asked does not want to know
        finally:
            writer.close()


def ask(state: Path, command: str, seconds: float) -> Outcome[Answer, str]:
    """The answer of the server that runs on a state directory; or why there is none. Waits, for so long at most."""
    try:
        with reachable(state, CONTROL) as path, socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(seconds)
            asked.connect(path)
            asked.sendall(json.dumps({"command": command}).encode() + b"\n")
            told = b""
            while not told.endswith(b"\n"):
                more = asked.recv(_LINE_BYTES_MAX)
                if not more:
                    return Failure("the server ended before it answered; its own log says why")
                told += more
        answer = json.loads(told)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return Failure(f"no server with workers runs on {state}; start it with --workers N, N being 1 or more")
    except TimeoutError:
        return Failure(f"the server did not answer within {seconds:g} s")
    except (OSError, ValueError) as cause:
        return Failure(f"{state / CONTROL}: {cause}")
    return Success(answer) if isinstance(answer, dict) else Failure(f"{state / CONTROL}: not an answer")


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answering) -> None:
    async with asyncio.timeout(_QUESTION_SECONDS):
        line = await reader.readline()
    asked = json.loads(line)
    command = asked.get("command") if isinstance(asked, dict) else None
    told = await answer(str(command))
    writer.write(json.dumps(told).encode() + b"\n")
    await writer.drain()


def _bound(state: Path) -> socket.socket | str:
    """The listening socket, or why there is none."""
    found = ask(state, "ping", 1.0)
    if isinstance(found, Success):
        return f"a server with workers runs on it already; `tunnel reload --state {state}` renews that one"
    made = listening_at(state, CONTROL)
    return value_of(made) if isinstance(made, Success) else error_of(made)
