"""What every request passes and every answer carries: hosts, sizes, times, request IDs, no CORS; and health."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import anyio
import pytest
from httpx import ASGITransport, AsyncClient
from starlette.types import Message, Receive, Scope, Send
from tests.support.api_world import BASE, OURS, World, api_world

from tunnel.api import door as door_module
from tunnel.api import listening
from tunnel.api.door import BODY_BYTES_MAX, Door, is_this_machine
from tunnel.api.listening import serve_application

pytestmark = pytest.mark.anyio


@pytest.mark.shows("API-DOOR-001")
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("localhost:7480", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("127.8.9.1:80", 200),
        ("[::1]:7480", 200),
        ("api.localhost", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("[::2]", 421),
        ("127.0.0.1@evil.example", 421),
        ("", 421),
        ("127.1", 421),
    ],
)
async def test_a_host_that_is_not_this_machine_is_refused_where_only_this_machine_is_served(
    world: World, host: str, expected: int
) -> None:
    """A page of elsewhere whose name points here sends its own name (DNS rebinding)."""
    answer = await world.ask("GET", "//healthz", headers={"Host": host})
    assert answer.status_code == expected
    assert expected == 200 or answer.json()["code"] == "wrong-host"


@pytest.mark.shows("API-DOOR-001")
async def test_one_that_listens_for_others_takes_any_host(tmp_path: Path) -> None:
    async with api_world(tmp_path, listens_at="192.0.2.7") as world:
        assert (await world.ask("GET", "//healthz", headers={"Host": "tunnel.example.com"})).status_code == 200


@pytest.mark.shows("API-DOOR-002")
async def test_every_answer_has_an_id_and_the_fields_that_keep_browsers_careful(world: World) -> None:
    seen: set[str] = set()
    for path in ("//healthz", "//readyz", "/openapi.json", "/me", "/nothing", "//nothing"):
        answer = await world.ask("GET", path)
        fields = answer.headers
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["cache-control"] == "no-store"
        assert fields["referrer-policy"] == "no-referrer"
        assert fields["content-security-policy"].startswith("default-src 'none'")
        seen.add(fields["x-request-id"])
        if answer.status_code >= 400 and answer.headers["content-type"].startswith("application/problem"):
            assert answer.json()["request_id"] == fields["x-request-id"]
    assert len(seen) == 6


@pytest.mark.shows("API-DOOR-003")
async def test_pages_of_other_origins_are_told_nothing(world: World) -> None:
    """No field of CORS in any answer, and a preflight is a method like any other that is not taken."""
    key = await world.key(OURS)
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        answer = await world.ask(method, "/me", key, headers=asked)
        assert answer.status_code == (200 if method == "GET" else 405)
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.shows("API-DOOR-004")
async def test_a_body_that_is_too_long_is_refused_unread(world: World) -> None:
    key = await world.key(OURS)
    path = f"/api/v1/accounts/{OURS.hex()}/keys"
    fields = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    fits = json.dumps({"label": "x"}).encode().ljust(BODY_BYTES_MAX)
    assert (await world.client.post(path, content=fits, headers=fields)).status_code == 201
    answer = await world.client.post(path, content=fits + b" ", headers=fields)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-long")


@pytest.mark.shows("API-DOOR-004")
async def test_a_body_that_never_ends_and_an_answer_that_never_begins_have_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "BODY_SECONDS_MAX", 0.05)
    monkeypatch.setattr(door_module, "ANSWER_SECONDS_MAX", 0.05)
    door = Door("127.0.0.1")

    async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    door.turn_to(never)
    async with AsyncClient(transport=ASGITransport(door), base_url=BASE) as client:
        answer = await client.get("/api/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (504, "too-slow")
        assert answer.headers["retry-after"] == "5"

    sent: list[Message] = []

    async def drip() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def keep(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
    await door(scope, drip, keep)
    assert sent[0]["status"] == 408


@pytest.mark.shows("API-HEALTH-001")
async def test_without_a_database_only_the_process_is_well() -> None:
    """Before the store is open everything is 503 with a Retry-After, as a problem or, for a browser, a page."""
    door = Door("127.0.0.1")
    async with AsyncClient(transport=ASGITransport(door), base_url=BASE) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        for path, kind in (("/api/v1/me", "application/problem+json"), ("/readyz", "application/problem+json")):
            answer = await client.get(path, headers={"Accept": "*/*"})
            assert (answer.status_code, answer.headers["content-type"]) == (503, kind)
            assert answer.headers["retry-after"] == "2"
            assert answer.json()["code"] == "store-away"
        page = await client.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["retry-after"]) == (503, "2")
        assert "http-equiv" in page.text


@pytest.mark.shows("API-HEALTH-001", "API-HEALTH-002")
async def test_readiness_says_which_part_is_not(world: World) -> None:
    ready = await world.ask("GET", "//readyz")
    assert ready.status_code == 200
    assert ready.json()["parts"]["database"]["detail"].startswith("sqlite")
    world.plane.board.note("journal", "2 files wait", is_ready=False)
    answer = await world.ask("GET", "//readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["parts"]["journal"] == {"ready": False, "detail": "2 files wait"}
    world.plane.board.note("journal", "applied", is_ready=True)
    assert (await world.ask("GET", "//readyz")).status_code == 200
    await world.plane.store.close()
    away = await world.ask("GET", "//readyz")
    assert away.status_code == 503
    assert away.json()["parts"]["database"] == {"ready": False, "detail": "cannot be used now"}
    assert (await world.ask("GET", "//healthz")).status_code == 200


@pytest.mark.shows("API-HEALTH-002")
async def test_a_store_that_is_away_is_503_with_a_time_to_come_back(world: World) -> None:
    key = await world.key(OURS)
    await world.plane.store.close()
    for method, path in (("GET", "/me"), ("GET", f"/accounts/{OURS.hex()}/names"), ("POST", "/tokens/explain")):
        answer = await world.ask(method, path, key)
        assert (answer.status_code, answer.json()["code"]) == (503, "store-away")
        assert int(answer.headers["retry-after"]) > 0
        assert str(world.plane.state) not in answer.text


def test_what_can_be_nobody_but_this_machine() -> None:
    assert is_this_machine("127.0.0.1")
    assert is_this_machine("::1")
    assert is_this_machine("a.localhost")
    assert not is_this_machine("0.0.0.0")  # noqa: S104 - that is everybody
    assert not is_this_machine("example.com")


@pytest.mark.shows("API-DOOR-005")
async def test_a_head_that_drips_in_is_not_waited_for_and_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drip ends by the server's close and by nothing else; a connection that asked in time outlives it."""
    monkeypatch.setattr(listening, "HEAD_SECONDS_MAX", 0.3)
    listener, stop = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
    port = listener.getsockname()[1]
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with anyio.create_task_group() as group:
        group.start_soon(serve_application, world.door, [listener], stop)
        steady, asked = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(60):
                for begun in (b"", whole):
                    asked.write(whole)
                    assert await answered(steady) == b"HTTP/1.1 200 OK"
                    dripping, drip = await asyncio.open_connection("127.0.0.1", port)
                    drip.write(begun)
                    if begun == whole:
                        assert await answered(dripping) == b"HTTP/1.1 200 OK"
                    assert await dripped(dripping, drip) == b""
                silent, quiet = await asyncio.open_connection("127.0.0.1", port)
                assert await silent.read() == b""
                asked.write(whole)
                assert await answered(steady) == b"HTTP/1.1 200 OK"
                quiet.close()
        finally:
            asked.close()
            stop.set()


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The first line of an answer of `/healthz`, which has been read whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"}")
    return head.partition(b"\r\n")[0]


async def dripped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What comes back while a head drips in that never ends, until the server closes."""
    ended = asyncio.create_task(reader.read())
    writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
    while not ended.done():
        with contextlib.suppress(ConnectionError):
            writer.write(b"a")
            await writer.drain()
        await asyncio.wait({ended}, timeout=0.02)
    writer.close()
    try:
        return ended.result()
    except ConnectionError:
        return b""
