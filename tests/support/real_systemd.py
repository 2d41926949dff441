"""A systemd of our own, PID 1 of namespaces in which it cannot write to this machine (systemd_world.sh)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 60.0
_NAMESPACES: Final = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
_ASKED: Final = "TUNNEL_REAL_SYSTEMD"
"""What has to be 1 in the environment: nobody's machine starts a second systemd because its tests were run."""
_NEEDED: Final = ("/lib/systemd/systemd", "/usr/bin/systemctl", "/usr/bin/unshare", "/usr/bin/nsenter", "/usr/sbin/ip")


@final
class CannotBeginError(Exception):
    """No systemd can be started here; why."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no systemd of our own: {why}")


@final
class RealSystemd:
    """A systemd that runs; `call` runs a command beside it."""

    def __init__(self, pid: int) -> None:
        self._pid: Final = pid

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command in its namespaces."""
        environment = (f"PYTHONPATH={ROOT / 'src'}", "SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/units")
        return ["/usr/bin/nsenter", f"--target={self._pid}", *_NAMESPACES, "--", "/usr/bin/env", *environment, *command]

    def call(self, *command: str) -> str:
        """What it printed; an AssertionError with what it and the service said, when it failed."""
        code, said = self.tried(*command)
        if code:
            message = f"{command} ended with {code}: {said}\n{self.tried('/bin/cat', '/run/service.log')[1]}"
            raise AssertionError(message)
        return said

    def tried(self, *command: str) -> tuple[int, str]:
        """Its exit code, and what it printed."""
        whole = self.inside(*command)
        done = subprocess.run(whole, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)  # noqa: S603 - ours
        return done.returncode, done.stdout if not done.returncode else done.stdout + done.stderr

    def facts(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        told = self.call("systemctl", "show", unit, "--property", ",".join(names))
        return dict(line.split("=", 1) for line in told.splitlines())


@contextmanager
def real_systemd(log: Path) -> Iterator[RealSystemd]:
    """One that runs for the length of the block; CannotBeginError, with the reason, where that is not allowed."""
    if os.environ.get(_ASKED) != "1":
        why = f"{_ASKED}=1 is not in the environment"
        raise CannotBeginError(why)
    lacking = [each for each in _NEEDED if not Path(each).exists()]
    if lacking or os.geteuid():
        why = f"{', '.join(lacking) or 'root'} is not here"
        raise CannotBeginError(why)
    group = _cgroup()
    keep = dict.fromkeys(str(Path(each).resolve()) for each in (ROOT, sys.prefix, sys.base_prefix))
    kept = [each for each in keep if not each.startswith("/usr")]
    script = (Path(__file__).parent / "systemd_world.sh").read_text()
    unshare = ["/usr/bin/unshare", *_NAMESPACES, "--fork", "--mount-proc", "--kill-child=KILL"]
    begin = f'echo $$ >{group}/cgroup.procs && exec "$@"'
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - ours
            ["/bin/bash", "-c", begin, "begin", *unshare, "/bin/bash", "-eu", "-c", script, "world", *kept],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
    try:
        yield _running(process, log)
    finally:
        process.kill()
        process.wait()
        _removed(group)


def _running(process: "subprocess.Popen[bytes]", log: Path) -> RealSystemd:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        first = children.read_text().split()[:1] if children.exists() else []
        if first:
            own = RealSystemd(int(first[0]))
            if own.tried("systemctl", "is-system-running") == (0, "running\n"):
                return own
        time.sleep(0.05)
    why = f"it does not come up: {log.read_text(errors='replace')[-300:]}"
    raise CannotBeginError(why)


def _cgroup() -> Path:
    """A new group of processes, below where the unified hierarchy is mounted."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [place for _, place, kind, *_ in mounts if kind == "cgroup2"]
    if not found:
        why = "no cgroup2 is mounted"
        raise CannotBeginError(why)
    group = Path(found[0]) / f"tunnel-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as cause:
        why = f"{group}: {cause.strerror}"
        raise CannotBeginError(why) from cause
    return group


def _removed(group: Path) -> None:
    """Its groups end with their processes, a moment after these."""
    until = time.monotonic() + PATIENCE
    while group.exists() and time.monotonic() < until:
        for each in sorted((each for each in group.rglob("*") if each.is_dir()), reverse=True):
            _try_to_remove(each)
        _try_to_remove(group)
        time.sleep(0.02)


def _try_to_remove(group: Path) -> None:
    try:
        group.rmdir()
    except OSError:
        return
