"""Schemathesis against the API, from its own description: every check on, a fixed seed, on a new SQLite file.

`make api-fuzz [EXAMPLES=20] [SEED=1]`. The application is the real one behind the real server; only its
rate is raised, so that requests are answered and not put off.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

from starlette.types import ASGIApp, Receive, Scope, Send
from tests.support.api_world import api_world

from tunnel.api.listening import serve_application
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.drive.address import Address
from tunnel.drive.listener import address_of, bind, places_of
from tunnel.observe.escapes import escape_stories

ROOT: Final = Path(__file__).parents[1]
CONFIG: Final = ROOT / "ci" / "schemathesis.toml"
SCHEMATHESIS: Final = Path(os.environ.get("PEERS_VENV", ".venv-peers")) / "bin" / "schemathesis"
_FIT: Final = re.compile(rb"[!-~]{1,100}")


def main() -> int:
    """The exit code of schemathesis, or 1 when an exception reached the last guard meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=20, help="at most so many for each operation and phase")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if not (ROOT / SCHEMATHESIS).exists():
        print("left out: schemathesis is not installed here")
        return 0
    with TemporaryDirectory(prefix="tunnel-api-fuzz-") as made:
        return asyncio.run(_fuzz(Path(made), asked.examples, asked.seed))


async def _fuzz(state: Path, examples: int, seed: int) -> int:
    stop = asyncio.Event()
    async with api_world(state, requests_second=1_000_000) as world:
        key = await world.key(None)
        world.feed.answers.update({"sessions": {"items": []}, "endpoints": {"items": []}})
        places = await places_of(Address("127.0.0.1", 0))
        bound = bind(value_of(places), 0) if isinstance(places, Success) else places
        if not isinstance(bound, Success):
            print(f"cannot listen: {error_of(bound)}")
            return 1
        sockets = value_of(bound)
        url = f"http://{address_of(sockets, '127.0.0.1')}/api/v1/openapi.json"
        serving = asyncio.create_task(serve_application(_Numbered(world.door), sockets, stop))
        command = (
            *(str(ROOT / SCHEMATHESIS), "--config-file", str(CONFIG), "run", url),
            *("--max-examples", str(examples), "--seed", str(seed)),
        )
        environment = {**os.environ, "TUNNEL_API_KEY": key}
        process = await asyncio.create_subprocess_exec(*command, cwd=state, env=environment, stdin=subprocess.DEVNULL)
        code = await process.wait()
        stop.set()
        await serving
    for story in escape_stories():
        print(story)
    return code or (1 if escape_stories() else 0)


@final
class _Numbered:
    """The application with an idempotency key of its own for each request that names one.

    A few short keys are drawn again and again, for other requests each time, which is refused, and rightly so.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner
        self._numbers = count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http":
            scope["headers"] = [(name, self._numbered(name, value)) for name, value in scope["headers"]]
        await self._inner(scope, receive, send)

    def _numbered(self, name: bytes, value: bytes) -> bytes:
        is_fit = name == b"idempotency-key" and _FIT.fullmatch(value) is not None
        return b"%s-%d" % (value, next(self._numbers)) if is_fit else value


if __name__ == "__main__":
    sys.exit(main())
