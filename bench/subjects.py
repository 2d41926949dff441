"""The three that are compared: ours, the nginx pair, and the local service without anything before it."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from bench import nginx
from bench.processes import LOOPBACK, accepts, answers, free_port, running, said_by, wait_until
from bench.tools import Tools

DOWNLOAD_BYTES: Final = 100_000_000
_DOMAIN: Final = "localhost"
_PIECE_BYTES: Final = 1_000_000


@final
@dataclass(frozen=True, slots=True)
class Place:
    """One resource as a client reaches it: where to connect and what to send as Host."""

    port: int
    host: str
    path: str

    @property
    def url(self) -> str:
        """For a client that is told the Host apart."""
        return f"http://{LOOPBACK}:{self.port}{self.path}"


@final
@dataclass(frozen=True, slots=True)
class Subject:
    """One way to the local services, running; `server` and `agent` are the processes whose time is counted."""

    name: str
    small: Place
    download: Place
    upload: Place
    server: tuple[int, ...]
    agent: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class LocalServices:
    """What all three lead to, and the file that is sent up."""

    pages: int
    sink: int
    file: Path
    pids: tuple[int, ...]


@final
class Stage:
    """Starts everything in one folder; all of it ends with the exit stack."""

    def __init__(self, tools: Tools, folder: Path, until: ExitStack) -> None:
        self._tools: Final = tools
        self._folder: Final = folder
        self._until: Final = until

    def start_local_services(self) -> LocalServices:
        """A static nginx for small answers and the download; a counting sink for the upload."""
        www = self._folder / "www"
        www.mkdir()
        file = www / "download"
        with file.open("wb") as out:
            for _ in range(0, DOWNLOAD_BYTES, _PIECE_BYTES):
                out.write(bytes(range(250)) * (_PIECE_BYTES // 250))
        pages, sink = free_port(), free_port()
        page_server = self._nginx("local", nginx.local_service(self._folder, pages), pages)
        counter = self._start("sink", [sys.executable, "-m", "bench.sink", str(sink)], sink)
        return LocalServices(pages, sink, file, (page_server.pid, counter.pid))

    def start_direct(self, local: LocalServices) -> Subject:
        """Nothing between client and local service."""
        return subject_of("direct", (local.pages, LOOPBACK), (local.sink, LOOPBACK), (), ())

    def start_ours(self, local: LocalServices, name: str = "ours", *options: str) -> Subject:
        """One `tunnel server` and one `tunnel http` for each local service, as processes from the command line.

        `options` are more of the server's.
        """
        state, public, agents = self.state, free_port(), free_port()
        token = self._folder / "token"
        places = ("--public", f"{LOOPBACK}:{public}", "--agents", f"{LOOPBACK}:{agents}", "--api", "none")
        server = self._start("ours-server", self._tunnel("server", "--domain", _DOMAIN, *places, *options), public)
        said_by([_TUNNEL, "token", "mint", "--state", str(state), "--name", "*", "--out", str(token)])
        trust = ("--token-file", str(token), "--ca", str(state / "ca.pem"))
        dial = ("--server", f"{LOOPBACK}:{agents}", *trust)
        pages = self._expose("pages", local.pages, public, dial)
        sink = self._expose("sink", local.sink, public, dial)
        hosts = [(public, f"{name}.{_DOMAIN}:{public}") for name in ("pages", "sink")]
        return subject_of(name, hosts[0], hosts[1], (server.pid,), (pages, sink))

    def start_nginx(self, local: LocalServices) -> Subject:
        """Two nginx in the same roles, joined by kept-alive TLS 1.3; with our server's development certificate."""
        ports = nginx.Ports(free_port(), free_port(), free_port())
        certificate, authority = self.state / "server.pem", self.state / "ca.pem"
        stream = nginx.stream_agent(self._folder, ports, certificate, local.pages, local.sink, self._tools)
        agent = self._nginx("agent", stream, ports.small)
        server = self._nginx("server", nginx.proxy_server(self._folder, ports, authority), ports.public)
        at = (ports.public, LOOPBACK)
        return subject_of("nginx", at, at, (server.pid,), (agent.pid,))

    @property
    def state(self) -> Path:
        """The state directory of our server; exists once it runs."""
        return self._folder / "state"

    def _expose(self, name: str, local: int, public: int, dial: Sequence[str]) -> int:
        """The process of an agent whose name the server routes when this returns."""
        log = f"ours-agent-{name}"
        quiet = ("--name", name, "--quiet", "--output", "json")
        agent = self._launch(log, [_TUNNEL, "http", str(local), *dial, *quiet])
        host = f"{name}.{_DOMAIN}:{public}"
        wait_until(lambda: answers(public, host), log, agent, self._log(log))
        return agent.pid

    def _tunnel(self, *arguments: str) -> list[str]:
        return [_TUNNEL, *arguments, "--state", str(self.state), "--quiet", "--output", "json"]

    def _nginx(self, name: str, text: str, port: int) -> subprocess.Popen[bytes]:
        config = self._folder / f"{name}.conf"
        config.write_text(text, "utf-8")
        return self._start(f"nginx-{name}", [str(self._tools.nginx), "-c", str(config)], port)

    def _start(self, name: str, command: Sequence[str], port: int) -> subprocess.Popen[bytes]:
        """A child that listens at `port` when this returns."""
        child = self._launch(name, command)
        wait_until(lambda: accepts(port), name, child, self._log(name))
        return child

    def _launch(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return self._until.enter_context(running(name, command, self._folder))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


_TUNNEL: Final = str(Path(sys.executable).with_name("tunnel"))
"""The console script of the environment that runs this benchmark."""


def subject_of(
    name: str, pages: tuple[int, str], sink: tuple[int, str], server: tuple[int, ...], agent: tuple[int, ...]
) -> Subject:
    """A subject whose pages and sink are at these ports and hosts."""
    small, download = Place(*pages, "/small"), Place(*pages, "/download")
    return Subject(name, small, download, Place(*sink, "/upload"), server, agent)
