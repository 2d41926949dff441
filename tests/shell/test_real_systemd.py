"""Under a real systemd: `service install` with sockets, readiness, reload, restart under visitors, stop, uninstall.

It is PID 1 of namespaces of its own, in which every disk is read-only (tests/support/systemd_world.sh). Left out by
name where that is not asked for (TUNNEL_REAL_SYSTEMD=1) or not allowed.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.support.real_systemd import PATIENCE, CannotBeginError, RealSystemd, real_systemd

_TUNNEL: Final = (sys.executable, "-P", "-m", "tunnel")
_SERVER: Final = (
    "server", "--domain", "localhost", "--public", "127.0.0.1:80", "--agents", "127.0.0.1:443",
    "--state", "/var/lib/tunnel", "--workers", "1", "--api", "none",
)  # fmt: skip
_VISITORS: Final = """
import select, socket, sys
asked = 0
while not select.select([sys.stdin], [], [], 0.01)[0]:
    with socket.create_connection(("127.0.0.1", 80), 60) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\\r\\nHost: no.localhost\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b""
        while more := visitor.recv(65536):
            answer += more
    if answer[:12] != b"HTTP/1.1 404":
        sys.exit(f"visitor {asked}: {answer[:200]!r}")
    asked += 1
    if asked == 1:
        print("begun", flush=True)
print(asked)
"""
"""Visitors, one after the other, until somebody writes; whoever is refused, reset or cut ends it with a traceback."""


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[RealSystemd]:
    with ExitStack() as until:
        try:
            running = until.enter_context(real_systemd(tmp_path / "systemd.log"))
        except CannotBeginError as cause:
            pytest.skip(str(cause))
        yield running


@pytest.mark.shows("OPS-UNIT-005", "OPS-UNIT-006")
def test_a_service_lives_under_a_real_systemd(systemd: RealSystemd) -> None:
    systemd.call(*_TUNNEL, "service", "install", "--sockets", *_SERVER)
    assert systemd.facts("tunnel-server", "ActiveState") == {"ActiveState": "inactive"}
    visitors = subprocess.Popen(  # noqa: S603 - ours
        systemd.inside(sys.executable, "-c", _VISITORS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert visitors.stdin is not None
        assert visitors.stdout is not None
        assert visitors.stdout.readline() == "begun\n"
        begun = systemd.facts("tunnel-server", "ActiveState", "StatusText", "DynamicUser", "MainPID", "Result")
        first = begun.pop("MainPID")
        assert begun == {
            "ActiveState": "active",
            "StatusText": "serving http://NAME.localhost/",
            "DynamicUser": "yes",
            "Result": "success",
        }
        systemd.call("systemctl", "reload", "tunnel-server")
        reloaded = systemd.facts("tunnel-server", "MainPID", "StatusText", "ReloadResult")
        assert reloaded == {"MainPID": first, "StatusText": "1 workers, reloaded", "ReloadResult": "success"}
        systemd.call("systemctl", "restart", "tunnel-server")
        restarted = systemd.facts("tunnel-server", "MainPID", "ActiveState", "NRestarts")
        assert restarted.pop("MainPID") != first
        assert restarted == {"ActiveState": "active", "NRestarts": "0"}
        said, _ = visitors.communicate("enough\n", PATIENCE)
        assert visitors.returncode == 0
        assert int(said) > 1
    finally:
        visitors.kill()
        visitors.communicate()
    sockets = ("tunnel-server-public.socket", "tunnel-server-agents.socket")
    systemd.call("systemctl", "stop", *sockets, "tunnel-server")
    ended = systemd.facts("tunnel-server", "ActiveState", "Result", "ExecMainStatus", "StatusText")
    assert ended == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "StatusText": ""}
    removed = systemd.call(*_TUNNEL, "service", "uninstall")
    assert removed.count("removed /etc/systemd/system/tunnel-server") == 3
    assert systemd.call("/bin/ls", "/etc/systemd/system") == "tunnel-server.service.d\n"


@pytest.mark.shows("OPS-UNIT-006")
def test_a_state_directory_elsewhere_is_made_and_written_by_who_installs(systemd: RealSystemd) -> None:
    elsewhere = [*_SERVER[: _SERVER.index("/var/lib/tunnel")], "/home/kept", "--api", "none"]
    made = systemd.call("/usr/bin/env", "SUDO_USER=root", *_TUNNEL, "service", "install", *elsewhere)
    assert "made /home/kept, of root\n" in made
    facts = systemd.facts("tunnel-server", "ActiveState", "User", "DynamicUser")
    assert facts == {"ActiveState": "active", "User": "root", "DynamicUser": "no"}
    assert "ca.pem" in systemd.call("/bin/ls", "/home/kept")
    systemd.call(*_TUNNEL, "service", "uninstall")
