"""Log lines: what they hold of each event, that nobody begins one, and that no secret is in anything we write.

The last test runs the real programs (server, its control process, agent, commands) with secrets in every place that a
visitor, an agent or an operator can put one, and searches all that they wrote: to their outputs and into files.
"""

import base64
import http.client
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tunnel.cli.commands import Output
from tunnel.cli.running import screen_for
from tunnel.observe.events import Event, ExchangeDone, FromWorker, NotReloaded, SessionEnded, Warned, WorkerEnded
from tunnel.observe.logs import EventLog, LogFormat
from tunnel.observe.targets import path_of, shown_target

PATIENCE: Final = 60.0
NOON: Final = datetime(2026, 11, 22, 12, 0, 0, 5000, tzinfo=UTC)
DONE: Final = ExchangeDone(
    "r1", "demo", "GET", "/a?b=c", 502, 10.0, "local-refused", 1, 2, "203.0.113.9", 7, 1.0, 2.5, 3.0
)


def logged(event: Event, form: LogFormat = LogFormat.JSON) -> str:
    lines: list[str] = []
    EventLog(lines.append, form, lambda: NOON).emit(event)
    (line,) = lines
    return line


@pytest.mark.shows("OBS-LOG-001")
def test_an_exchange_is_a_line_with_its_hops() -> None:
    assert json.loads(logged(DONE)) == {
        "time": "2026-11-22T12:00:00.005Z",
        "level": "info",
        "event": "exchange_done",
        "request_id": "r1",
        "outcome": "local-refused",
        "status": 502,
        "name": "demo",
        "method": "GET",
        "path": "/a",
        "ms": 10.0,
        "edge_ms": 1.0,
        "link_ms": 2.5,
        "local_ms": 3.0,
        "body_ms": 3.5,
        "bytes_up": 1,
        "bytes_down": 2,
        "peer": "203.0.113.9",
        "session": 7,
    }
    line = logged(DONE, LogFormat.CONSOLE)
    assert line.startswith("2026-11-22T12:00:00.005Z [info     ] exchange_done request_id=r1 outcome=local-refused")


@pytest.mark.shows("OBS-LOG-001")
@pytest.mark.parametrize(
    ("event", "level", "fields"),
    [
        (SessionEnded(3, "gone", 1.23456), "info", {"session": 3, "reason": "gone", "seconds": 1.235}),
        (FromWorker(2, SessionEnded(3, "gone", 1.0)), "info", {"session": 3, "worker": 2}),
        (Warned("look"), "warning", {"message": "look"}),
        (NotReloaded("why"), "error", {"reason": "why"}),
        (WorkerEnded(1, 2, -9, "", expected=False), "error", {"code": -9}),
        (WorkerEnded(1, 2, 0, "", expected=True), "info", {"code": 0}),
    ],
)
def test_every_event_is_a_line(event: Event, level: str, fields: dict[str, object]) -> None:
    line = json.loads(logged(event))
    assert line["level"] == level
    assert fields.items() <= line.items()


@pytest.mark.shows("OBS-LOG-003")
@pytest.mark.parametrize("form", LogFormat)
@given(st.text(st.characters(categories=None)))
def test_no_text_of_a_peer_begins_a_line(form: LogFormat, text: str) -> None:
    for event in (SessionEnded(1, text, 1.0), ExchangeDone("r", text, text, text, 200, 1.0, "ok", 0, 0, text)):
        line = logged(event, form)
        assert len(line.splitlines()) == 1
        assert line.isprintable() or (form is LogFormat.JSON and line.isascii())


@given(st.text("ab/?#=.", max_size=12))
def test_a_target_is_shown_by_its_path(target: str) -> None:
    assert path_of(target) == re.split("[?#]", target)[0]
    assert shown_target(target) == (target if re.fullmatch("[^?#]*", target) else f"{path_of(target)}?...")


@pytest.mark.shows("OBS-LOG-001", "OBS-LOG-004")
@pytest.mark.parametrize(
    "output",
    [Output(is_json=one, is_quiet=two, log_format="json") for one, two in product((False, True), repeat=2)],
    ids=str,
)
def test_the_log_is_on_standard_error(output: Output, capfd: pytest.CaptureFixture[str]) -> None:
    screen = screen_for(output, {})
    screen.emit(Warned("look"))
    screen.emit(DONE)
    screen.hint("try this")
    screen.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["warned"] + ["exchange_done"] * (not output.is_quiet)


# What must never be written.

SECRETS: Final = tuple(f"planted-secret-{number:02}" for number in range(20))
BASIC: Final = base64.b64encode(f"user:{SECRETS[1]}".encode()).decode()
HEADERS: Final = {
    "Authorization": f"Bearer {SECRETS[0]}",
    "Proxy-Authorization": f"Basic {BASIC}",
    "Cookie": f"session={SECRETS[2]}; theme=dark",
    "X-Api-Key": SECRETS[3],
    "X-Forwarded-For": SECRETS[4],
    "Referer": f"https://elsewhere.example/?code={SECRETS[5]}",
    "User-Agent": SECRETS[6],
}


class Service(socketserver.StreamRequestHandler):
    """A local service that answers with secrets of its own, and says nothing of what it was asked."""

    @override
    def handle(self) -> None:
        """One exchange."""
        length = 0
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.rfile.read(length)
        body = SECRETS[7].encode()
        head = f"HTTP/1.1 200 OK\r\nSet-Cookie: id={SECRETS[8]}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


@contextmanager
def local_service() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Service) as service:
        service.daemon_threads = True
        thread = threading.Thread(target=service.serve_forever, daemon=True)
        thread.start()
        try:
            yield service.server_address[1]
        finally:
            service.shutdown()
            thread.join(PATIENCE)


@contextmanager
def program(place: Path, name: str, *arguments: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program whose outputs go to files, ended in order when the test is done with it."""
    with (place / f"{name}.out").open("wb") as out, (place / f"{name}.err").open("wb") as err:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own arguments
            [sys.executable, "-c", "from tunnel.cli.main import main; main()", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "TMPDIR": str(place), **environment},
        )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait(PATIENCE)


def told(place: Path, name: str, event: str) -> dict[str, object]:
    """The first object of this event among the lines of a program, once it is there."""
    until = datetime.now(UTC).timestamp() + PATIENCE
    while datetime.now(UTC).timestamp() < until:
        for line in (place / f"{name}.err").read_text("utf-8", "replace").splitlines():
            if f'"event":"{event}"' in line and line.endswith("}"):
                read = json.loads(line)
                assert isinstance(read, dict)
                return read
    raise AssertionError((place / f"{name}.err").read_text("utf-8", "replace"))


def command(place: Path, *arguments: str, **environment: str) -> str:
    """What a command says on standard output, which is for the one who typed it and not searched."""
    done = subprocess.run(  # noqa: S603 - likewise
        [sys.executable, "-c", "from tunnel.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "TMPDIR": str(place), **environment},
    )
    (place / f"command-{len(list(place.iterdir()))}.err").write_text(done.stderr)
    return done.stdout.strip()


def asked(at: str, method: str, path: str, headers: dict[str, str], body: str | None = None) -> int:
    connection = http.client.HTTPConnection(at, timeout=PATIENCE)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def visit(public: str) -> None:
    """Good, refused and broken requests, each full of secrets."""
    host = {"Host": f"demo.localhost:{public.rpartition(':')[2]}"}
    assert asked(public, "GET", f"/path?token={SECRETS[9]}", {**host, **HEADERS}) == 200
    assert asked(public, "POST", f"/path?sig={SECRETS[9]}", {**host, **HEADERS}, f"password={SECRETS[10]}") == 200
    assert asked(public, "GET", f"/?token={SECRETS[9]}", {"Host": "nobody.localhost", **HEADERS}) == 404
    assert asked(public, "GET", f"/?token={SECRETS[9]}", {"Host": f"{SECRETS[11]}.example", **HEADERS}) == 421
    for broken in (
        f"GET /?{SECRETS[9]} HTTP/1.1\r\nHost: demo.localhost\r\nCookie: {SECRETS[2]}\r\nBad {SECRETS[12]}: x\r\n\r\n",
        f"GET /?{SECRETS[9]} HTTP/1.1\nHost: {SECRETS[12]}\n\n",
        f"{SECRETS[12]}\r\n\r\n",
    ):
        with socket.create_connection(tuple_of(public), PATIENCE) as raw:
            raw.sendall(broken.encode())
            assert raw.recv(4096).startswith(b"HTTP/1.1 400")


def tuple_of(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host, int(port)


def operate(api: str, key: str) -> None:
    """Good and refused requests to the API, likewise."""
    bearer = {"Authorization": f"Bearer {key}"}
    assert asked(api, "GET", "/api/v1/accounts", bearer) == 200
    assert asked(api, "GET", f"/api/v1/accounts?key={SECRETS[13]}", {"Authorization": f"Bearer {SECRETS[14]}"}) == 401
    assert asked(api, "GET", "/api/v1/accounts", {"Authorization": f"Bearer {key[:-2]}xx"}) == 401
    assert asked(api, "GET", f"/nothing?{SECRETS[13]}", {"Cookie": f"tunnel={SECRETS[15]}"}) in {302, 303, 401, 404}
    json_type = {"Content-Type": "application/json", "Idempotency-Key": SECRETS[16]}
    assert asked(api, "POST", "/api/v1/accounts", {**bearer, **json_type}, f'{{"name": ["{SECRETS[17]}"]}}') == 422
    assert asked(api, "POST", "/api/v1/accounts", {**bearer, **json_type}, SECRETS[18]) in {400, 422}


def trail_with(place: Path, state: Path, wanted: set[str]) -> Path:
    """An export of the audit trail, once all these actions are in it."""
    out, until = place / "trail.jsonl", datetime.now(UTC).timestamp() + PATIENCE
    actions: set[str] = set()
    while not wanted <= actions:
        assert datetime.now(UTC).timestamp() < until, (wanted - actions, actions)
        command(place, "audit", "export", "--state", str(state), "--out", str(out))
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        actions = {str(line["action"]) for line in lines if "action" in line}
    return out


@pytest.mark.shows("OBS-LOG-002", "AUDIT-CHAIN-006")
@pytest.mark.timeout(300)
def test_no_secret_is_in_anything_that_is_written(tmp_path: Path) -> None:
    state, place = tmp_path / "state", tmp_path / "outputs"
    place.mkdir()
    listeners = ["--domain", "localhost", "--public", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--api", "127.0.0.1:0"]
    shown = ["--output", "json", "--log-format", "json"]
    with local_service() as port, program(place, "server", "server", *listeners, "--state", str(state), *shown):
        ready = told(place, "server", "server_ready")
        api = str(told(place, "server", "control_ready")["url"]).removeprefix("http://").rstrip("/")
        token = command(place, "token", "mint", "--state", str(state), "--name", "demo")
        key = command(place, "key", "mint", "--state", str(state))
        assert token.startswith("tnl")
        key = next(word for word in key.split() if word.startswith("tnlk_"))
        agent = ["http", str(port), "--name", "demo", "--server", str(ready["agents"]), "--ca", str(state / "ca.pem")]
        bad = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
        command(place, *agent, *shown, TUNNEL_TOKEN=bad)
        command(place, *agent, *shown, "--token", token)
        with program(place, "agent", *agent, *shown, TUNNEL_TOKEN=token):
            told(place, "agent", "agent_ready")
            visit(str(ready["public"]))
        operate(api, key)
        trail = trail_with(place, state, {"session.begin", "session.end", "agent.refuse", "key.mint", "server.start"})
    assert command(place, "audit", "verify", str(trail)).startswith(f"{trail}: nothing was changed")
    written = [each for folder in (place, state) for each in folder.rglob("*") if each.is_file()]
    assert len(written) > 8
    log = (place / "server.err").read_text("utf-8")
    outcomes = [json.loads(line)["outcome"] for line in log.splitlines() if '"event":"exchange_done"' in line]
    assert outcomes.count("ok") == 2
    assert {"unknown-name", "wrong-host"} <= set(outcomes)
    assert '"event":"session_ended"' in log
    assert '"event":"link_refused"' in log
    assert "/path" in log
    wanted = [*SECRETS, BASIC, token, bad, key, token[-43:], key[-43:]]
    found = [(each.name, secret) for each in written for secret in wanted if secret.encode() in each.read_bytes()]
    assert found == []
