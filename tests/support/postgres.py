"""A Postgres of one's own: the installed programs, a throw-away cluster in a temporary folder, stopped at the end.

It can be stopped, killed, paused and started again, as databases are. Postgres refuses to run as root, so that its
programs are run as the user `postgres` there.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

import psycopg
from tests.support.ports import free_port

WAIT_SECONDS: Final = 60.0
"""How long anything here may take on a busy machine before it counts as broken."""
SUPERUSER: Final = "tunnel"
QUICK: Final[Mapping[str, str]] = {"fsync": "off", "full_page_writes": "off", "deadlock_timeout": "100ms"}
"""For tests that judge behaviour: a power cut is not among the things they try, a killed server is."""

_USER: Final = "postgres"
_PARENTS: Final = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest version there is; None when Postgres is not installed.

    `TUNNEL_POSTGRES` in the environment names the folder of another version.
    """
    wanted = os.environ.get("TUNNEL_POSTGRES")
    if wanted:
        return Path(wanted)
    named = shutil.which("initdb")
    if named is not None and shutil.which("postgres") is not None:
        return Path(named).resolve().parent
    found = sorted(_PARENTS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].partition(".")[0]))
    return found[-1].parent if found else None


@final
class PostgresServer:
    """One cluster. `start` makes it at first; finished by `destroy`, which leaves no process and no file."""

    def __init__(self, settings: Mapping[str, str] = QUICK, *, is_tcp: bool = False) -> None:
        self._settings: Final = dict(settings)
        self._home: Final = Path(tempfile.mkdtemp(prefix="tunnel-pg-"))
        self._home.chmod(0o755)
        self._data: Final = self._home / "data"
        self._log: Final = self._home / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped: list[int] = []
        self.port: Final = free_port() if is_tcp else 5432
        self._is_tcp: Final = is_tcp

    def url(self, database: str = "postgres") -> str:
        """A URL of a database of this cluster, by its Unix socket, or over loopback when it was made so."""
        if self._is_tcp:
            return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{SUPERUSER}@/{database}?host={self._home}"

    @property
    def socket_path(self) -> Path:
        """Its Unix socket, for whoever stands between it and a client."""
        return self._home / f".s.PGSQL.{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        if not self._data.exists():
            self._make()
        where = ["-c", "listen_addresses=127.0.0.1" if self._is_tcp else "listen_addresses="]
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(_bin() / "postgres"), "-D", str(self._data), "-k", str(self._home), "-p", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the installed program, by its path
                [*command, *where, *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._home, user=_user(), start_new_session=True,
            )  # fmt: skip
        self._wait_until_answered()

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Runs one statement as the superuser, outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=int(WAIT_SECONDS)) as connection:
            connection.execute(statement.encode())

    def make_database(self, name: str, template: str = "template1") -> str:
        """The URL of a new database."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def set(self, name: str, value: str) -> None:
        """Changes a setting for the next `start`."""
        self._settings[name] = value

    def stop(self) -> None:
        """As an operator stops it: connections are ended, everything is on disk."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash ends it: SIGKILL to each of its processes, none of which says good-bye."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stops every process of it with SIGSTOP: connections stay open and nothing answers."""
        self._stopped = self._family()
        for pid in self._stopped:
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        for pid in self._stopped:
            _signal(pid, signal.SIGCONT)
        self._stopped = []

    def destroy(self) -> None:
        """Ends it, whatever state it is in, and removes its files."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def _make(self) -> None:
        if _user() is not None:
            shutil.chown(self._home, _USER)
        made = subprocess.run(  # noqa: S603 - likewise
            [
                str(_bin() / "initdb"), "-D", str(self._data), "-U", SUPERUSER,
                "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
            ],
            capture_output=True, check=False, cwd=self._home, user=_user(), timeout=WAIT_SECONDS,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr.decode()

    def _wait_until_answered(self) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=int(WAIT_SECONDS)).close()
            except psycopg.OperationalError:
                assert self._process is not None
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < end, self._log.read_text()
                time.sleep(0.05)
            else:
                return

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self.resume()
        family = _family(process.pid)
        process.send_signal(how)
        if how == signal.SIGKILL:
            for pid in family:
                _signal(pid, how)
        process.wait(WAIT_SECONDS)

    def _family(self) -> list[int]:
        return [] if self._process is None else _family(self._process.pid)


def _bin() -> Path:
    found = programs()
    assert found is not None, "Postgres is not installed"
    return found


def _user() -> str | None:
    return _USER if os.geteuid() == 0 else None


def _family(pid: int) -> list[int]:
    """The process and its children; a server of Postgres has no grandchildren."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *(int(word) for word in children.read_text().split())] if children.exists() else [pid]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
