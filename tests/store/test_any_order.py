"""Any calls in any order, by two processes in turn, answered as a model of dictionaries answers them.

Both databases run the same machine. Few accounts, names and keys, so that calls meet: much is refused.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.support.postgres import PostgresServer
from tests.support.store_model import Model
from tests.support.store_world import (
    ACT,
    NOW,
    Place,
    account,
    account_id,
    given,
    key,
    member,
    name,
    opened_store,
    plan,
    token,
    token_id,
)
from typing_extensions import override

from tunnel.core.base.ids import Label, SessionId, UnixSeconds
from tunnel.core.base.outcome import Success
from tunnel.core.control.account import DEFAULT_PLAN, AccountChange
from tunnel.core.control.page import Page
from tunnel.core.control.roles import Role
from tunnel.core.journal.records import JournalId, SessionBegan, UsageNoted
from tunnel.store.errors import Told
from tunnel.store.port import Store

T = TypeVar("T")

ACCOUNTS = st.integers(1, 3)
TEXTS = st.sampled_from(["a", "b", "c"])
PLANS = st.sampled_from([DEFAULT_PLAN, "small", "metered", "none such"])
ROLES = st.sampled_from(Role)
LATER = st.integers(0, 100).map(lambda seconds: UnixSeconds(NOW + seconds))
JOURNALS = st.sampled_from([JournalId(b"j" * 16), JournalId(b"k" * 16)])
RECORDS = st.lists(
    st.one_of(
        st.builds(
            lambda of, text, count: UsageNoted(account_id(of), text, NOW, count, 0, 0, 0),
            ACCOUNTS, TEXTS, st.integers(0, 9),
        ),
        st.builds(
            lambda of, number: SessionBegan(SessionId(number), account_id(of), token_id(of), "192.0.2.1", NOW),
            ACCOUNTS, st.integers(1, 9),
        ),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
_NUMBERS = itertools.count(1)


class AnyOrder(RuleBasedStateMachine):
    """Two stores on one database beside the model; which of the two is called is drawn as well."""

    server: PostgresServer | None = None
    """Where databases are made; None is SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        server = type(self).server
        url = "" if server is None else server.make_database(f"any_order_{next(_NUMBERS)}")
        place = Place("sqlite" if server is None else "postgres", url, Path(self.folder.name))
        self.stores = [self.ran(opened_store(place)) for _ in range(2)]
        self.turn = 0
        self.first_number = given(self.ran(self.store.change_number()))

    @property
    def store(self) -> Store:
        """The one whose turn it is."""
        return self.stores[self.turn]

    def ran(self, call: Awaitable[T]) -> T:
        """What the call gives."""

        async def here() -> T:
            return await call

        return self.runner.run(here())

    def same(self, expected: Told[T], call: Awaitable[Told[T]]) -> None:
        """The store answers as the model does."""
        assert self.ran(call) == expected

    @rule(turn=st.integers(0, 1))
    def take_turns(self, turn: int) -> None:
        """Another process is at work from here on."""
        self.turn = turn

    @rule(number=ACCOUNTS, text=TEXTS, on=PLANS)
    def create_account(self, number: int, text: str, on: str) -> None:
        """An account, whose ID or name may be there."""
        made = account(number, text, on)
        self.same(self.model.create_account(made), self.store.create_account(made, ACT, NOW))

    @rule(
        number=ACCOUNTS,
        change=st.builds(
            AccountChange, name=st.none() | TEXTS, plan=st.none() | PLANS, is_suspended=st.none() | st.booleans()
        ),
    )
    def change_account(self, number: int, change: AccountChange) -> None:
        """An account, if it is there."""
        whose = account_id(number)
        self.same(self.model.change_account(whose, change), self.store.change_account(whose, change, ACT, NOW))

    @rule(number=ACCOUNTS, identity=TEXTS, role=ROLES)
    def add_member(self, number: int, identity: str, role: Role) -> None:
        """Somebody, who may be a member."""
        made = member(number, identity, role)
        self.same(self.model.add_member(made), self.store.add_member(made, ACT, NOW))

    @rule(number=ACCOUNTS, identity=TEXTS, role=ROLES)
    def change_member(self, number: int, identity: str, role: Role) -> None:
        """Somebody, who may be no member."""
        whose = account_id(number)
        self.same(
            self.model.change_member(whose, identity, role), self.store.change_member(whose, identity, role, ACT, NOW)
        )

    @rule(number=ACCOUNTS, identity=TEXTS)
    def remove_member(self, number: int, identity: str) -> None:
        """Likewise."""
        whose = account_id(number)
        self.same(self.model.remove_member(whose, identity), self.store.remove_member(whose, identity, ACT, NOW))

    @rule(text=TEXTS, of=st.none() | ACCOUNTS, role=ROLES)
    def mint_key(self, text: str, of: int | None, role: Role) -> None:
        """A key of an account or of the operator."""
        made = key(text, of, role)
        self.same(self.model.mint_key(made), self.store.mint_key(made, ACT, NOW))

    @rule(text=TEXTS, now=LATER)
    def revoke_key(self, text: str, now: UnixSeconds) -> None:
        """A key, for the first time or again."""
        self.same(self.model.revoke_key(text, now), self.store.revoke_key(text, ACT, now))

    @rule(number=st.integers(1, 3), of=ACCOUNTS, expiry=LATER)
    def record_token(self, number: int, of: int, expiry: UnixSeconds) -> None:
        """A token, some of which expire soon."""
        made = token(number, of, expiry=expiry)
        self.same(self.model.record_token(made), self.store.record_token(made, ACT, NOW))

    @rule(number=st.integers(1, 3), now=LATER)
    def revoke_token(self, number: int, now: UnixSeconds) -> None:
        """A token, for the first time or again."""
        which = token_id(number)
        self.same(self.model.revoke_token(which, now), self.store.revoke_token(which, ACT, now))

    @rule(text=TEXTS, of=ACCOUNTS)
    def reserve_name(self, text: str, of: int) -> None:
        """A name that may be another's, or one too many."""
        made = name(text, of)
        self.same(self.model.reserve_name(made), self.store.reserve_name(made, ACT, NOW))

    @rule(text=TEXTS, of=st.none() | ACCOUNTS)
    def release_name(self, text: str, of: int | None) -> None:
        """A name that may be another's."""
        whose = None if of is None else account_id(of)
        label = Label(text)
        self.same(self.model.release_name(label, whose), self.store.release_name(label, whose, ACT, NOW))

    @rule(text=st.sampled_from(["small", "metered"]), most=st.integers(0, 2), requests=st.integers(0, 1))
    def set_plan(self, text: str, most: int, requests: int) -> None:
        """A plan, which its accounts have from then on."""
        made = plan(text, most, requests)
        self.same(self.model.set_plan(made), self.store.set_plan(made, ACT, NOW))

    @rule(journal=JOURNALS, back=st.integers(0, 3), records=RECORDS)
    def apply_journal(self, journal: JournalId, back: int, records: list[UsageNoted | SessionBegan]) -> None:
        """The next records, some of which may have been applied."""
        first = max(self.model.positions.get(journal, 0) + 1 - back, 1)
        self.same(
            self.model.apply_journal(journal, first, records),
            self.store.apply_journal(journal, first, records, ACT, NOW),
        )

    @rule(now=LATER)
    def tell(self, now: UnixSeconds) -> None:
        """All that the data plane is told."""
        number = self.first_number + self.model.changes
        self.same(Success(self.model.facts(now, number)), self.store.directory_facts(now))

    @invariant()
    def the_change_number_grows_as_the_model_says(self) -> None:
        """Whichever process made the change."""
        assert given(self.ran(self.store.change_number())) == self.first_number + self.model.changes

    @override
    def teardown(self) -> None:
        """What is there at the end, and what the trail says of how it came to be."""
        try:
            entries = given(self.ran(self.store.audit_range(1, 500, 500)))
            assert [(entry.facts.action, entry.facts.subject) for entry in entries] == self.model.actions
            assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
            assert all(after.previous == before.digest for before, after in itertools.pairwise(entries))
            keys = given(self.ran(self.store.keys(None, Page()))).items
            assert {one.key: one for one in keys} == self.model.keys
            tokens = given(self.ran(self.store.tokens(None, Page()))).items
            assert {one.token: one for one in tokens} == self.model.tokens
            for number in (1, 2, 3):
                members = given(self.ran(self.store.members(account_id(number), Page()))).items
                expected = [
                    one for (whose, _), one in sorted(self.model.members.items()) if whose == account_id(number)
                ]
                assert list(members) == expected
        finally:
            for store in self.stores:
                self.ran(store.close())
            self.runner.close()
            self.folder.cleanup()


@pytest.mark.shows("STORE-PORT-001", "STORE-AUDIT-001", "STORE-CHANGE-001", "STORE-JOURNAL-001")
def test_sqlite_answers_as_the_model_does() -> None:
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=25, stateful_step_count=40, deadline=None))


@pytest.mark.shows("STORE-PORT-001", "STORE-AUDIT-001", "STORE-CHANGE-001", "STORE-JOURNAL-001")
def test_postgres_answers_as_the_model_does(postgres_server: PostgresServer) -> None:
    machine = type("OnPostgres", (AnyOrder,), {"server": postgres_server})
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=40, deadline=None))
