"""Under a service manager: sockets that it opens, words that it waits for, and unit files that it accepts.

The manager is a fake one: a datagram socket that keeps what it is told, and listening sockets that a server inherits as
descriptors 3 and 4. The unit files are judged by `systemd-analyze` where there is one.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tunnel.cli.commands import ServiceCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.main import run
from tunnel.cli.service import reaches_anybody, service_of, units_directory
from tunnel.cli.units import service_unit, socket_units
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.drive.manager import Manager, given_sockets

PATIENCE: Final = 60.0
_MAIN: Final = "from tunnel.cli.main import main; main()"
_AS_MANAGER: Final = (
    "import fcntl, os, sys; given = [int(each) for each in sys.argv[1].split(',')];"
    "spare = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in given];"
    "[os.dup2(each, 3 + place) for place, each in enumerate(spare)];"
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=sys.argv[2]);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[3:]])"
)
"""What systemd does between fork and exec: descriptors from 3 on, and whose they are."""


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


@contextmanager
def notified(directory: Path) -> Iterator[tuple[str, socket.socket]]:
    path = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.settimeout(PATIENCE)
        yield str(path), made


def told(manager: socket.socket, wanted: str) -> dict[str, str]:
    """The next message that says `wanted`; others, such as signs of life, are passed over."""
    while True:
        lines = dict(line.split("=", 1) for line in manager.recv(4096).decode().split("\n"))
        if wanted in lines:
            return lines


@pytest.mark.shows("OPS-UNIT-001", "OPS-UNIT-002")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_server_serves_the_sockets_it_is_given_and_says_how_it_does(tmp_path: Path, workers: int) -> None:
    with listening() as public, listening() as agents, notified(tmp_path) as (path, manager):
        ports = [each.getsockname()[1] for each in (agents, public)]
        given = f"{agents.fileno()},{public.fileno()}"
        places = ["--domain", "localhost", "--public", "127.0.0.1:1", "--agents", "127.0.0.1:2", "--api", "none"]
        server = ["-c", _MAIN, "server", *places, "--state", str(tmp_path / "s"), "--output", "json"]
        if workers:
            server += ["--workers", str(workers)]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _AS_MANAGER, given, "agents:public", *server],
            env={**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"},
            pass_fds=[agents.fileno(), public.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert [int(str(ready[key]).rpartition(":")[2]) for key in ("agents", "public")] == ports
            said = told(manager, "READY")
            assert (said["MAINPID"], said["STATUS"][:12]) == (str(process.pid), "serving http")
            assert told(manager, "WATCHDOG")["WATCHDOG"] == "1"
            with socket.create_connection(("127.0.0.1", ports[1]), PATIENCE) as visitor:
                visitor.sendall(b"GET / HTTP/1.1\r\nHost: no.localhost\r\nConnection: close\r\n\r\n")
                assert visitor.recv(12) == b"HTTP/1.1 404"
            if workers:
                process.send_signal(signal.SIGHUP)
                assert int(told(manager, "RELOADING")["MONOTONIC_USEC"]) > 0
                assert told(manager, "READY")["STATUS"] == "2 workers, reloaded"
            process.send_signal(signal.SIGTERM)
            assert int(told(manager, "STOPPING")["EXTEND_TIMEOUT_USEC"]) > 30_000_000
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.mark.shows("OPS-UNIT-001")
def test_sockets_that_a_server_cannot_use_are_refused(tmp_path: Path) -> None:
    ours = str(os.getpid())
    assert given_sockets({}) == Success({})
    assert given_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "9"}) == Success({})
    for count in ("", "x", "-1", "65", "\N{SUPERSCRIPT TWO}"):
        refused = given_sockets({"LISTEN_PID": ours, "LISTEN_FDS": count})
        assert isinstance(refused, Failure)
        assert "LISTEN_FDS" in error_of(refused).detail
    places = [
        "--domain",
        "localhost",
        "--public",
        "127.0.0.1:1",
        "--agents",
        "127.0.0.1:2",
        "--api",
        "none",
        "--state",
        str(tmp_path),
    ]
    with listening() as one:
        for names, why in (("public", "named public"), ("http", "named http")):
            command = [sys.executable, "-c", _AS_MANAGER, str(one.fileno()), names, "-c", _MAIN, "server", *places]
            done = subprocess.run(  # noqa: S603 - our own interpreter
                command, pass_fds=[one.fileno()], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            assert done.returncode == ExitCode.USAGE
            assert why in done.stderr


@pytest.mark.shows("OPS-UNIT-002")
def test_a_manager_that_listens_nowhere_or_in_the_abstract_is_told(tmp_path: Path) -> None:
    Manager({}).ready("to nobody")
    Manager({"NOTIFY_SOCKET": str(tmp_path / "none")}).ready("to nobody")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        name = f"tunnel-test-{os.getpid()}"
        made.bind(f"\0{name}")
        made.settimeout(PATIENCE)
        manager = Manager({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"})
        assert manager.watchdog_seconds == 0
        manager.stopping(1.5)
        assert told(made, "STOPPING")["EXTEND_TIMEOUT_USEC"] == "1500000"


def command_of(*arguments: str, is_of_user: bool = False, with_sockets: bool = True) -> ServiceCommand:
    return ServiceCommand("install", None, is_of_user, False, with_sockets, None, arguments)  # noqa: FBT003 - a record


SERVER: Final = ("server", "--domain", "t.example.com", "--public", "0.0.0.0:80", "--agents", "0.0.0.0:443")


@pytest.mark.shows("OPS-UNIT-003")
@pytest.mark.parametrize("is_of_user", [False, True])
def test_unit_files_are_accepted_by_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_of_user: bool
) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    monkeypatch.setenv("SUDO_USER", "root")
    state = "/var/lib/tunnel" if not is_of_user else str(tmp_path / "with space and 100% $HOME")
    made = service_of(command_of(*SERVER, "--workers", "2", "--state", state, is_of_user=is_of_user))
    assert isinstance(made, Success), made
    service = value_of(made)
    files = {f"{service.name}.service": service_unit(service), **socket_units(service)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    told_by = subprocess.run(  # noqa: S603 - found by its name
        [analyze, *(["--user"] if is_of_user else []), "verify", *[str(tmp_path / name) for name in files]],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    ours = [line for line in told_by.stderr.splitlines() if "tunnel-server" in line]
    assert ours == [], told_by.stderr


@pytest.mark.shows("OPS-UNIT-003")
def test_a_service_of_the_system_may_do_what_it_needs_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.cli.service.reaches_anybody", lambda *_programs: True)
    made = service_of(command_of(*SERVER, "--workers", "2", "--state", "/var/lib/tunnel"))
    assert isinstance(made, Success)
    lines = service_unit(value_of(made)).splitlines()
    for line in (
        "Type=notify",
        "KillMode=mixed",
        "DynamicUser=yes",
        "StateDirectory=tunnel",
        "ProtectSystem=strict",
        "WatchdogSec=30",
    ):
        assert line in lines
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE" in lines
    assert any(line.startswith("ExecReload=") and line.endswith("reload --state /var/lib/tunnel") for line in lines)
    high = service_of(
        command_of(*SERVER[:3], "--public", "[::]:8080", "--agents", "[::]:8443", "--state", "/var/lib/t")
    )
    assert isinstance(high, Success)
    text = service_unit(value_of(high))
    assert "CapabilityBoundingSet=\n" in text
    assert "ExecReload" not in text
    assert "ListenStream=[::]:8080" in socket_units(value_of(high))["tunnel-server-public.socket"]


@pytest.mark.shows("OPS-UNIT-006")
def test_a_program_in_a_closed_folder_runs_as_who_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reaches_anybody(Path("/bin/sh"))
    assert not reaches_anybody(tmp_path / "gone" / "tunnel")
    closed = tmp_path / "home"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    assert not reaches_anybody(Path("/bin/sh"), closed / "bin" / "tunnel")
    monkeypatch.setattr("tunnel.cli.service.reaches_anybody", lambda *_programs: False)
    monkeypatch.setenv("SUDO_USER", "deployer")
    made = service_of(command_of(*SERVER, "--state", "/var/lib/tunnel"))
    assert isinstance(made, Success)
    lines = service_unit(value_of(made)).splitlines()
    assert "User=deployer" in lines
    assert "StateDirectory=tunnel" in lines
    assert "DynamicUser=yes" not in lines


@pytest.mark.shows("OPS-UNIT-004")
def test_install_shows_writes_and_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = str(tmp_path / "token")
    agent = ["http", "3000", "--name", "web", "--server", "t.example.com:443", "--token-file", token]
    install = ["service", "install", "--units", str(tmp_path / "units")]
    assert run([*install, "--dry-run", *agent], {}) == ExitCode.OK
    shown = capsys.readouterr().out
    assert f"--token-file {token}" in shown
    assert not (tmp_path / "units").exists()
    assert run([*install, *agent], {}) == ExitCode.OK
    assert (tmp_path / "units" / "tunnel-web.service").read_text() in shown
    capsys.readouterr()
    uninstall = ["service", "uninstall", "--units", str(tmp_path / "units"), "--name", "tunnel-web"]
    assert run([*uninstall, "--dry-run"], {}) == ExitCode.OK
    assert "would remove" in capsys.readouterr().out
    assert run(["service", "status", *uninstall[2:]], {}) == ExitCode.OK
    assert run(uninstall, {}) == ExitCode.OK
    assert list((tmp_path / "units").iterdir()) == []
    assert run(uninstall, {}) == ExitCode.USAGE
    assert run(["service", "status", *uninstall[2:]], {}) == ExitCode.USAGE


@pytest.mark.shows("OPS-UNIT-004")
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--database", "sqlite:other.db"), "sqlite:{state}/other.db"),
        (("--database=sqlite:other.db",), "--database=sqlite:{state}/other.db"),
        (("--database", "sqlite:///srv/other.db"), "sqlite:/srv/other.db"),
        (("--database", "sqlite:/srv/other.db"), "sqlite:/srv/other.db"),
        (("--database", "postgresql://tunnel@db/tunnel"), "postgresql://tunnel@db/tunnel"),
    ],
    ids=["relative", "with-equals", "with-slashes", "whole", "postgres"],
)
def test_the_file_of_a_database_does_not_depend_on_where_a_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    made = service_of(command_of(*SERVER, "--state", "kept", *flags))
    assert isinstance(made, Success), made
    assert value_of(made).arguments[-1] == named.format(state=tmp_path / "kept")


@pytest.mark.shows("OPS-UNIT-004")
def test_what_cannot_be_a_service_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (("version",), ("http", "3000", "--token-file", "-"), ("server", "--domain", "x")):
        assert isinstance(service_of(command_of(*arguments)), Failure), arguments
    monkeypatch.chdir(tmp_path)
    relative = service_of(command_of("http", "3000", "--token-file=token", "--ca", "ca.pem"))
    assert isinstance(relative, Success)
    assert value_of(relative).arguments[2:] == (f"--token-file={tmp_path}/token", "--ca", f"{tmp_path}/ca.pem")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert units_directory(command_of(is_of_user=True)) == tmp_path / "systemd" / "user"
    assert units_directory(command_of()) == Path("/etc/systemd/system")
