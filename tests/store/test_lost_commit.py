"""A COMMIT whose answer is lost: nobody can know whether it was done, so that what may be sent again is done once.

Between the store and its server stands a relay that lets a COMMIT through to the server, or not, and then cuts the
connection before the answer: the two cases that a client cannot tell apart.
"""

from pathlib import Path
from typing import Final

import pytest
from tests.support.lost_commit import relayed
from tests.support.postgres import PostgresServer
from tests.support.store_world import ACT, NOW, Place, account, account_id, given, name, opened_store, refused, token_id

from tunnel.core.base.ids import SessionId
from tunnel.core.journal.records import JournalId, Record, SessionBegan, UsageNoted
from tunnel.store.errors import AlreadyExists, StoreUnavailable

pytestmark = pytest.mark.anyio

JOURNAL: Final = JournalId(b"j" * 16)
RECORDS: Final[tuple[Record, ...]] = (
    UsageNoted(account_id(1), "demo", NOW, 5, 0, 0, 0),
    SessionBegan(SessionId(1), account_id(1), token_id(1), "192.0.2.1", NOW),
)


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
