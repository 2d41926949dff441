"""Headless Chromium for tests: open a page, wait until its text says something, type and click as a person would."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast, final

import aiohttp

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PATIENCE: Final = 60.0
"""Seconds for a browser that hangs; nothing is expected to take this long."""

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "about:blank",
)

Answer = dict[str, object]


@final
class Page:
    """One page, driven over the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket = socket
        self._session = session
        self._asked = 100

    async def ask(self, method: str, **parameters: object) -> Answer:
        """The answer to one DevTools command; what the page tells meanwhile is passed over."""
        self._asked += 1
        asked = {"id": self._asked, "sessionId": self._session, "method": method, "params": parameters}
        return await _answered(self._socket, asked)

    async def run(self, script: str) -> object:
        """The value of an expression in the page; None when the page was just being replaced."""
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        result = answer.get("result")
        inner = result.get("result") if isinstance(result, dict) else None
        return inner.get("value") if isinstance(inner, dict) else None

    async def text_with(self, pattern: str) -> str:
        """The page's text, once `pattern` is found in it."""
        wanted = re.compile(pattern)
        async with asyncio.timeout(PATIENCE):
            while True:
                text = str(await self.run("document.body ? document.body.innerText : ''"))
                if wanted.search(text):
                    return text
                await self.run("new Promise(done => requestAnimationFrame(() => setTimeout(done, 30)))")


async def _answered(socket: aiohttp.ClientWebSocketResponse, asked: Answer) -> Answer:
    await socket.send_str(json.dumps(asked))
    async with asyncio.timeout(PATIENCE):
        while True:
            told = cast("Answer", json.loads(await socket.receive_str()))
            if told.get("id") == asked["id"]:
                return told


@asynccontextmanager
async def open_page(url: str, profile: Path) -> AsyncIterator[Page]:
    """A browser of its own with one page at `url`; both are gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *_FLAGS,
        f"--user-data-dir={profile}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession() as client, client.ws_connect(await _endpoint(process)) as socket:
            made = await _answered(socket, {"id": 1, "method": "Target.createTarget", "params": {"url": url}})
            target = cast("dict[str, str]", made["result"])["targetId"]
            parameters = {"targetId": target, "flatten": True}
            held = await _answered(socket, {"id": 2, "method": "Target.attachToTarget", "params": parameters})
            yield Page(socket, cast("dict[str, str]", held["result"])["sessionId"])
            await _answered(socket, {"id": 3, "method": "Browser.close"})
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _endpoint(process: asyncio.subprocess.Process) -> str:
    """Where the browser says it listens for us; "" when it ended first, which no connection survives."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stderr:
            found = re.search(rb"ws://\S+", line)
            if found:
                return found.group().decode()
    return ""
