"""The real program: `demo`, `server` and `http` as processes on loopback, ended by signals, judged by output and code.

Readiness is read from the first JSON line, so nothing here sleeps; a temporary directory per test shows what is left.
"""

import asyncio
import http.client
import io
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tunnel.cli import demo
from tunnel.cli.demo import END_SECONDS, GRACE_SECONDS
from tunnel.cli.exits import ExitCode
from tunnel.cli.lines import CLOSE_SECONDS
from tunnel.cli.main import run
from tunnel.cli.places import ApiPlace
from tunnel.core.base.outcome import Success
from tunnel.drive.address import Address
from tunnel.observe.events import AgentReady, Event, Warned

PATIENCE: Final = 60.0
"""How long a process that hangs may hang; nothing is expected to take this long."""

Process = subprocess.Popen[str]


def command_of(arguments: list[str]) -> list[str]:
    return [sys.executable, "-c", "from tunnel.cli.main import main; main()", *arguments]


DEMO: Final = ("demo", "--public", "127.0.0.1:0", "--api", "none")


@contextmanager
def running(arguments: list[str], scratch: Path, **environment: str) -> Iterator[Process]:
    """A process with its own temporary directory; killed if the test leaves it running."""
    scratch.mkdir(exist_ok=True)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own arguments
        command_of(arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch), **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(arguments: list[str], scratch: Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that ends by itself."""
    with running(arguments, scratch, **environment) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err


def first_line(process: Process) -> dict[str, object]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=PATIENCE)[1]
    told = json.loads(line)
    assert isinstance(told, dict)
    return told


def ended_by(process: Process, number: signal.Signals) -> tuple[int, str]:
    """Exit code and errors after one signal."""
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def fetched(public: str, host: str, path: str = "/headers") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(public, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def host_of(url: object) -> str:
    return str(url).removeprefix("http://").removesuffix("/")


def port_of(url: object) -> str:
    return host_of(url).rpartition(":")[2]


@contextmanager
def server(tmp_path: Path) -> Iterator[dict[str, object]]:
    arguments = [
        "server",
        "--domain",
        "localhost",
        "--public",
        "127.0.0.1:0",
        "--agents",
        "127.0.0.1:0",
        "--api",
        "none",
    ]
    with running([*arguments, "--state", str(tmp_path / "s"), "--output", "json"], tmp_path / "scratch") as process:
        yield first_line(process)
        assert ended_by(process, signal.SIGTERM)[0] == ExitCode.OK


def mint(tmp_path: Path, name: str, state: str = "s", account: str = "owner") -> Path:
    """A token file, made in this process to save the start of another."""
    out = tmp_path / f"token-{name.replace('*', 'any')}-{state}-{account}"
    arguments = ["token", "mint", "--state", str(tmp_path / state), "--name", name, "--account", account]
    create = ["account", "create", account, "--state", str(tmp_path / state)]
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        assert account == "owner" or run(create, {}) == ExitCode.OK
        assert run([*arguments, "--out", str(out)], {}) == ExitCode.OK
    return out


def agent(ready: dict[str, object], tmp_path: Path, token: Path, name: str = "demo", target: str = "1") -> list[str]:
    arguments = ["http", target, "--name", name, "--server", str(ready["agents"]), "--token-file", str(token)]
    return [*arguments, "--ca", str(tmp_path / "s" / "ca.pem"), "--output", "json"]


def secure_status(address: str, authority: str) -> int:
    """What a client gets there that trusts this authority alone, and looks for the name on this machine."""
    there = urlsplit(address)
    context = ssl.create_default_context(cafile=authority)
    request = f"GET / HTTP/1.1\r\nHost: {there.netloc}\r\nConnection: close\r\n\r\n".encode()
    with (
        socket.create_connection(("127.0.0.1", there.port or 443), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=there.hostname) as wire,
    ):
        wire.sendall(request)
        return int(wire.recv(4096).split(b" ")[1])


@pytest.mark.shows("OPS-DEMO-001", "OPS-CLI-006")
def test_the_demo_answers_and_leaves_nothing(tmp_path: Path) -> None:
    with running([*DEMO, "--output", "json"], tmp_path / "scratch") as process:
        ready = first_line(process)
        assert list(ready)[:2] == ["event", "url"]
        assert ready["event"] == "ready"
        hint = first_line(process)
        host, port = host_of(ready["url"]), port_of(ready["url"])
        assert hint["text"] == f"curl -H 'Host: {host}' http://127.0.0.1:{port}/"
        curl, flag, authority, address = str(first_line(process)["text"]).split(" ")
        assert (curl, flag) == ("curl", "--cacert")
        status, body = fetched(f"127.0.0.1:{port}", host)
        assert status == 200
        assert ["Host", host] in json.loads(body)["fields"]
        assert first_line(process)["event"] == "request"
        assert secure_status(address, authority) == 200
        assert first_line(process)["event"] == "request"
        assert list((tmp_path / "scratch").iterdir()) != []
        code, err = ended_by(process, signal.SIGINT)
    assert code == ExitCode.OK
    assert "Traceback" not in err
    assert list((tmp_path / "scratch").iterdir()) == []
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", int(port)))


@pytest.mark.shows("OPS-DEMO-002", "OPS-CLI-009")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_endless_response_does_not_hold_the_demo(tmp_path: Path, number: signal.Signals) -> None:
    with running([*DEMO, "--output", "json"], tmp_path / "scratch") as process:
        ready = first_line(process)
        connection = http.client.HTTPConnection("127.0.0.1", int(port_of(ready["url"])), timeout=PATIENCE)
        connection.request("GET", "/events", headers={"Host": host_of(ready["url"])})
        answer = connection.getresponse()
        assert answer.readline() == b"id: 0\n"
        code, err = ended_by(process, number)
        connection.close()
    assert code == ExitCode.OK
    assert "Traceback" not in err
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.shows("OPS-DEMO-002")
def test_the_demo_s_own_deadlines_add_up_to_less_than_a_second() -> None:
    """The worst case is bounded by these alone: the rest is cancelled at `END_SECONDS`."""
    assert GRACE_SECONDS < END_SECONDS < 1.0
    assert CLOSE_SECONDS < 1.0


@pytest.mark.shows("OPS-DEMO-001")
def test_the_demo_exposes_another_service(tmp_path: Path) -> None:
    with running([*DEMO, "--output", "json"], tmp_path / "a") as inner:
        target = f"127.0.0.1:{port_of(first_line(inner)['url'])}"
        arguments = [*DEMO, "--local", target, "--output", "json"]
        with running(arguments, tmp_path / "b") as outer:
            url = first_line(outer)["url"]
            status, body = fetched(f"127.0.0.1:{port_of(url)}", host_of(url))
            # The inner demo does not know the outer one's port; it does know the name, so its site answers.
            assert status == 200
            assert [pair for pair in json.loads(body)["fields"] if pair[0] == "Host"] == [["Host", host_of(url)]]
            assert ended_by(outer, signal.SIGINT)[0] == ExitCode.OK
        assert ended_by(inner, signal.SIGINT)[0] == ExitCode.OK


@pytest.mark.shows("OPS-DEMO-004")
def test_a_port_that_was_asked_for_is_used_or_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        public = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = finished(["demo", "--public", public, "--api", "none"], tmp_path / "scratch")
    assert code == ExitCode.NETWORK
    assert out == ""
    assert f"cannot listen on {public}" in err
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.shows("OPS-DEMO-004")
def test_a_taken_default_port_is_said_and_the_next_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, with another default than 8080, which may be anybody's on a machine that runs tests."""

    class Told:
        def __init__(self, stop: asyncio.Event) -> None:
            self.events: list[Event] = []
            self.hints: list[str] = []
            self._stop = stop

        def emit(self, event: Event) -> None:
            self.events.append(event)

        def hint(self, text: str) -> None:
            self.hints.append(text)
            self._stop.set()

        def close(self) -> None:
            """Nothing waits."""

    async def told_with(default: Address) -> Told:
        monkeypatch.setattr(demo, "DEFAULT_PUBLIC", default)
        stop = asyncio.Event()
        told = Told(stop)
        assert await demo.run_demo(demo.DemoSettings(None, None, ApiPlace(None)), told, stop) == Success(None)
        return told

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        default = Address("127.0.0.1", taken.getsockname()[1])
        told = asyncio.run(told_with(default))
    warning = told.events[0]
    assert isinstance(warning, Warned)
    assert warning.message.startswith(f"{default} is taken")
    assert str(default) not in told.hints[0]
    ready = [event for event in told.events if isinstance(event, AgentReady)]
    assert int(port_of(ready[0].url)) > default.port


@pytest.mark.shows("OPS-CLI-002", "OPS-CLI-006")
def test_server_and_agent_are_ready_answer_and_end_in_order(tmp_path: Path) -> None:
    with server(tmp_path) as ready, running(agent(ready, tmp_path, mint(tmp_path, "demo")), tmp_path / "x") as process:
        assert str(ready["url"]).startswith("http://NAME.localhost:")
        exposed = first_line(process)
        assert list(exposed)[:2] == ["event", "url"]
        status, _ = fetched(str(ready["public"]), host_of(exposed["url"]))
        assert status == 502  # nothing listens on the target, and the whole way was gone to find out
        code, err = ended_by(process, signal.SIGTERM)
        assert code == ExitCode.OK
        assert "Traceback" not in err


@pytest.mark.shows("OPS-CLI-002")
def test_a_name_held_by_another_token_is_exit_3(tmp_path: Path) -> None:
    ours, theirs = mint(tmp_path, "*", account="ann"), mint(tmp_path, "*", account="bob")
    with server(tmp_path) as ready, running(agent(ready, tmp_path, ours), tmp_path / "x") as holder:
        first_line(holder)
        code, out, err = finished(agent(ready, tmp_path, theirs), tmp_path / "x")
        assert code == ExitCode.NAME_TAKEN
        assert out == ""
        assert "the name 'demo' is not ours" in err


@pytest.mark.shows("OPS-CLI-002")
def test_a_token_of_another_server_or_for_another_name_is_exit_4(tmp_path: Path) -> None:
    foreign, other = mint(tmp_path, "demo", state="elsewhere"), mint(tmp_path, "other")
    with server(tmp_path) as ready:
        for token in (foreign, other):
            code, out, err = finished(agent(ready, tmp_path, token), tmp_path / "x")
            assert code == ExitCode.NOT_AUTHORISED, err
            assert out == ""
            assert "not authorised" in err


@pytest.mark.shows("OPS-CLI-002")
def test_a_server_that_cannot_be_trusted_is_exit_5(tmp_path: Path) -> None:
    token = mint(tmp_path, "demo")
    with server(tmp_path) as ready:
        arguments = [
            part for part in agent(ready, tmp_path, token) if part not in ("--ca", str(tmp_path / "s" / "ca.pem"))
        ]
        code, _, err = finished(arguments, tmp_path / "x")
        assert code == ExitCode.NETWORK
        assert "--ca" in err


@pytest.mark.shows("OPS-CLI-002")
def test_files_that_cannot_be_used_are_exit_2(tmp_path: Path) -> None:
    token = mint(tmp_path, "demo")
    arguments = ["http", "1", "--name", "demo", "--server", "127.0.0.1:1", "--token-file", str(token)]
    code, _, err = finished([*arguments, "--ca", str(tmp_path / "none.pem")], tmp_path / "x")
    assert code == ExitCode.USAGE
    assert "none.pem" in err
    (tmp_path / "s" / "token-signing.key").chmod(0o644)
    places = ["--domain", "localhost", "--public", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--api", "none"]
    code, _, err = finished(["server", *places, "--state", str(tmp_path / "s")], tmp_path / "x")
    assert code == ExitCode.USAGE
    assert f"chmod 600 {tmp_path}/s/token-signing.key" in err


def test_a_token_file_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    token = mint(tmp_path, "demo")
    token.chmod(0o644)
    arguments = ["http", "1", "--server", "127.0.0.1:1", "--token-file", str(token), "--ca", str(tmp_path / "none.pem")]
    _, _, err = finished(arguments, tmp_path / "x")
    assert f"chmod 600 {token}" in err


@pytest.mark.shows("OPS-CLI-009")
def test_an_agent_without_a_server_ends_when_told(tmp_path: Path) -> None:
    """It dials again and again, says so on standard error, and a signal ends it in the middle of that."""
    token = mint(tmp_path, "demo")
    with running(["http", "1", "--server", "127.0.0.1:1", "--token-file", str(token)], tmp_path / "x") as process:
        assert process.stderr is not None
        assert "no link" in process.stderr.readline()
        code, err = ended_by(process, signal.SIGINT)
    assert code == ExitCode.OK
    assert "Traceback" not in err


@pytest.mark.shows("OPS-CLI-009")
def test_a_second_signal_cuts_off(tmp_path: Path) -> None:
    """A visitor in the middle of an answer holds the end up for the grace period; the second signal ends it."""
    token = mint(tmp_path, "demo")
    arguments = [
        "server",
        "--domain",
        "localhost",
        "--public",
        "127.0.0.1:0",
        "--agents",
        "127.0.0.1:0",
        "--api",
        "none",
    ]
    with (
        running([*DEMO, "--output", "json"], tmp_path / "a") as site,
        running([*arguments, "--state", str(tmp_path / "s"), "--output", "json"], tmp_path / "b") as process,
    ):
        ready, site_url = first_line(process), first_line(site)["url"]
        rewritten = ["--host-header", host_of(site_url)]
        target = f"127.0.0.1:{port_of(site_url)}"
        with running([*agent(ready, tmp_path, token, target=target), *rewritten], tmp_path / "c") as link:
            url = first_line(link)["url"]
            connection = http.client.HTTPConnection(str(ready["public"]), timeout=PATIENCE)
            connection.request("GET", "/events", headers={"Host": host_of(url)})
            assert connection.getresponse().readline() == b"id: 0\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            while json.loads(process.stdout.readline())["event"] != "shutting_down":
                pass
            code, err = ended_by(process, signal.SIGTERM)
            connection.close()
    assert code == ExitCode.CUT_OFF
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path) -> None:
    """As in `tunnel config check F | true`: nobody is there to read the answer when it comes."""
    file = tmp_path / "tunnel.toml"
    os.mkfifo(file)
    with running(["config", "check", str(file)], tmp_path / "x") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        file.write_text("version = 1\n")  # the command has waited for this at the pipe
        assert process.wait(PATIENCE) == ExitCode.OK
        assert process.stderr.read() == ""
        process.stdout = None
