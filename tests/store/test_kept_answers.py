"""A write and the answer that is remembered of it are one transaction: whatever cuts it, both are there or neither.

On both databases: a claim that another has by now, a process that ends between the write and its answer or right after
the commit. On Postgres also a COMMIT whose answer is lost, which nobody can tell from one that was not done.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio
import pytest
from tests.support.lost_commit import relayed
from tests.support.postgres import PostgresServer
from tests.support.store_world import ACT, NOW, Place, account, account_id, given, name, opened_store, refused

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.credential import IdempotentAnswer
from tunnel.core.control.page import Page
from tunnel.store.answers import CLAIM_SECONDS
from tunnel.store.errors import AlreadyExists, Conflict, StoreUnavailable
from tunnel.store.port import Store

pytestmark = pytest.mark.anyio

CLAIM: Final = IdempotentAnswer("k_ours", "abc", b"d" * 32, 0, b"", NOW)


class Kept:
    """Answers with what was made, in words; remembers what it was told."""

    def __init__(self) -> None:
        self.ends: Final[list[bool]] = []

    def answer_of(self, made: object) -> IdempotentAnswer:
        """201 and the value."""
        return replace(CLAIM, status=201, body=repr(made).encode())

    def on_end(self, *, is_kept: bool) -> None:
        """Noted."""
        self.ends.append(is_kept)


async def claimed(store: Store, now: int = NOW) -> IdempotentAnswer | None:
    return given(await store.claim_idempotent(CLAIM.owner, CLAIM.key, CLAIM.request_digest, UnixSeconds(now)))


async def names_in(store: Store) -> list[str]:
    return [each.name for each in given(await store.names(None, Page())).items]


@pytest.mark.shows("STORE-ANSWER-002")
async def test_a_write_and_its_answer_are_kept_together(store: Store) -> None:
    given(await store.create_account(account(1), ACT, NOW))
    assert await claimed(store) is None
    keeper = Kept()
    made = given(await store.keeping(keeper).reserve_name(name("www"), ACT, NOW))
    assert keeper.ends == [True]
    assert await claimed(store) == keeper.answer_of(made)


@pytest.mark.shows("STORE-ANSWER-002")
async def test_a_write_that_is_refused_keeps_no_answer(store: Store) -> None:
    given(await store.create_account(account(1), ACT, NOW))
    given(await store.reserve_name(name("www"), ACT, NOW))
    assert await claimed(store) is None
    keeper = Kept()
    assert refused(await store.keeping(keeper).reserve_name(name("www"), ACT, NOW)) == AlreadyExists("name", "www")
    assert keeper.ends == []
    given(await store.forget_idempotent(CLAIM.owner, CLAIM.key))
    assert await claimed(store) is None


@pytest.mark.shows("STORE-ANSWER-002")
async def test_whoever_holds_the_claim_no_more_writes_nothing(store: Store) -> None:
    """The first was too slow: its claim lapsed, a repeat claimed the key anew and did the work."""
    given(await store.create_account(account(1), ACT, NOW))
    assert await claimed(store) is None
    assert await claimed(store, NOW + CLAIM_SECONDS) is None
    repeat, late = Kept(), Kept()
    made = given(await store.keeping(repeat).reserve_name(name("www"), ACT, NOW))
    error = refused(await store.keeping(late).release_name(name("www").name, account_id(1), ACT, NOW))
    assert error == Conflict("idempotency key", "abc", "request-in-progress")
    assert (repeat.ends, late.ends) == ([True], [False])
    assert await names_in(store) == ["www"]
    given(await store.remember_idempotent(replace(CLAIM, status=500, body=b"late")))
    assert await claimed(store, NOW + CLAIM_SECONDS) == repeat.answer_of(made)
    actions = [entry.facts.action for entry in given(await store.audit_range(1, 9, 9))]
    assert actions == ["account.create", "name.reserve"]


DYING: Final = """
import os, sys
from pathlib import Path
import anyio
from tests.store.test_kept_answers import CLAIM, Kept, claimed
from tests.support.store_world import ACT, NOW, Place, name, opened_store

class Dying(Kept):
    def answer_of(self, made):
        if sys.argv[1] == "between":
            os._exit(7)
        return super().answer_of(made)
    def on_end(self, *, is_kept):
        os._exit(7)

async def main():
    store = await opened_store(Place(sys.argv[2], sys.argv[3], Path(sys.argv[4])))
    assert await claimed(store) is None
    await store.keeping(Dying()).reserve_name(name("www"), ACT, NOW)

anyio.run(main)
"""


@pytest.mark.shows("STORE-ANSWER-002")
@pytest.mark.parametrize("moment", ["between", "after"])
async def test_a_process_that_ends_between_write_and_answer_leaves_both_or_neither(place: Place, moment: str) -> None:
    store = await opened_store(place)
    given(await store.create_account(account(1), ACT, NOW))
    command = [sys.executable, "-c", DYING, moment, place.kind, place.url, str(place.state)]
    died = await anyio.run_process(command, check=False)
    assert died.returncode == 7, died.stderr.decode()
    found = await claimed(store, NOW + CLAIM_SECONDS)
    assert await names_in(store) == ([] if moment == "between" else ["www"])
    assert (found is None) == (moment == "between")
    await store.close()


@pytest.mark.shows("STORE-ANSWER-002", "STORE-AWAY-001")
@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not-done"])
async def test_a_write_whose_commit_is_lost_is_answered_or_done_by_the_repeat(
    postgres_server: PostgresServer, tmp_path: Path, *, is_done: bool
) -> None:
    database = f"kept_answer_{is_done}_{tmp_path.name[-8:]}".lower()
    direct = await opened_store(Place("postgres", postgres_server.make_database(database), tmp_path))
    given(await direct.create_account(account(1), ACT, NOW))
    async with relayed(postgres_server) as (relay, port):
        url = f"postgresql://tunnel@127.0.0.1:{port}/{database}?sslmode=disable"
        store = await opened_store(Place("postgres", url, tmp_path))
        assert await claimed(store) is None
        relay.lets_through, relay.cuts = is_done, True
        keeper = Kept()
        lost = await store.keeping(keeper).reserve_name(name("www"), ACT, NOW)
        assert isinstance(refused(lost), StoreUnavailable)
        assert keeper.ends == []
        given(await store.forget_idempotent(CLAIM.owner, CLAIM.key))
        found = await claimed(store)
        if found is None:
            found = keeper.answer_of(given(await store.keeping(keeper).reserve_name(name("www"), ACT, NOW)))
        assert (keeper.ends == []) == is_done
        assert found == keeper.answer_of(name("www"))
        actions = [entry.facts.action for entry in given(await direct.audit_range(1, 9, 9))]
        assert actions == ["account.create", "name.reserve"]
        await store.close()
    await direct.close()
