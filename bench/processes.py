"""Child processes that are stopped again, and the processor time that they and their children have used."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.failure import BenchError

LOOPBACK: Final = "127.0.0.1"
PORTS_LOW: Final = 20_000
PORTS: Final = 12_000
_START_SECONDS_MAX: Final = 60.0
_STOP_SECONDS_MAX: Final = 5.0
_LOOK_AGAIN_SECONDS: Final = 0.02
_ANSWER_SECONDS_MAX: Final = 2.0
_NANOSECONDS: Final = 1_000_000_000
_LOG_LINES_SHOWN: Final = 12


@contextmanager
def running(name: str, command: Sequence[str | Path], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a child for the length of the block; what it says goes to `folder/NAME.log`."""
    log = folder / f"{name}.log"
    with log.open("wb") as words:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def said_by(command: Sequence[str]) -> str:
    """What a command that ends by itself wrote to standard output; a `BenchError` with its complaint if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()}"
        raise BenchError(message)
    return done.stdout


def free_port() -> int:
    """A TCP port that nobody on this machine has now, below those that the system gives to any connection."""
    while True:
        port = PORTS_LOW + secrets.randbelow(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def wait_until(holds: Callable[[], bool], what: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Return once `holds()`; a `BenchError` with the child's last words when it ends or takes too long."""
    give_up_at = time.monotonic() + _START_SECONDS_MAX
    while not holds():
        if child.poll() is not None or time.monotonic() > give_up_at:
            words = "\n".join(log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES_SHOWN:])
            message = f"{what} did not start:\n{words}"
            raise BenchError(message)
        time.sleep(_LOOK_AGAIN_SECONDS)


def accepts(port: int) -> bool:
    """Whether somebody listens at this port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def answers(port: int, host: str) -> bool:
    """Whether `host` leads to a local service yet; both of ours answer 200 to this."""
    try:
        with socket.create_connection((LOOPBACK, port), _ANSWER_SECONDS_MAX) as visitor:
            visitor.sendall(f"GET /small HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii"))
            return visitor.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of these processes, their threads and all their living children so far.

    From the scheduler's own nanosecond counters: utime and stime of /proc/PID/stat hold the same time, cut to 10 ms,
    which is a tenth of what nginx needs for 100 MB.
    """
    waiting, total = list(pids), 0
    while waiting:
        tasks = Path(f"/proc/{waiting.pop()}/task")
        # A process or thread may end while we look.
        with contextlib.suppress(OSError):
            for task in list(tasks.iterdir()):
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text("ascii").split()[0])
                    waiting += (int(pid) for pid in (task / "children").read_text("ascii").split())
    return total / _NANOSECONDS


def cpu_seconds_of_machine() -> float:
    """Processor time that anybody on this machine has used so far, the kernel included."""
    fields = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, soft, *_ = (int(field) for field in fields)
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + soft) / ticks
