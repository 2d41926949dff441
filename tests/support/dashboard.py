"""A dashboard to look at: the real application on SQLite with accounts, people and a past; the data plane is scripted.

`Scripted` answers the feed's questions from plain tables and keeps the orders it was given. `served` is the whole
behind a real socket, in a thread of its own.
"""

import asyncio
import re
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import httpx

from tunnel.api.app import build_app
from tunnel.api.board import Board
from tunnel.api.door import Door
from tunnel.api.listening import serve_application
from tunnel.api.pages.settings import DashboardSettings
from tunnel.api.pages.traffic import Reading
from tunnel.api.plane import Plane
from tunnel.api.settings import ControlSettings
from tunnel.core.base.ids import Instant, Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.control.account import Account, Member
from tunnel.core.control.act import Act
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.minting import MintAsked
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.roles import Role, Scope, scopes_of
from tunnel.core.journal.records import JournalId, UsageNoted
from tunnel.core.policy.ip import Block
from tunnel.core.token.token import AccountId, EndpointKind
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.observe.events import Event
from tunnel.store.errors import StoreError
from tunnel.store.minting import Minted, mint_token
from tunnel.store.open import open_store
from tunnel.store.port import Store

T = TypeVar("T")

ACME: Final = AccountId(b"acme".ljust(16, b"\0"))
RIVAL: Final = AccountId(b"rival".ljust(16, b"\0"))
SIGNING_KEY: Final = bytes(range(32))
ROLES: Final = ("owner", "developer", "auditor", "operator")
ACT: Final = Act("operator at the shell", "", "cli", "")
HOUR: Final = 3600


@dataclass
class Scripted:
    """A data plane of two sessions, one of each account."""

    now: int
    is_there: bool = True
    orders: list[dict[str, object]] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    busy: int = 3

    async def ask(self, question: str, /, **facts: object) -> Outcome[dict[str, object], str]:
        """The answer from the tables below."""
        if not self.is_there:
            return Failure("nobody answers")
        if question in {"kick", "drain"}:
            self.orders.append({"order": question, **facts})
            known = [number for number in (7, 9) if number not in self.gone and number == facts.get("session")]
            if question == "kick":
                self.gone.update(known)
            return Success({"ok": True, "count": len(known)})
        tables = {
            "sessions": self.sessions,
            "endpoints": self.endpoints,
            "recent": lambda: self.recent(str(facts.get("name"))),
            "metrics": self.metrics,
        }
        return Success(tables[question]()) if question in tables else Failure("no such question")

    def sessions(self) -> dict[str, object]:
        """The sessions that were not ended."""
        rows = [
            self._session(7, ACME, "203.0.113.7:50412", ["app", "api"], self.busy),
            self._session(9, RIVAL, "198.51.100.20:41022", ["rival-shop"], 0),
        ]
        return {"ok": True, "items": [row for row in rows if row["session"] not in self.gone]}

    def _session(self, session: int, account: bytes, peer: str, names: list[str], streams: int) -> dict[str, object]:
        return {
            "session": session,
            "account": account.hex(),
            "token": (f"{session}".encode() * 16).hex(),
            "peer": peer,
            "host": "edge-1",
            "since": self.now - 5400,
            "heard_seconds": 1.3,
            "streams": streams,
            "names": names,
        }

    def endpoints(self) -> dict[str, object]:
        """The endpoints of those sessions."""
        made = (("app", "http", ACME, 7), ("api", "http", ACME, 7), ("rival-shop", "http", RIVAL, 9))
        rows: list[dict[str, object]] = [
            {
                "name": name,
                "kind": kind,
                "session": session,
                "epoch": 3,
                "account": account.hex(),
                "token": "",
                "peer": "203.0.113.7:50412" if session == 7 else "198.51.100.20:41022",
                "host": "edge-1",
                "share": "exclusive",
                "since": self.now - 5400,
                "heartbeat": self.now - 1,
                "lapses": self.now + 30,
                "outstanding": self.busy if name == "app" else 0,
                "healthy": name != "api",
            }
            for name, kind, account, session in made
            if session not in self.gone
        ]
        return {"ok": True, "items": rows}

    def recent(self, name: str) -> dict[str, object]:
        """The last exchanges of a name."""
        if name not in {"app", "api", "rival-shop"}:
            return {"ok": True, "items": []}
        outcomes = ("ok", "ok", "ok", "local-refused", "ok", "ok", "response-timeout", "ok")
        rows: list[dict[str, object]] = [
            {
                "request_id": f"mfrggzdfmztwq2lk{number:08x}",
                "at": self.now - number * 7 + 0.25,
                "session": 9 if name == "rival-shop" else 7,
                "method": "GET" if number % 3 else "POST",
                "path": ("/", "/orders", "/static/app.css", "/search")[number % 4],
                "status": 200 if outcome == "ok" else (504 if outcome.endswith("timeout") else 502),
                "outcome": outcome,
                "milliseconds": 8.0 + number * 3.5,
                "hops": {"edge": 0.4, "link": 2.2 + number / 4, "local": 4.0 + number * 2, "body": 1.1 + number / 2},
                "bytes_up": 412 + number,
                "bytes_down": 18_000 + number * 997,
                "peer": "192.0.2.10",
            }
            for number, outcome in enumerate(outcomes)
        ]
        return {"ok": True, "items": rows}

    def metrics(self) -> dict[str, object]:
        """Nothing: the past is told by `look_busy`."""
        return {}


class Silent:
    """Events go nowhere."""

    def emit(self, event: Event) -> None:
        """Take one."""


@dataclass
class World:
    """A dashboard with what a test needs to know about it."""

    plane: Plane
    feed: Scripted
    keys: dict[str, str]
    token: Minted
    url: str = ""
    loop: asyncio.AbstractEventLoop | None = None
    readers: list[httpx.Client] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The store behind it."""
        return self.plane.store

    def told(self, asked: Coroutine[object, object, Outcome[T, StoreError]]) -> T:
        """What the store answers, asked in the thread that serves."""
        assert self.loop is not None
        answer = asyncio.run_coroutine_threadsafe(asked, self.loop).result(60)
        assert isinstance(answer, Success), answer
        return value_of(answer)

    def entries(self) -> int:
        """How many entries the audit trail has: as many as before when nothing was done."""
        return self.told(self.store.audit_head()).number


@asynccontextmanager
async def world_in(state: Path) -> AsyncIterator[World]:
    """A plane over a fresh SQLite store, filled."""
    clock, entropy = SystemClock(), SystemEntropy()
    opened = await open_store("", state, clock.unix())
    assert isinstance(opened, Success), opened
    store = value_of(opened)
    now = clock.unix()
    feed = Scripted(now)
    settings = ControlSettings(state, signing_key=SIGNING_KEY)
    plane = Plane(store, state, clock, entropy, feed, settings, Board(), Silent())
    try:
        keys, token = await fill(plane, now)
        yield World(plane, feed, keys, token)
    finally:
        await store.close()


async def fill(plane: Plane, now: UnixSeconds) -> tuple[dict[str, str], Minted]:
    """Two accounts and a key for each role of the first; names, a token, usage, a lease, and services that are well."""
    store = plane.store
    for account, name in ((ACME, "Acme"), (RIVAL, "Rival")):
        made = Account(account, name, now, "free", is_suspended=False, ttl_default=0, ttl_max=0)
        assert isinstance(await store.create_account(made, ACT, now), Success)
    free = await store.plan("free")
    assert isinstance(free, Success)
    plan = replace(value_of(free), requests_month=10_000, bytes_month=5_000_000_000, names_max=20)
    assert isinstance(await store.set_plan(plan, ACT, now), Success)
    keys = {role: await mint(store, role, now) for role in ROLES}
    for identity, role in (("ada@example.com", Role.OWNER), ("bob@example.com", Role.AUDITOR)):
        assert isinstance(await store.add_member(Member(ACME, identity, role, now), ACT, now), Success)
    for name, account in (("app", ACME), ("old-shop", ACME), ("rival-shop", RIVAL)):
        record = NameRecord(Label(name), account, now, "the shop" if "shop" in name else "")
        assert isinstance(await store.reserve_name(record, ACT, now), Success)
    asked = MintAsked("app", frozenset({EndpointKind.HTTP}), 86_400, label="ada's laptop")
    token = await mint_token(store, SIGNING_KEY, plane.entropy, ACME, asked, ACT, now)
    assert isinstance(token, Success), token
    lease = LeaseRecord(
        Label("old-shop"), ACME, "4", "203.0.113.7:1", "host-1", 2, now, now, UnixSeconds(now + 30), "s1"
    )
    assert isinstance(await store.note_leases("s1", [lease], now), Success)
    await use(store, now)
    plane.board.note("directory", "number 12, published 3 s ago", is_ready=True)
    plane.board.note("journal", "nothing waits", is_ready=True)
    look_busy(plane)
    return keys, value_of(token)


async def mint(store: Store, role: str, now: UnixSeconds) -> str:
    """A key of this role, as text."""
    made = new_key(SystemEntropy().random_bytes(NEW_KEY_BYTES))
    is_operator = role == "operator"
    known = Role.OWNER if is_operator else Role(role)
    scopes = frozenset(Scope) if is_operator else scopes_of(known)
    account = None if is_operator else ACME
    record = KeyRecord(made.key, account, f"{role}'s key", known, scopes, made.secret_hash, now, None, None, None)
    assert isinstance(await store.mint_key(record, ACT, now), Success)
    return made.text


async def use(store: Store, now: UnixSeconds) -> None:
    """Two days of usage with a working day's shape."""
    first = now - now % HOUR - 47 * HOUR
    records = tuple(
        UsageNoted(ACME, name, UnixSeconds(first + hour * HOUR), 20 + (hour % 24) * share, 40_000, hour * 90_000, 3)
        for hour in range(48)
        for name, share in (("app", 9), ("api", 4))
    )
    applied = await store.apply_journal(JournalId(b"j" * 16), 1, records, ACT, now)
    assert isinstance(applied, Success), applied


def look_busy(plane: Plane) -> None:
    """A quarter of an hour of readings, the same each time."""
    bounds = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
    ok = bad = up = down = 0
    latency = [0] * len(bounds)
    for step in range(170):
        wave = 40 + (step * 7) % 23 + (30 if 60 < step < 90 else 0)
        ok, bad = ok + wave, bad + (step % 9 == 0) + (3 if 70 < step < 80 else 0)
        up, down = up + wave * 700, down + wave * 21_000
        for at in range(len(bounds)):
            latency[at] += max(0, wave - at * 11 - (step % 5))
        at_time = Instant(step * 5.0)
        outcomes = {"ok": ok, "local-refused": bad, "response-timeout": bad // 3}
        plane.traffic.take(Reading(at_time, outcomes, up, down, bounds, tuple(latency)))


@contextmanager
def served(state: Path, settings: DashboardSettings | None = None, proxies: tuple[Block, ...] = ()) -> Iterator[World]:
    """The dashboard at a loopback port, in a thread of its own; gone afterwards, whatever happened."""
    ready = threading.Event()
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    worlds: list[World] = []
    failed: list[BaseException] = []

    async def work() -> None:
        stop = asyncio.Event()
        ending.append((asyncio.get_running_loop(), stop))
        async with world_in(state) as world:
            listener = socket.create_server(("127.0.0.1", 0))
            world.loop = asyncio.get_running_loop()
            world.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            door = Door("127.0.0.1", proxies)
            door.answer_to(settings.host if settings else "")
            door.turn_to(build_app(world.plane, settings or DashboardSettings()))
            worlds.append(world)
            ready.set()
            await serve_application(door, [listener], stop)

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as cause:  # noqa: BLE001 - handed to the test's own thread
            failed.append(cause)
        ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60)
        assert not failed, failed
        yield worlds[0]
    finally:
        for world in worlds:
            for reader in world.readers:
                reader.close()
        for loop, stop in ending:
            if not loop.is_closed():
                loop.call_soon_threadsafe(stop.set)
        thread.join(60)
    assert not failed, failed


class Reader:
    """Somebody with a browser and no script: follows links, sends forms as the page has them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = httpx.Client(base_url=world.url, headers={"accept": "text/html"}, trust_env=False)
        world.readers.append(self.client)

    def sign_in(self, role: str) -> "Reader":
        """Sign in with the key of this role."""
        answer = self.sign_in_with(self.world.keys[role])
        assert answer.status_code == 303, answer.text
        return self

    def sign_in_with(self, key: str, way: str = "/sign-in") -> httpx.Response:
        """The answer to the sign-in form."""
        form = {"csrf": token_of(self.client.get(way).text), "key": key}
        return self.client.post(way, data=form, headers={"origin": self.world.url})

    def get(self, path: str) -> httpx.Response:
        """The page at `path`; redirects are not followed."""
        return self.client.get(path)

    def csrf(self) -> str:
        """The token of this reader's forms."""
        return token_of(self.client.get("/tokens/inspect").text)

    def send(self, path: str, **form: str | list[str]) -> httpx.Response:
        """The answer to a form."""
        whole = {"csrf": self.csrf(), **form}
        return self.client.post(path, data=whole, headers={"origin": self.world.url})

    def done(self, path: str, **form: str | list[str]) -> str:
        """The page after a form that was taken."""
        answer = self.send(path, **form)
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return self.client.get(answer.headers["location"]).text


def token_of(page: str) -> str:
    """The token in the first form of a page."""
    found = re.search(r'name="csrf" value="(\w+)"', page)
    assert found, page
    return found[1]
