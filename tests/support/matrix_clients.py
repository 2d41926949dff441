"""Clients as people use them: curl, h11, aiohttp, websockets and Chromium; each answers a check with what it got."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

import aiohttp
import h11
from tests.support.chromium import open_page
from tests.support.matrix_servers import ENVIRONMENT, SOURCES

from tunnel.drive.address import Address

UPLOAD: Final = b"u" * 1_000_000
TARGETS: Final = {
    "page": "/",
    "missing": "/missing",
    "large": "/large.bin",
    "range": "/large.bin",
    "echo": "/echo",
    "events": "/events",
}
RANGE: Final = "bytes=1000-1999"

Told: TypeAlias = str


@final
@dataclass(frozen=True)
class Place:
    """Where to connect, which host is meant, and where a client may keep files."""

    address: Address
    host: str
    scratch: Path


def digest(status: int, body: bytes) -> Told:
    """What is compared: the status, and the body by length and hash."""
    return f"{status} {len(body)} {hashlib.sha256(body).hexdigest()[:16]}"


async def output_of(*command: str) -> bytes:
    """The standard output of a program that succeeds."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return told


async def curl(place: Place, check: str) -> Told:
    """curl, with compression and Expect as it decides itself."""
    file = place.scratch / "curl.out"
    file.write_bytes(b"")
    upload = place.scratch / "upload"
    upload.write_bytes(UPLOAD)
    url = f"http://{place.address}{TARGETS[check]}"
    options = ["--silent", "--show-error", "--compressed", "--output", str(file), "--write-out", "%{http_code}"]
    if check == "echo":
        options += ["--data-binary", f"@{upload}", "--header", "Expect: 100-continue"]
    if check == "range":
        options += ["--header", f"Range: {RANGE}"]
    status = await output_of("curl", *options, "--header", f"Host: {place.host}", url)
    return digest(int(status), file.read_bytes())


async def with_h11(place: Place, check: str) -> Told:
    """h11 on a plain socket; it refuses whatever is not exactly HTTP/1.1. Uploads are chunked."""
    reader, writer = await asyncio.open_connection(place.address.host, place.address.port)
    try:
        machine = h11.Connection(h11.CLIENT)
        headers = [("Host", place.host), ("Connection", "close")]
        if check == "echo":
            headers.append(("Transfer-Encoding", "chunked"))
        if check == "range":
            headers.append(("Range", RANGE))
        method = "POST" if check == "echo" else "GET"
        writer.write(machine.send(h11.Request(method=method, target=TARGETS[check], headers=headers)) or b"")
        if check == "echo":
            for at in range(0, len(UPLOAD), 77_777):
                writer.write(machine.send(h11.Data(UPLOAD[at : at + 77_777])) or b"")
                await writer.drain()
        writer.write(machine.send(h11.EndOfMessage()) or b"")
        return await _response(machine, reader)
    finally:
        writer.close()


async def _response(machine: h11.Connection, reader: asyncio.StreamReader) -> Told:
    status, body = 0, b""
    while True:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            machine.receive_data(await reader.read(1 << 16))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return digest(status, body)


async def with_aiohttp(place: Place, check: str) -> Told:
    """aiohttp, as client and for the socket."""
    url = f"http://{place.address}"
    async with aiohttp.ClientSession(headers={"Host": place.host}) as session:
        if check == "socket":
            async with session.ws_connect(f"{url}/socket") as socket:
                await socket.send_str("said")
                text = await socket.receive_str()
                await socket.send_bytes(bytes(100_000))
                return f"{text} {len(await socket.receive_bytes())}"
        method = "POST" if check == "echo" else "GET"
        headers = {"Range": RANGE} if check == "range" else {}
        data = UPLOAD if check == "echo" else None
        async with session.request(method, url + TARGETS[check], data=data, headers=headers) as response:
            return digest(response.status, await response.read())


async def with_websockets(place: Place, _: str) -> Told:
    """The `websockets` library, in its own environment."""
    script = (str(ENVIRONMENT / "python"), str(SOURCES / "socket"))
    return (await output_of(*script, str(place.address.port), place.host)).decode().strip()


async def chromium(place: Place, check: str) -> Told:
    """A browser opens the page, whose script makes the check; the browser finds names below localhost by itself."""
    name = check if check != "page" else ""
    async with open_page(f"http://{place.host}/?{name}", place.scratch / "profile") as page:
        return await page.text_with(f"done {name}".strip())


CLIENTS: Final[dict[str, tuple[Callable[[Place, str], Awaitable[Told]], frozenset[str]]]] = {
    "curl": (curl, frozenset({"page", "missing", "large", "range", "echo", "events"})),
    "h11": (with_h11, frozenset({"page", "missing", "large", "range", "echo", "events"})),
    "aiohttp": (with_aiohttp, frozenset({"page", "missing", "large", "range", "echo", "events", "socket"})),
    "websockets": (with_websockets, frozenset({"socket"})),
    "chromium": (chromium, frozenset({"page", "missing", "large", "echo", "events", "socket"})),
}
