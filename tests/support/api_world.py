"""A control process without its process: the real application behind its real door, on SQLite, asked by httpx."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from httpx import ASGITransport, AsyncClient, Response

from tunnel.api.app import ControlApi, build_app
from tunnel.api.board import Board
from tunnel.api.door import Door
from tunnel.api.plane import Plane
from tunnel.api.settings import ControlSettings
from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.control.account import DEFAULT_PLAN, Account
from tunnel.core.control.act import BY_SHELL, Act
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.roles import Role, Scope, scopes_of
from tunnel.core.policy.ip import Block
from tunnel.core.token.token import AccountId
from tunnel.drive.clock import SystemEntropy
from tunnel.observe.events import Event
from tunnel.store.open import open_store
from tunnel.store.port import Store

SHELL: Final = Act("operator", "", BY_SHELL, "")
START: Final = UnixSeconds(1_900_000_000)
BASE: Final = "http://127.0.0.1:7480"
SIGNING_KEY: Final = bytes(range(32))
OURS: Final = AccountId(b"o" * 16)
THEIRS: Final = AccountId(b"t" * 16)


class FakeClock:
    """Both kinds of time, which pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Instant:
        """Seconds since the test began."""
        return Instant(self.seconds)

    def unix(self) -> UnixSeconds:
        """The same on the calendar."""
        return UnixSeconds(START + int(self.seconds))


@dataclass
class FakeFeed:
    """A data plane that gives prepared answers, and keeps what it was asked."""

    answers: dict[str, dict[str, object]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    async def ask(self, question: str, /, **facts: object) -> Outcome[dict[str, object], str]:
        """The prepared answer, or that nobody is there."""
        self.asked.append((question, facts))
        found = self.answers.get(question)
        return Failure("the server is away") if found is None else Success(found)


class Heard:
    """Events of the control process."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep one event."""
        self.events.append(event)


@dataclass
class World:
    """The application, its store, and ways to ask it."""

    plane: Plane
    clock: FakeClock
    feed: FakeFeed
    app: ControlApi
    door: Door
    client: AsyncClient

    async def key(
        self, account: AccountId | None, role: Role = Role.OWNER, scopes: frozenset[Scope] | None = None
    ) -> str:
        """The text of a new key."""
        made = new_key(SystemEntropy().random_bytes(NEW_KEY_BYTES))
        most = frozenset({Scope.OPERATE}) if account is None else scopes_of(role)
        now = self.clock.unix()
        held = most if scopes is None else scopes
        record = KeyRecord(made.key, account, "test", role, held, made.secret_hash, now, None, None, None)
        minted = await self.plane.store.mint_key(record, SHELL, now)
        assert isinstance(minted, Success), minted
        return made.text

    async def ask(
        self,
        method: str,
        path: str,
        key: str = "",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request; `path` without the prefix of the API unless it begins with two slashes."""
        fields = dict(headers or {})
        if key:
            fields["Authorization"] = f"Bearer {key}"
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return await self.client.request(method, url, json=body, headers=fields)


@asynccontextmanager
async def api_world(
    state: Path,
    *,
    requests_second: int = 100_000,
    listens_at: str = "127.0.0.1",
    opened: Store | None = None,
    proxies: tuple[Block, ...] = (),
) -> AsyncIterator[World]:
    """A world with two accounts, ours and theirs, on a new SQLite file, or on a store that is given."""
    store = opened
    clock, feed = FakeClock(), FakeFeed()
    if store is None:
        made = await open_store("", state, clock.unix())
        assert isinstance(made, Success), made
        store = value_of(made)
    settings = ControlSettings(state, signing_key=SIGNING_KEY, requests_second=requests_second)
    plane = Plane(store, state, clock, SystemEntropy(), feed, settings, Board(), Heard())
    app = build_app(plane)
    door = Door(listens_at, proxies)
    door.turn_to(app)
    transport = ASGITransport(door, client=("127.0.0.1", 40_000))
    try:
        for account, name in ((OURS, "ours"), (THEIRS, "theirs")):
            whole = Account(account, name, clock.unix(), DEFAULT_PLAN, is_suspended=False, ttl_default=0, ttl_max=0)
            created = await store.create_account(whole, SHELL, clock.unix())
            assert isinstance(created, Success), created
        async with AsyncClient(transport=transport, base_url=BASE) as client:
            yield World(plane, clock, feed, app, door, client)
    finally:
        await store.close()
