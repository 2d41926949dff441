"""The real processes: a server and the control process beside it, killed, hung and ended, while visitors are served.

Everything is judged from outside: events of the server as JSON lines, and plain HTTP at both doors.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.support.api_world import SHELL

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.roles import Role, Scope
from tunnel.drive.clock import SystemEntropy
from tunnel.store.open import open_store

pytestmark = pytest.mark.anyio

MAIN: Final = "from tunnel.cli.main import main; main()"
WAIT_SECONDS: Final = 60.0


class Running:
    """A command that tells its events as lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process: Final = process
        self.told: Final[list[dict[str, object]]] = []

    async def event(self, holds: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        """The next event, from now on, of which this holds."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                line = await self.process.stdout.readline()
                assert line, self.told
                told = json.loads(line)
                self.told.append(told)
                if holds(told):
                    return dict(told)

    async def named(self, name: str) -> dict[str, object]:
        """The next event with this name."""
        return await self.event(lambda told: told["event"] == name)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        async with asyncio.timeout(WAIT_SECONDS):
            _, _ = await self.process.communicate()
        return self.process.returncode or 0


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Running]:
    """A command of ours, which is gone afterwards, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        MAIN,
        *arguments,
        "--output",
        "json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        _, _ = await process.communicate()


def server(state: Path, *more: str) -> tuple[str, ...]:
    """A server on loopback, its ports chosen by the system."""
    places = ("--public", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--api", "127.0.0.1:0")
    return ("server", "--domain", "localhost", *places, "--state", str(state), *more)


async def operator_key(state: Path) -> str:
    """The text of an operator's key, made as the command line does: in the store."""
    opened = await open_store("", state, UnixSeconds(1_900_000_000))
    assert isinstance(opened, Success)
    made = new_key(SystemEntropy().random_bytes(NEW_KEY_BYTES))
    scopes = frozenset({Scope.OPERATE})
    now = UnixSeconds(1_900_000_000)
    record = KeyRecord(made.key, None, "t", Role.OWNER, scopes, made.secret_hash, now, None, None, None)
    minted = await value_of(opened).mint_key(record, SHELL, now)
    assert isinstance(minted, Success), minted
    await value_of(opened).close()
    return made.text


async def is_ready(client: httpx.AsyncClient, url: str) -> bool:
    """Whether `/readyz` says so within a generous time."""
    for _ in range(600):
        try:
            if (await client.get(f"{url}readyz")).status_code == 200:
                return True
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.05)
    return False


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def control_pids(parent: int) -> list[int]:
    """The control processes that a server has started."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(each) for each in listed if "tunnel.cli.control" in Path(f"/proc/{each}/cmdline").read_text()]


@pytest.mark.shows("API-PROC-001", "API-PROC-002", "API-HEALTH-002")
@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
async def test_the_control_process_is_killed_and_no_visitor_notices(tmp_path: Path, workers: tuple[str, ...]) -> None:
    async with running(*server(tmp_path / "s", *workers)) as ran, httpx.AsyncClient() as client:
        ready = await ran.named("ready")
        told = await ran.named("control_ready")
        assert await is_ready(client, str(told["url"]))
        key = await operator_key(tmp_path / "s")
        me = await client.get(f"{told['url']}api/v1/me", headers={"Authorization": f"Bearer {key}"})
        assert (me.status_code, me.json()["scopes"]) == (200, ["operate"])
        (pid,) = control_pids(ran.process.pid)
        os.kill(pid, signal.SIGKILL)
        public = f"http://{ready['public']}/"
        for _ in range(20):
            answer = await client.get(public, headers={"Host": "nobody.localhost"})
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown-name")
        ended = await ran.named("control_ended")
        assert ended["code"] == -signal.SIGKILL
        again = await ran.named("control_ready")
        assert await is_ready(client, str(again["url"]))
        (other,) = control_pids(ran.process.pid)
        assert other != pid
        assert await ran.end() == 0
        with pytest.raises(ProcessLookupError):
            os.kill(other, 0)


@pytest.mark.shows("API-PROC-001")
async def test_a_server_that_is_killed_leaves_no_control_process(tmp_path: Path) -> None:
    async with running(*server(tmp_path / "s")) as ran:
        await ran.named("control_ready")
        (pid,) = control_pids(ran.process.pid)
        ran.process.kill()
        await ran.process.wait()
        for _ in range(600):
            if not is_alive(pid):
                return
            await asyncio.sleep(0.05)
        pytest.fail("it lives on")


@pytest.mark.shows("API-PROC-001")
async def test_a_taken_address_is_said_and_taken_as_soon_as_it_is_free(tmp_path: Path) -> None:
    """Also what `tunnel control` by hand does; it is used here, as the server would only stand beside it."""
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    arguments = ("control", "--state", str(tmp_path / "s"), "--api", f"127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while b"cannot listen" not in await process.stderr.readline():
                pass
            taken.close()
            await taken.wait_closed()
            while b"dashboard and API at" not in await process.stderr.readline():
                pass
        process.terminate()
        async with asyncio.timeout(WAIT_SECONDS):
            _, _ = await process.communicate()
        assert process.returncode == 0
    finally:
        taken.close()
        if process.returncode is None:
            process.kill()
        _, _ = await process.communicate()


@pytest.mark.shows("OPS-DEMO-005")
async def test_the_demo_prints_its_dashboard_and_a_key_that_opens_it() -> None:
    anywhere = ("--public", "127.0.0.1:0", "--api", "127.0.0.1:0")
    async with running("demo", *anywhere) as ran, httpx.AsyncClient() as client:
        site = httpx.URL(str((await ran.named("ready"))["url"]))
        hint = await ran.event(lambda told: str(told.get("text", "")).startswith("dashboard: "))
        _, url, _, key = str(hint["text"]).split()
        me = await client.get(f"{url}api/v1/me", headers={"Authorization": f"Bearer {key}"})
        assert (me.status_code, me.json()["scopes"]) == (200, ["operate"])
        accounts = await client.get(f"{url}api/v1/accounts", headers={"Authorization": f"Bearer {key}"})
        assert [each["name"] for each in accounts.json()["items"]] == ["owner"]
        month = f"{url}api/v1/accounts/{accounts.json()['items'][0]['account']}/usage/month"
        visit = await client.get(f"http://127.0.0.1:{site.port}/", headers={"Host": site.netloc.decode("ascii")})
        assert visit.status_code == 200
        async with asyncio.timeout(WAIT_SECONDS):
            counted = 0
            while counted != 1:
                await asyncio.sleep(0.05)
                counted = (await client.get(month, headers={"Authorization": f"Bearer {key}"})).json()["requests"]
        assert await ran.end(signal.SIGINT) == 0
