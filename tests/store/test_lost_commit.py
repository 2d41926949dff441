"""A COMMIT whose answer is lost: nobody can know whether it was done, so that what may be sent again is done once.

Between the store and its server stands a relay that lets a COMMIT through to the server, or not, and then cuts the
connection before the answer: the two cases that a client cannot tell apart.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, final

import pytest
from tests.support.postgres import PostgresServer
from tests.support.store_world import ACT, NOW, Place, account, account_id, given, name, opened_store, refused, token_id

from tunnel.core.base.ids import SessionId
from tunnel.core.journal.records import JournalId, Record, SessionBegan, UsageNoted
from tunnel.store.errors import AlreadyExists, StoreUnavailable

pytestmark = pytest.mark.anyio

COMMIT: Final = b"COMMIT\x00"
"""The statement in a message of the protocol; READ COMMITTED goes on differently."""
JOURNAL: Final = JournalId(b"j" * 16)
RECORDS: Final[tuple[Record, ...]] = (
    UsageNoted(account_id(1), "demo", NOW, 5, 0, 0, 0),
    SessionBegan(SessionId(1), account_id(1), token_id(1), "192.0.2.1", NOW),
)


@final
class Relay:
    """Passes bytes on; when `cuts` is set, the next COMMIT ends its connection."""

    def __init__(self, socket: Path) -> None:
        self._socket: Final = socket
        self._serving: Final[list[asyncio.Task[None] | None]] = []
        self._open: Final[list[asyncio.StreamWriter]] = []
        self.cuts = False
        self.lets_through = False

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection, until either end is done or nobody needs the relay any more."""
        self._serving.append(asyncio.current_task())
        server, onward = await asyncio.open_unix_connection(self._socket)
        self._open.extend((back, onward))
        answers = asyncio.create_task(_pass_on(server, back))
        try:
            commit = await self._pass_on_until_cut(client, onward)
            answers.cancel()
            await asyncio.wait({answers})
            if commit and self.lets_through:
                onward.write(commit)
                await server.read(1)  # done, and nobody is told
        finally:
            answers.cancel()
            onward.close()
            back.close()

    async def end(self) -> None:
        """Ends what is still open; nothing is cancelled, which `asyncio.start_server` would take for a defect."""
        for writer in self._open:
            writer.close()
        serving = {task for task in self._serving if task is not None}
        if serving:
            await asyncio.wait(serving)

    async def _pass_on_until_cut(self, client: asyncio.StreamReader, onward: asyncio.StreamWriter) -> bytes:
        """The bytes with the COMMIT that was kept back; none when either end ended the connection."""
        with suppress(ConnectionError):
            while data := await client.read(1 << 16):
                if self.cuts and COMMIT in data:
                    self.cuts = False
                    return data
                onward.write(data)
        return b""


async def _pass_on(server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await server.read(1 << 16):
            back.write(data)
    back.close()


@asynccontextmanager
async def relayed(server: PostgresServer) -> AsyncIterator[tuple[Relay, int]]:
    """A relay in front of the server, and its port."""
    relay = Relay(server.socket_path)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    port: int = listener.sockets[0].getsockname()[1]
    try:
        yield relay, port
    finally:
        listener.close()
        await relay.end()


@pytest.mark.shows("STORE-JOURNAL-001", "STORE-AWAY-001")
@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not-done"])
async def test_what_is_sent_again_after_a_lost_commit_is_done_once(
    postgres_server: PostgresServer, tmp_path: Path, *, is_done: bool
) -> None:
    database = f"lost_commit_{is_done}_{tmp_path.name[-8:]}".lower()
    direct = await opened_store(Place("postgres", postgres_server.make_database(database), tmp_path))
    given(await direct.create_account(account(1), ACT, NOW))
    async with relayed(postgres_server) as (relay, port):
        url = f"postgresql://tunnel@127.0.0.1:{port}/{database}?sslmode=disable"
        store = await opened_store(Place("postgres", url, tmp_path))
        relay.lets_through = is_done
        relay.cuts = True
        assert isinstance(refused(await store.apply_journal(JOURNAL, 1, RECORDS, ACT, NOW)), StoreUnavailable)
        assert given(await direct.journal_position(JOURNAL)) == (2 if is_done else 0)
        assert given(await store.apply_journal(JOURNAL, 1, RECORDS, ACT, NOW)) == 2
        assert given(await direct.usage_month(account_id(1), NOW)).requests == 5
        relay.cuts = True
        assert isinstance(refused(await store.reserve_name(name("www"), ACT, NOW)), StoreUnavailable)
        again = await store.reserve_name(name("www"), ACT, NOW)
        assert (refused(again) == AlreadyExists("name", "www")) if is_done else (given(again) == name("www"))
        entries = given(await direct.audit_range(1, 100, 100))
        assert [entry.facts.action for entry in entries] == ["account.create", "session.begin", "name.reserve"]
        await store.close()
    await direct.close()
