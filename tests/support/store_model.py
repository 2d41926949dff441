"""The store as a few dictionaries: what each call is to answer, in the simplest code that can say it."""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.account import DEFAULT_PLAN, Account, AccountChange, Member, Plan
from tunnel.core.control.credential import KeyRecord, TokenRecord
from tunnel.core.control.facts import AccountFacts, DirectoryFacts, Revocation
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.roles import Role
from tunnel.core.control.usage import UsageTotal
from tunnel.core.directory.month import month_of
from tunnel.core.journal.records import JournalId, Record, SessionBegan, UsageNoted
from tunnel.core.token.token import AccountId, TokenId
from tunnel.store.errors import AlreadyExists, NotFound, QuotaExceeded, Told

T = TypeVar("T")


@final
class Model:
    """What the store is to know, and what its audit trail is to say was done."""

    def __init__(self) -> None:
        self.accounts: dict[AccountId, Account] = {}
        self.members: dict[tuple[AccountId, str], Member] = {}
        self.keys: dict[str, KeyRecord] = {}
        self.tokens: dict[TokenId, TokenRecord] = {}
        self.revoked: dict[TokenId, Revocation] = {}
        self.names: dict[Label, NameRecord] = {}
        self.leases: dict[str, list[LeaseRecord]] = {}
        self.plans: dict[str, Plan] = {DEFAULT_PLAN: Plan(DEFAULT_PLAN, 0, 0, 0, 0, 0)}
        self.positions: dict[JournalId, int] = {}
        self.usage: dict[tuple[AccountId, UnixSeconds, str], int] = {}
        self.actions: list[tuple[str, str]] = []
        self.changes = 0

    def create_account(self, account: Account) -> Told[Account]:
        """As the store's."""
        if account.plan not in self.plans:
            return Failure(NotFound("plan", account.plan))
        if account.account in self.accounts or account.name in {one.name for one in self.accounts.values()}:
            return Failure(AlreadyExists("account", account.name))
        self.accounts[account.account] = account
        return self._did("account.create", account.name, account, is_told=True)

    def change_account(self, account: AccountId, change: AccountChange) -> Told[Account]:
        """As the store's."""
        before = self.accounts.get(account)
        if before is None:
            return Failure(NotFound("account", account.hex()))
        after = Account(
            account=account,
            name=before.name if change.name is None else change.name,
            created=before.created,
            plan=before.plan if change.plan is None else change.plan,
            is_suspended=before.is_suspended if change.is_suspended is None else change.is_suspended,
            ttl_default=before.ttl_default,
            ttl_max=before.ttl_max,
        )
        if after == before:
            return Success(before)
        if after.plan not in self.plans:
            return Failure(NotFound("plan", after.plan))
        if any(one.name == after.name for one in self.accounts.values() if one.account != account):
            return Failure(AlreadyExists("account", after.name))
        self.accounts[account] = after
        return self._did("account.change", after.name, after, is_told=True)

    def add_member(self, member: Member) -> Told[Member]:
        """As the store's."""
        if member.account not in self.accounts:
            return Failure(NotFound("account", member.account.hex()))
        if (member.account, member.identity) in self.members:
            return Failure(AlreadyExists("member", member.identity))
        self.members[member.account, member.identity] = member
        return self._did("member.add", member.identity, member)

    def change_member(self, account: AccountId, identity: str, role: Role) -> Told[Member]:
        """As the store's."""
        before = self.members.get((account, identity))
        if before is None:
            return Failure(NotFound("member", identity))
        if before.role is role:
            return Success(before)
        after = self.members[account, identity] = dataclasses.replace(before, role=role)
        return self._did("member.change", identity, after)

    def remove_member(self, account: AccountId, identity: str) -> Told[Member]:
        """As the store's."""
        before = self.members.pop((account, identity), None)
        if before is None:
            return Failure(NotFound("member", identity))
        return self._did("member.remove", identity, before)

    def mint_key(self, key: KeyRecord) -> Told[KeyRecord]:
        """As the store's."""
        if key.account is not None and key.account not in self.accounts:
            return Failure(NotFound("account", key.account.hex()))
        if key.key in self.keys:
            return Failure(AlreadyExists("key", key.key))
        self.keys[key.key] = key
        return self._did("key.mint", key.key, key)

    def revoke_key(self, key: str, now: UnixSeconds) -> Told[KeyRecord]:
        """As the store's."""
        before = self.keys.get(key)
        if before is None:
            return Failure(NotFound("key", key))
        if before.revoked is not None:
            return Success(before)
        after = self.keys[key] = dataclasses.replace(before, revoked=now)
        return self._did("key.revoke", key, after)

    def record_token(self, token: TokenRecord) -> Told[TokenRecord]:
        """As the store's."""
        if token.account not in self.accounts:
            return Failure(NotFound("account", token.account.hex()))
        if token.token in self.tokens:
            return Failure(AlreadyExists("token", token.token.hex()))
        self.tokens[token.token] = token
        return self._did("token.mint", token.token.hex(), token)

    def revoke_token(self, token: TokenId, now: UnixSeconds) -> Told[TokenRecord]:
        """As the store's."""
        before = self.tokens.get(token)
        if before is None:
            return Failure(NotFound("token", token.hex()))
        if before.revoked is not None:
            return Success(before)
        after = self.tokens[token] = dataclasses.replace(before, revoked=now)
        self.revoked[token] = Revocation(token, before.account, now, before.expiry)
        return self._did("token.revoke", token.hex(), after, is_told=True)

    def reserve_name(self, name: NameRecord) -> Told[NameRecord]:
        """As the store's."""
        account = self.accounts.get(name.account)
        if account is None:
            return Failure(NotFound("account", name.account.hex()))
        if name.name in self.names:
            return Failure(AlreadyExists("name", name.name))
        limit = self.plans[account.plan].names_max
        if limit and sum(one.account == name.account for one in self.names.values()) >= limit:
            return Failure(QuotaExceeded("names", limit))
        self.names[name.name] = name
        return self._did("name.reserve", name.name, name, is_told=True)

    def release_name(self, name: Label, account: AccountId | None) -> Told[NameRecord]:
        """As the store's."""
        before = self.names.get(name)
        if before is None or account not in {None, before.account}:
            return Failure(NotFound("name", name))
        del self.names[name]
        return self._did("name.release", name, before, is_told=True)

    def set_plan(self, plan: Plan) -> Told[Plan]:
        """As the store's."""
        if self.plans.get(plan.plan) == plan:
            return Success(plan)
        self.plans[plan.plan] = plan
        return self._did("plan.set", plan.plan, plan, is_told=True)

    def apply_journal(self, journal: JournalId, first: int, records: Sequence[Record]) -> Told[int]:
        """As the store's, for two kinds of records."""
        position = self.positions.get(journal, 0)
        touched = set[AccountId]()
        for number, record in enumerate(records, first):
            if number <= position:
                continue
            if isinstance(record, UsageNoted):
                place = (record.account, record.hour, record.name)
                self.usage[place] = self.usage.get(place, 0) + record.requests
                touched.add(record.account)
            elif isinstance(record, SessionBegan):
                self.actions.append(("session.begin", str(record.session)))
        self.positions[journal] = max(position, first + len(records) - 1)
        if any(one in self.accounts and self.plans[self.accounts[one].plan].requests_month for one in touched):
            self.changes += 1
        return Success(self.positions[journal])

    def facts(self, now: UnixSeconds, number: int) -> DirectoryFacts:
        """What the data plane is to be told."""
        since = month_of(now)

        def used(account: AccountId) -> UsageTotal:
            requests = sum(
                count for (whose, hour, _), count in self.usage.items() if whose == account and hour >= since
            )
            return UsageTotal(account, since, requests, 0, 0, 0)

        return DirectoryFacts(
            number=number,
            revoked=tuple(self.revoked[one] for one in sorted(self.revoked) if self.revoked[one].expiry > now),
            names=tuple(self.names[one] for one in sorted(self.names)),
            accounts=tuple(
                AccountFacts(one, self.plans[one.plan], used(one.account))
                for one in sorted(self.accounts.values(), key=lambda account: account.account)
            ),
        )

    def _did(self, action: str, subject: str, value: T, *, is_told: bool = False) -> Told[T]:
        self.actions.append((action, subject))
        self.changes += is_told
        return Success(value)
