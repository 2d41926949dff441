"""Local services as people run them: uvicorn, gunicorn, Node, nginx, `python -m http.server` and a Vite dev server."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tests.support.interop_peers import BUILT
from tests.support.ports import free_port
from tests.support.shell_world import LOOPBACK

from tunnel.drive.address import Address

SOURCES: Final = Path(__file__).parents[1] / "interop" / "servers"
ENVIRONMENT: Final = BUILT / "servers" / "venv" / "bin"
LOOKS: Final = 10
"""So often in a row a server has to take a connection before it counts as there."""
VITE: Final = BUILT / "vite" / "node_modules" / ".bin" / "vite"
LARGE: Final = bytes(i % 251 for i in range(3_000_000))
PATIENCE: Final = 60.0

NGINX: Final = """
daemon off; master_process off; pid {site}/nginx.pid; error_log stderr error;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {site}/b; proxy_temp_path {site}/p;
  fastcgi_temp_path {site}/f; uwsgi_temp_path {site}/u; scgi_temp_path {site}/s;
  types {{ text/html html; }} default_type application/octet-stream;
  gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
  server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
"""
"""Without `gzip_proxied` nginx compresses nothing that came through a proxy, which it knows by Via."""


@final
@dataclass(frozen=True)
class Kind:
    """How to start a server, and what can be asked of it."""

    command: tuple[str, ...]
    checks: frozenset[str]


PAGES: Final = frozenset({"page", "missing", "large"})
KINDS: Final = {
    "uvicorn": Kind(
        (str(ENVIRONMENT / "uvicorn"), "application:asgi", "--port", "{port}", "--log-level", "error"),
        PAGES | {"echo", "events", "socket"},
    ),
    "gunicorn": Kind(
        (str(ENVIRONMENT / "gunicorn"), "application:wsgi", "-b", "127.0.0.1:{port}", "--threads", "4"),
        PAGES | {"echo", "events"},
    ),
    "node": Kind(("node", str(SOURCES / "node.mjs"), "{port}"), PAGES | {"echo", "events"}),
    "nginx": Kind(("nginx", "-c", "{site}/nginx.conf", "-p", "{site}"), PAGES | {"range"}),
    "http.server": Kind((sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}"), PAGES),
    "vite": Kind((str(VITE), "--port", "{port}", "--host", "127.0.0.1", "--strictPort"), PAGES),
}


def is_here(name: str) -> bool:
    """Whether the server can be started on this machine."""
    return shutil.which(KINDS[name].command[0]) is not None


@asynccontextmanager
async def local_server(name: str, site: Path) -> AsyncIterator[Address]:
    """A server of that kind with the site in an empty directory; it is gone afterwards."""
    for file in (*SOURCES.glob("*.*"), *((BUILT / "vite").glob("*.*") if name == "vite" else ())):
        shutil.copy(file, site)
    (site / "large.bin").write_bytes(LARGE)
    if name == "vite":
        (site / "node_modules").symlink_to(BUILT / "vite" / "node_modules")
        (site / "public").mkdir()
        (site / "large.bin").rename(site / "public" / "large.bin")
    port = free_port()
    (site / "nginx.conf").write_text(NGINX.format(site=site, port=port))
    command = [part.format(site=site, port=port) for part in KINDS[name].command]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=site,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await _accepting(port, process)
        yield Address(LOOPBACK, port)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _accepting(port: int, process: asyncio.subprocess.Process) -> None:
    """Return once the server takes connections, and goes on to; no server tells this in a way that all share.

    Vite closes its port and opens it again when it notices that the files of its configuration are new.
    """
    steady = 0
    async with asyncio.timeout(PATIENCE):
        while steady < LOOKS:
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                assert process.returncode is None, (await process.communicate())[1].decode()
                steady = 0
            else:
                writer.close()
                steady += 1
            await asyncio.sleep(0.05)
