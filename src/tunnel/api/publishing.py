"""The publisher: makes the directory of what the store says, writes it down, and lets the data plane know (ADR 0064).

It looks at the store's change number four times a second. A database that is away makes the directory older, and
nothing else: the data plane goes on with what it knows, and shows how old that is.
"""

from collections.abc import Iterable, Sequence
from typing import Final, final

import anyio

from tunnel.api.plane import Plane
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.account import Plan
from tunnel.core.control.facts import AccountFacts as StoredAccount
from tunnel.core.control.facts import DirectoryFacts
from tunnel.core.control.name import LeaseRecord
from tunnel.core.directory.directory import AccountFacts, Directory, Quota
from tunnel.core.directory.month import month_of
from tunnel.core.token.token import ACCOUNT_BYTES, AccountId
from tunnel.drive import files
from tunnel.drive.directory_file import publish_directory
from tunnel.drive.server_id import server_id
from tunnel.store.errors import describe

LOOK_SECONDS: Final = 0.25
"""Between two looks at the change number: what a revocation waits for at most, beside the reading and the writing."""
FRESH_SECONDS: Final = 10
"""However little changes, a directory is made anew after so long: its age says that the store is reached, and
revocations of tokens that have expired meanwhile leave it."""
LEASES_SECONDS: Final = 10
"""Between two reports of who holds which name; what the store says of it is this old at most."""
SERVICE: Final = "directory"


async def run(plane: Plane) -> None:
    """Publish until cancelled."""
    publisher = Publisher(plane)
    while True:
        await publisher.look()
        await anyio.sleep(LOOK_SECONDS)


@final
class Publisher:
    """What was published last, and what is still to be done."""

    def __init__(self, plane: Plane) -> None:
        self._plane: Final = plane
        self._number = -1
        self._made_at = UnixSeconds(0)
        self._is_told = True
        """Whether the data plane took the last one, or was not there to be told: then it reads the file when it is."""
        self._leases_at = UnixSeconds(0)

    async def look(self) -> None:
        """One turn: publish what changed, tell what was not told, report leases when it is time."""
        plane = self._plane
        now = plane.clock.unix()
        number = await plane.store.change_number()
        if not isinstance(number, Success):
            self._trouble(f"the database: {describe(error_of(number))}", now)
        elif value_of(number) != self._number or now - self._made_at >= FRESH_SECONDS or now < self._made_at:
            await self._publish(now)
        if not self._is_told:
            await self._tell()
        if now - self._leases_at >= LEASES_SECONDS or now < self._leases_at:
            self._leases_at = now
            await self._report_leases(now)

    async def _publish(self, now: UnixSeconds) -> None:
        read = await self._plane.store.directory_facts(now)
        if not isinstance(read, Success):
            self._trouble(f"the database: {describe(error_of(read))}", now)
            return
        facts = value_of(read)
        written = await anyio.to_thread.run_sync(publish_directory, self._plane.state, directory_of(facts, now))
        if not isinstance(written, Success):
            self._trouble(error_of(written), now)
            return
        self._number, self._made_at, self._is_told = facts.number, now, False
        self._plane.board.note(SERVICE, is_ready=True, detail=f"number {facts.number}")

    async def _tell(self) -> None:
        """A data plane that cannot be told looks at the file by itself, every few seconds and when it starts."""
        told = await self._plane.feed.ask("directory")
        self._is_told = isinstance(told, Success)

    def _trouble(self, detail: str, now: UnixSeconds) -> None:
        age = f"; what is published is {now - self._made_at} s old" if self._made_at else ""
        self._plane.board.note(SERVICE, is_ready=False, detail=f"{detail}{age}")

    async def _report_leases(self, now: UnixSeconds) -> None:
        named = await anyio.to_thread.run_sync(server_id, self._plane.state, self._plane.entropy)
        if not isinstance(named, Success):
            self._trouble(files.describe(error_of(named)), now)
            return
        server = value_of(named)
        told = await self._plane.feed.ask("endpoints")
        if isinstance(told, Success):
            noted = await self._plane.store.note_leases(server, leases_of(value_of(told), server), now)
            if not isinstance(noted, Success):
                self._leases_at = UnixSeconds(0)


def directory_of(facts: DirectoryFacts, now: UnixSeconds) -> Directory:
    """What the store says, as the data plane is told."""
    return Directory(
        number=facts.number,
        made_at=now,
        month=month_of(now),
        revoked=frozenset(revocation.token for revocation in facts.revoked),
        names={record.name: record.account for record in facts.names},
        accounts={each.account.account: _account(each) for each in facts.accounts},
    )


def leases_of(answer: dict[str, object], server: str) -> list[LeaseRecord]:
    """The endpoints that the data plane told of; what is none of ours is left out."""
    items = answer.get("items")
    told: Iterable[object] = items if isinstance(items, list) else ()
    return [lease for lease in (_lease(each, server) for each in told) if lease is not None]


def _account(stored: StoredAccount) -> AccountFacts:
    account, used = stored.account, stored.used
    return AccountFacts(
        account=account.account,
        is_suspended=account.is_suspended,
        ttl_default=account.ttl_default,
        ttl_max=account.ttl_max,
        quota=_quota(stored.plan),
        # A raw connection counts as a request does: both wake an agent once.
        requests_used=used.requests + used.connections,
        bytes_used=used.bytes_up + used.bytes_down,
    )


def _quota(plan: Plan) -> Quota:
    return Quota(plan.endpoints_max, plan.requests_month, plan.bytes_month, plan.requests_second)


def _lease(told: object, server: str) -> LeaseRecord | None:
    if not isinstance(told, dict):
        return None
    texts = [told.get(key) for key in ("name", "account", "peer", "host")]
    numbers = [told.get(key) for key in ("session", "epoch", "since", "heartbeat", "lapses")]
    return _record(
        [text for text in texts if isinstance(text, str)], [n for n in numbers if isinstance(n, int)], server
    )


def _record(texts: Sequence[str], numbers: Sequence[int], server: str) -> LeaseRecord | None:
    try:
        name, account, peer, host = texts
        session, epoch, since, heartbeat, lapses = numbers
        owner = AccountId(bytes.fromhex(account))
    except ValueError:
        return None
    if len(owner) != ACCOUNT_BYTES:
        return None
    times = (UnixSeconds(since), UnixSeconds(heartbeat), UnixSeconds(lapses))
    return LeaseRecord(Label(name), owner, str(session), peer, host, epoch, *times, server)
