"""What the control plane asks of its database: one Protocol per noun, and `Store`, which is all of them.

Every call returns an Outcome and none raises. Every write takes who does it and when, and puts its audit entry into the
same transaction. SQLite and Postgres behave the same (tests/store shows each sentence here against both).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

from tunnel.core.audit.checkpoint import Checkpoint
from tunnel.core.audit.entry import AuditEntry, AuditFacts, ChainHead
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.control.account import Account, AccountChange, Member, Plan
from tunnel.core.control.act import Act
from tunnel.core.control.billing import BillingRecord, MeterReport, Standing
from tunnel.core.control.credential import IdempotentAnswer, KeyRecord, TokenRecord, WebSession
from tunnel.core.control.facts import DirectoryFacts, Revocation
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.page import Page, PageOf
from tunnel.core.control.roles import Role
from tunnel.core.control.usage import UsageHour, UsageTotal
from tunnel.core.journal.records import JournalId, Record
from tunnel.core.token.token import AccountId, TokenId
from tunnel.store.errors import Told


@final
@dataclass(frozen=True, slots=True)
class StoreHealth:
    """The database answers: which it is (`sqlite` or `postgres`), its version, and the last migration applied."""

    kind: str
    version: str
    migration: int


@final
@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries: of an account, whose action begins so, by whom, about what, and when; None and "" are no filter.

    `since` is inclusive, `until` is not.
    """

    account: AccountId | None = None
    action: str = ""
    identity: str = ""
    subject: str = ""
    since: UnixSeconds | None = None
    until: UnixSeconds | None = None


class AccountStore(Protocol):
    """Accounts and the people in them."""

    async def create_account(self, account: Account, act: Act, now: UnixSeconds) -> Told[Account]:
        """The account, as it is now there. AlreadyExists for its ID or name; NotFound for its plan."""

    async def account(self, account: AccountId) -> Told[Account]:
        """The account with this ID, or NotFound."""

    async def account_named(self, name: str) -> Told[Account]:
        """The account with exactly this name, or NotFound."""

    async def accounts(self, page: Page) -> Told[PageOf[Account]]:
        """All accounts, by name."""

    async def change_account(
        self, account: AccountId, change: AccountChange, act: Act, now: UnixSeconds
    ) -> Told[Account]:
        """The account as it is now. NotFound for it or its new plan; AlreadyExists for its new name."""

    async def add_member(self, member: Member, act: Act, now: UnixSeconds) -> Told[Member]:
        """The member. NotFound for the account; AlreadyExists when the identity is a member of it."""

    async def change_member(
        self, account: AccountId, identity: str, role: Role, act: Act, now: UnixSeconds
    ) -> Told[Member]:
        """The member with the new role, or NotFound."""

    async def members(self, account: AccountId, page: Page) -> Told[PageOf[Member]]:
        """The members of the account, by identity; none when there is no such account."""

    async def memberships(self, identity: str) -> Told[tuple[Member, ...]]:
        """What this identity is, account by account; at most `PAGE_ROWS_MAX`."""

    async def remove_member(self, account: AccountId, identity: str, act: Act, now: UnixSeconds) -> Told[Member]:
        """The member that was, or NotFound; sessions at the dashboard in that account end with it."""


class KeyStore(Protocol):
    """API keys."""

    async def mint_key(self, key: KeyRecord, act: Act, now: UnixSeconds) -> Told[KeyRecord]:
        """The key. AlreadyExists for its public part; NotFound for its account."""

    async def key(self, key: str) -> Told[KeyRecord]:
        """The key with this public part, also when it is revoked or expired; or NotFound."""

    async def keys(self, account: AccountId | None, page: Page) -> Told[PageOf[KeyRecord]]:
        """The keys of one account, or all keys (None), newest first."""

    async def revoke_key(self, key: str, act: Act, now: UnixSeconds) -> Told[KeyRecord]:
        """The key, revoked; the first revocation's time stays. NotFound. Sessions opened with it end."""

    async def note_key_used(self, key: str, now: UnixSeconds) -> Told[None]:
        """Success also when there is no such key. Not audited."""


class TokenStore(Protocol):
    """Capability tokens minted here, and what was revoked."""

    async def record_token(self, token: TokenRecord, act: Act, now: UnixSeconds) -> Told[TokenRecord]:
        """The token. AlreadyExists for its ID; NotFound for its account."""

    async def token(self, token: TokenId) -> Told[TokenRecord]:
        """The token with this ID, or NotFound."""

    async def tokens(self, account: AccountId | None, page: Page) -> Told[PageOf[TokenRecord]]:
        """The tokens of one account, or all (None), newest first."""

    async def revoke_token(self, token: TokenId, act: Act, now: UnixSeconds) -> Told[TokenRecord]:
        """The token, revoked; the first revocation's time stays. NotFound when it was not minted here."""

    async def revoke_step(self, step: Revocation, act: Act, now: UnixSeconds) -> Told[Revocation]:
        """The revocation of an ID that was never recorded: of a step narrowed offline. NotFound for the account."""


class NameStore(Protocol):
    """Reserved names, and the leases that the data plane reported."""

    async def reserve_name(self, name: NameRecord, act: Act, now: UnixSeconds) -> Told[NameRecord]:
        """The name. AlreadyExists, whoever has it; NotFound for the account; QuotaExceeded: the plan's `names_max`."""

    async def release_name(
        self, name: Label, account: AccountId | None, act: Act, now: UnixSeconds
    ) -> Told[NameRecord]:
        """The name that was. NotFound, also when another than `account` has it (None: whoever has it)."""

    async def name_holder(self, name: Label) -> Told[NameRecord]:
        """Who reserved the name, or NotFound."""

    async def names(self, account: AccountId | None, page: Page) -> Told[PageOf[NameRecord]]:
        """The reserved names of one account, or all (None), by name."""

    async def note_leases(self, server: str, leases: Sequence[LeaseRecord], now: UnixSeconds) -> Told[None]:
        """These are all leases of this server; those it said before are forgotten. Not audited.

        `server` is the ID of a state directory. What lapsed a day ago is forgotten too, whoever said it.
        """

    async def leases(self, account: AccountId | None, page: Page) -> Told[PageOf[LeaseRecord]]:
        """The leases last reported, of one account or all (None), by name, server and session; lapsed ones too."""

    async def leases_of(self, name: Label) -> Told[tuple[LeaseRecord, ...]]:
        """Who answered for the name when last reported, newest epoch first; none is no error."""


class UsageStore(Protocol):
    """Plans, and what was used."""

    async def plans(self) -> Told[tuple[Plan, ...]]:
        """All plans, by name; `DEFAULT_PLAN` is always among them."""

    async def plan(self, plan: str) -> Told[Plan]:
        """The plan with this name, or NotFound."""

    async def set_plan(self, plan: Plan, act: Act, now: UnixSeconds) -> Told[Plan]:
        """The plan, made or changed."""

    async def usage(
        self, account: AccountId, since: UnixSeconds, until: UnixSeconds, page: Page
    ) -> Told[PageOf[UsageHour]]:
        """The hours that begin in [since, until), by hour and name."""

    async def usage_month(self, account: AccountId, now: UnixSeconds) -> Told[UsageTotal]:
        """What the account used since the first of the month of `now`, in UTC."""


class FactStore(Protocol):
    """What the data plane is told."""

    async def change_number(self) -> Told[int]:
        """Grows with every write that `directory_facts` depends on, whichever process made it."""

    async def directory_facts(self, now: UnixSeconds) -> Told[DirectoryFacts]:
        """All that the Directory is made of, in one consistent reading; revocations past their expiry are left out."""


class AuditStore(Protocol):
    """The audit trail."""

    async def note_audit(self, facts: AuditFacts) -> Told[AuditEntry]:
        """The entry of something that changed nothing in the store, such as a sign-in."""

    async def audit_head(self) -> Told[ChainHead]:
        """Where the chain has got to."""

    async def audit_page(self, chosen: AuditFilter, page: Page) -> Told[PageOf[AuditEntry]]:
        """The entries that the filter lets through, newest first."""

    async def audit_range(self, first: int, last: int, limit: int) -> Told[tuple[AuditEntry, ...]]:
        """The entries with these numbers, both included, ascending; at most `limit` and `PAGE_ROWS_MAX` of them."""

    async def add_checkpoint(self, checkpoint: Checkpoint) -> Told[None]:
        """Kept. AlreadyExists when there is one at that number, or another that follows the same one."""

    async def checkpoints(self, first: int, last: int, limit: int) -> Told[tuple[Checkpoint, ...]]:
        """The checkpoints at these numbers, both included, ascending; at most `limit` and `PAGE_ROWS_MAX` of them."""

    async def last_checkpoint(self) -> Told[Checkpoint | None]:
        """The checkpoint with the highest number, or None."""


class JournalStore(Protocol):
    """What the data plane wrote down, applied exactly once."""

    async def apply_journal(
        self, journal: JournalId, first: int, records: Sequence[Record], act: Act, now: UnixSeconds
    ) -> Told[int]:
        """The number of the last record that was ever applied of this journal; `records[0]` has number `first`.

        Records up to that number are skipped, and its new value is written in the same transaction. Usage is added to
        its hour; everything else becomes an audit entry.
        """

    async def journal_position(self, journal: JournalId) -> Told[int]:
        """The number of the last record that was applied; 0 when none was."""

    async def forget_journal(self, journal: JournalId, now: UnixSeconds) -> Told[None]:
        """The journal's files are gone; its position goes in a day. Success also when there is none."""


class SessionStore(Protocol):
    """Who is signed in at the dashboard. Not audited: signing in is, by `note_audit`."""

    async def put_web_session(self, session: WebSession) -> Told[None]:
        """Kept, or kept anew with the same `cookie_hash`."""

    async def note_web_session_seen(self, cookie_hash: bytes, now: UnixSeconds) -> Told[None]:
        """Success also when there is none (any more): one that was ended meanwhile is not begun again."""

    async def web_session(self, cookie_hash: bytes, now: UnixSeconds) -> Told[WebSession]:
        """The session, or NotFound, also when it is past its `expires`."""

    async def drop_web_session(self, cookie_hash: bytes) -> Told[None]:
        """Success also when there is none."""

    async def drop_web_sessions(self, identity: str) -> Told[int]:
        """How many sessions of this identity ended: it signed out everywhere."""


class Keeper(Protocol):
    """Makes the answer of a write, to be kept in the transaction of that write."""

    def answer_of(self, made: object) -> IdempotentAnswer:
        """The answer when the write came to `made`. A transaction may run more than once, and then so does this."""

    def on_end(self, *, is_kept: bool) -> None:
        """The write and its answer are there; or neither, since the claim was another's by then."""


class AnswerStore(Protocol):
    """Idempotency keys of the API."""

    async def claim_idempotent(
        self, owner: str, key: str, request_digest: bytes, now: UnixSeconds
    ) -> Told[IdempotentAnswer | None]:
        """None: the key is the caller's, who does the work and remembers or forgets it. An answer: it was done.

        Conflict `key-of-another-request` when the digest differs, `request-in-progress` while another does the work
        (for a minute at most: whoever claimed it may have died). Claims and answers are forgotten after a day.
        """

    async def remember_idempotent(self, answer: IdempotentAnswer) -> Told[None]:
        """The claimed key has its answer; one that has an answer keeps it."""

    async def forget_idempotent(self, owner: str, key: str) -> Told[None]:
        """The claim is given up, since nothing was done; an answer stays."""


class BillingStore(Protocol):
    """Customers at the payment provider, its news, and what of usage it was told."""

    async def link_customer(self, account: AccountId, customer: str, act: Act, now: UnixSeconds) -> Told[BillingRecord]:
        """The record. NotFound for the account; AlreadyExists when it, or the customer, is linked."""

    async def billing(self, account: AccountId) -> Told[BillingRecord]:
        """The account's customer and how it stands, or NotFound."""

    async def billing_of_customer(self, customer: str) -> Told[BillingRecord]:
        """The record with this customer, or NotFound: it is another program's."""

    async def billings(self, page: Page) -> Told[PageOf[BillingRecord]]:
        """All of them, by customer."""

    async def has_billing_event(self, event: str) -> Told[bool]:
        """Whether a message of the provider was acted on."""

    async def apply_standing(
        self, customer: str, event: str, standing: Standing, act: Act, now: UnixSeconds
    ) -> Told[BillingRecord]:
        """The record as it is now; with it the account has its plan, and `event` ("": none) is remembered.

        NotFound for the customer, and for a plan that is none of ours; then nothing is changed or remembered.
        """

    async def settle_usage(self, now: UnixSeconds) -> Told[int]:
        """How many reports were written down: usage of hours that are over, beyond what was reported of them.

        Call it until it gives 0. Usage that comes late makes a report of its own.
        """

    async def due_reports(self, after: str, limit: int) -> Told[tuple[MeterReport, ...]]:
        """Reports that are written down and not known to be taken, by identifier, from behind `after` ("": all)."""

    async def note_reported(self, identifiers: Sequence[str]) -> Told[None]:
        """The provider took these."""


class Store(
    AccountStore,
    KeyStore,
    TokenStore,
    NameStore,
    UsageStore,
    FactStore,
    AuditStore,
    JournalStore,
    SessionStore,
    AnswerStore,
    BillingStore,
    Protocol,
):
    """The whole store; ask for the noun's Protocol where that is all you need."""

    def keeping(self, keeper: Keeper) -> "Store":
        """The same store, for one write: when that succeeds its answer is kept, in the same transaction.

        Conflict `request-in-progress`, and nothing is written, when the claim of the answer is held no more: it was
        claimed again after a minute, or has its answer.
        """

    async def health(self) -> Told[StoreHealth]:
        """Success when the database can be written; what it is."""

    async def close(self) -> None:
        """Ends connections and threads; every later call is StoreUnavailable. Twice is no error."""
