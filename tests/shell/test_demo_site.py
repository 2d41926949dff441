"""The sample site over real loopback sockets: its pages, event stream, socket and upload, and how it stops."""

import asyncio
import hashlib
import json
import logging
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import pytest

from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.demo.pages import asset
from tunnel.demo.site import MESSAGE_BYTES_MAX, Site, SiteNotStarted, start_site
from tunnel.drive.address import Address

pytestmark = [pytest.mark.anyio, pytest.mark.shows("OPS-DEMO-003")]

PATIENCE: Final = 60.0
"""No expectation: only how long a test that hangs may hang."""
THROUGH: Final = {
    "X-Request-Id": "abcdefghijklmnopqrstuvwxyz",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "demo.example.com",
    "X-Forwarded-Proto": "https",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Site, aiohttp.ClientSession]]:
    started = await start_site(Address("127.0.0.1", 0))
    assert isinstance(started, Success), started
    site = value_of(started)
    try:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(f"http://{site.address}") as visitor:
            yield site, visitor
    finally:
        await site.stop()


async def test_the_overview_tells_what_arrived() -> None:
    async with running() as (site, visitor), visitor.get("/?a=1", headers=THROUGH) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert answer.content_type == "text/html"
        for told in (*THROUGH.values(), "GET /?a=1", str(site.address)):
            assert told in text


async def test_the_overview_says_when_no_tunnel_was_involved() -> None:
    async with running() as (_, visitor), visitor.get("/") as answer:
        assert "without the tunnel" in await answer.text()


async def test_what_a_visitor_sends_is_shown_and_never_run() -> None:
    async with running() as (_, visitor), visitor.get("/", headers={"X-Evil": "<script>alert(1)</script>"}) as answer:
        text = await answer.text()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "<script>alert" not in text
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/echo", "/upload", "/style.css", "/site.js"])
async def test_nothing_is_loaded_from_elsewhere(path: str) -> None:
    """No absolute or protocol-relative address in anything that a browser follows by itself, and no inline script."""
    async with running() as (_, visitor), visitor.get(path) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert re.findall(r"""(?:src|href|url|import)\s*[=(]\s*["']?(?:https?:)?//""", text) == []
        assert re.findall(r"<script(?![^>]*src=)", text) == []


async def test_the_links_of_every_page_lead_somewhere() -> None:
    async with running() as (_, visitor):
        for path in ("/", "/echo", "/upload"):
            async with visitor.get(path) as answer:
                links = set(re.findall(r'(?:href|src|action)="([^":]+)"', await answer.text()))
            assert {"style.css", "site.js", "./"} <= links
            for link in links:
                async with visitor.get(f"/{link.removeprefix('./')}") as linked:
                    assert linked.status == 200, link


async def test_headers_come_back_as_json_in_their_order() -> None:
    async with (
        running() as (_, visitor),
        visitor.get("/headers", headers=[("X-B", "2"), ("X-A", "1"), ("X-B", "3")]) as answer,
    ):
        seen = json.loads(await answer.text())
        assert seen["method"] == "GET"
        assert seen["target"] == "/headers"
        assert [pair for pair in seen["fields"] if pair[0].startswith("X-")] == [
            ["X-B", "2"],
            ["X-A", "1"],
            ["X-B", "3"],
        ]


async def test_events_come_one_by_one_from_a_response_that_goes_on() -> None:
    async with running() as (_, visitor), visitor.get("/events") as answer:
        assert answer.content_type == "text/event-stream"
        numbers = []
        for _ in range(2):
            event = (await answer.content.readuntil(b"\n\n")).decode()
            told = re.fullmatch(r'id: (\d+)\ndata: \{"number": (\d+), "time": "\d\d:\d\d:\d\d UTC"\}\n\n', event)
            assert told is not None, event
            numbers.append(told.groups())
        assert numbers == [("0", "0"), ("1", "1")]


async def test_a_visitor_that_leaves_the_events_leaves_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as (_, visitor):
        answer = await visitor.get("/events")
        await answer.content.readuntil(b"\n\n")
        answer.close()
        async with visitor.get("/headers") as other:
            assert other.status == 200
    assert _complaints(caplog) == []


async def test_the_socket_echoes_text_and_bytes() -> None:
    async with running() as (_, visitor), visitor.ws_connect("/ws") as link:
        await link.send_str("grüße")
        await link.send_bytes(bytes(range(256)))
        assert await link.receive_str() == "grüße"
        assert await link.receive_bytes() == bytes(range(256))


async def test_a_message_beyond_the_limit_closes_the_socket() -> None:
    async with running() as (_, visitor), visitor.ws_connect("/ws", max_msg_size=0) as link:
        await link.send_bytes(b"x" * (MESSAGE_BYTES_MAX + 1))
        message = await link.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1009


async def test_the_socket_address_without_an_upgrade_says_so() -> None:
    async with running() as (_, visitor), visitor.get("/ws") as answer:
        assert answer.status == 426
        assert answer.headers["Upgrade"] == "websocket"


async def test_a_form_upload_shows_its_digest() -> None:
    content = bytes(range(256)) * 1000
    form = aiohttp.FormData({"note": "first a field that is no file"}, quote_fields=False)
    form.add_field("file", content, filename="<b>.bin")
    async with running() as (_, visitor), visitor.post("/upload", data=form, headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert hashlib.sha256(content).hexdigest() in text
        assert "256000" in text
        assert "&lt;b&gt;.bin" in text


async def test_a_form_without_a_file_is_told() -> None:
    form = aiohttp.FormData({"note": "nothing"}, default_to_multipart=True)
    async with running() as (_, visitor), visitor.post("/upload", data=form) as answer:
        assert answer.status == 400


async def test_a_form_that_is_none_is_told() -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with running() as (_, visitor), visitor.post("/upload", data=b"no form", headers=headers) as answer:
        assert answer.status == 400


async def test_an_upload_page_shows_the_public_address() -> None:
    async with running() as (_, visitor), visitor.get("/upload", headers=THROUGH) as answer:
        assert "curl -T FILE https://demo.example.com/upload" in await answer.text()


async def test_a_large_upload_is_hashed_and_never_held() -> None:
    """32 MiB pass in 64 KiB pieces from a generator; both ends run here and stay far below the whole together."""
    piece, pieces = b"\xa5" * 65536, 512

    async def body() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield piece

    async with running() as (_, visitor):
        tracemalloc.start()
        try:
            async with visitor.put("/upload/big.bin", data=body()) as answer:
                told = json.loads(await answer.text())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert told == {"name": "big.bin", "bytes": 32 << 20, "sha256": hashlib.sha256(piece * pieces).hexdigest()}
    assert peak < 8 << 20


async def test_an_upload_that_breaks_off_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as (site, visitor):
        _, broken = await asyncio.open_connection(site.address.host, site.address.port)
        broken.write(b"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nonly this")
        await broken.drain()
        broken.transport.abort()
        async with visitor.put("/upload", data=b"whole") as answer:
            assert json.loads(await answer.text())["sha256"] == hashlib.sha256(b"whole").hexdigest()
    assert _complaints(caplog) == []


async def test_stopping_ends_open_streams_and_frees_the_port() -> None:
    async with running() as (site, visitor):
        events = await visitor.get("/events")
        await events.content.readuntil(b"\n\n")
        link = await visitor.ws_connect("/ws")
        await site.stop()
        await events.content.read()  # ends, and ends well: a truncated chunked body would raise
        message = await link.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        await site.stop()
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind((site.address.host, site.address.port))


async def test_an_address_in_use_is_a_value() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        refused = await start_site(address)
    assert isinstance(refused, Failure)
    assert error_of(refused) == SiteNotStarted(address, "Address already in use")


async def test_pages_are_part_of_the_package() -> None:
    for name in ("layout.html", "index.html", "echo.html", "upload.html", "result.html", "style.css", "site.js"):
        assert asset(name)


def _complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
