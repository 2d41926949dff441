"""A control plane for worlds that have one: the peer process alone is made up, all of the server's side is its own.

It publishes directories and tells the server of them over `feed.sock`, and takes what the journals hold, as the
control process does. What it did, and when the server said that it knew, is what `watch.py` and the world judge by.
"""

import asyncio
import errno
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final, final

from tests.simulation.accounts import Limited, Used
from tests.simulation.kernel import HOST, Kernel
from tests.simulation.loop import SimLoop
from tests.simulation.parties import SERVER, Agent, Parties
from tests.simulation.plan import Plan
from tests.simulation.sockets import System
from tests.simulation.state import UNIX_START, account_id, token_id
from tests.simulation.watch import Watch

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.directory.directory import AccountFacts, Directory, Quota
from tunnel.core.directory.month import month_of
from tunnel.core.journal.records import Numbered, SessionBegan, SessionClosed, UsageNoted
from tunnel.core.token.token import AccountId
from tunnel.drive.directory_file import DIRECTORY, publish_directory
from tunnel.drive.feed import Answer, FeedClient
from tunnel.drive.journals import JournalReader, Stretch, journals_in
from tunnel.drive.segments import JOURNALS

_STRANGER: Final = AccountId(b"\xee" * 16)
_LOOK_SECONDS: Final = 5.0
"""How often the server looks for a directory of which it was not told."""
_LATE_SECONDS: Final = 1.0
_REQUESTS_MAX: Final = 2
_RATE: Final = 1
_ESSENCE: Final = ("number", "made_at", "revoked", "names", "accounts")


@final
class Control:
    """The peer of one server. Finished when `live` has returned; `judge` then says what was wrong."""

    def __init__(self, loop: SimLoop, plan: Plan, system: System, watch: Watch, parties: Parties, state: Path) -> None:
        self._loop: Final = loop
        self._plan: Final = plan
        self._system: Final = system
        self._kernel: Final[Kernel] = system.kernel
        self._watch: Final = watch
        self._accounts: Final = watch.accounts
        self._parties: Final = parties
        self._state: Final = state
        self._random: Final = random.Random(f"{plan.seed}/acts")
        self._directory = Directory()
        self._readers: Final[dict[Path, JournalReader]] = {}
        self._positions: Final[dict[Path, int]] = {}
        self.used: Final[dict[str, Used]] = {}
        self._may_lose = False
        self._sessions: Final[Counter[str]] = Counter()

    async def live(self) -> None:
        """All acts, each at its time; journals are read all along."""
        HOST.set(f"{SERVER}/control")
        for act in self._plan.acts:
            await asyncio.sleep(self._random.random() * self._plan.spread / len(self._plan.acts))
            self._kernel.say(f"act {act}")
            await self._do(act)
            self.collect()

    async def begin(self) -> None:
        """What the server knows before the first agent comes."""
        HOST.set(f"{SERVER}/control")
        await self._publish(self._directory)

    async def _do(self, act: str) -> None:
        agent = self._random.choice(self._parties.agents)
        account = account_id(agent.number % self._parties.accounts)
        known = self._directory
        if act == "revoke":
            await self._take_away([agent], replace(known, revoked=known.revoked | {token_id(agent.number)}))
        elif act == "suspend":
            theirs = [each for each in self._parties.agents if self._account_of(each) == account]
            await self._take_away(theirs, self._with(replace(self._facts(account), is_suspended=True)))
        elif act == "reserve":
            theirs = [each for each in self._parties.agents if each.name == agent.name]
            await self._take_away(theirs, replace(known, names={**known.names, Label(agent.name): _STRANGER}))
        elif act in {"requests", "rate"}:
            await self._limit(account, act)
        elif act == "damage":
            await self._damage()
        elif act == "disk":
            self._system.disk_error = self._random.choice((errno.ENOSPC, errno.EIO))
            await asyncio.sleep(self._random.choice((0.1, 3.0)))
            # A server that ends while its disk fails says how much is lost, and ends.
            self._may_lose |= self._parties.stop.is_set()
            self._system.disk_error = 0

    def _account_of(self, agent: Agent) -> AccountId:
        return account_id(agent.number % self._parties.accounts)

    def _facts(self, account: AccountId) -> AccountFacts:
        return self._directory.accounts.get(account) or AccountFacts(account)

    def _with(self, facts: AccountFacts) -> Directory:
        return replace(self._directory, accounts={**self._directory.accounts, facts.account: facts})

    async def _take_away(self, agents: list[Agent], directory: Directory) -> None:
        """From the moment on at which the server says that it knows, nothing of these agents may pass."""
        for each in agents:
            each.may_be_gone = True
        if not await self._publish(directory):
            return
        for each in agents:
            self._accounts.closed.setdefault(each.number, self._kernel.now)
        for hub in self._watch.hubs:
            for number, session in hub.sessions.items():
                token = getattr(session, "token", None)
                if token is not None and token.token_id in directory.revoked:
                    self._watch.found(f"session {number} of a revoked token is still there")

    async def _limit(self, account: AccountId, act: str) -> None:
        requests = _REQUESTS_MAX + self._accounts.passed[account] if act == "requests" else 0
        quota = Quota(requests_month=requests) if requests else Quota(requests_second=_RATE)
        used = self._accounts.passed[account]
        if not await self._publish(self._with(replace(self._facts(account), quota=quota, requests_used=used))):
            return
        passed = self._accounts.passed[account]
        self._accounts.limited[account] = Limited(self._kernel.now, passed, requests, quota.requests_second)
        for agent in self._parties.agents:
            agent.may_be_gone |= self._account_of(agent) == account

    async def _damage(self) -> None:
        """A file that is no directory changes nothing of what is known, whenever it is looked at."""
        path, client = self._state / DIRECTORY, FeedClient(self._state)
        asked = await client.ask("health")
        # What was published last may be unread, and may still be read, whole, until the next line is done.
        known = [_essence_of(self._directory), _essence(value_of(asked) if isinstance(asked, Success) else {})]
        whole = path.read_bytes()
        path.write_bytes(whole[: self._random.randrange(len(whole))])
        answer = await client.ask("directory")
        if isinstance(asked, Success) and isinstance(answer, Success) and not self._system.points.fails_at:
            told = value_of(answer)
            if told.get("taken") is not False or _essence({"directory": told}) not in known:
                self._watch.found(f"a broken directory is believed: {told}")
        await asyncio.sleep(self._random.choice((0.0, 6.0)))
        await self._publish(self._directory)

    async def _publish(self, directory: Directory) -> bool:
        """Write it down and say so, or say nothing; True once the server knows it, False when it is told to stop."""
        now = UnixSeconds(int(self._kernel.time()))
        made = replace(directory, number=directory.number + 1, made_at=now, month=month_of(UnixSeconds(UNIX_START)))
        self._directory = made
        published = publish_directory(self._state, made)
        assert isinstance(published, Success), published
        is_told = self._random.random() < 0.7
        began, client = self._kernel.now, FeedClient(self._state)
        while True:
            answer = await client.ask("directory" if is_told else "health")
            if isinstance(answer, Success):
                told = value_of(answer)
                facts = told if is_told else told.get("directory")
                if isinstance(facts, dict) and facts.get("number") == made.number:
                    return True
                if is_told and not self._system.points.fails_at:
                    self._watch.found(f"told of directory {made.number}, the server has {facts}")
                    return False
            if self._parties.stop.is_set():
                return False
            if self._system.points.fails_at and self._kernel.now - began > _LOOK_SECONDS:
                return False  # whom nothing can be told, and who cannot look, is no finding while things fail
            if self._kernel.now - began > _LOOK_SECONDS + _LATE_SECONDS + self._kernel.paused:
                self._watch.found(f"the server does not look at directory {made.number}: {answer}")
                return False
            await asyncio.sleep(0.5)

    # The journals.

    def collect(self) -> None:
        """Take what the journals hold, and delete what is taken."""
        found = journals_in(self._state / JOURNALS)
        assert isinstance(found, Success), found
        for place in value_of(found):
            reader = self._readers.setdefault(place, JournalReader(place))
            while True:
                read = reader.read(self._positions.get(place, 0))
                assert isinstance(read, Success), read
                stretch = value_of(read)
                self._take(place, stretch)
                reader.passed(stretch)
                if stretch.segment is None or not stretch.is_final:
                    break
                reader.delete(stretch.segment)

    def _take(self, place: Path, stretch: Stretch) -> None:
        for item in stretch.items:
            if not isinstance(item, Numbered):
                self._watch.found(f"a journal is damaged: {item}")
            elif item.sequence > self._positions.get(place, 0):
                if item.sequence != self._positions.get(place, 0) + 1:
                    self._watch.found(f"record {item.sequence} of a journal follows {self._positions.get(place, 0)}")
                self._positions[place] = item.sequence
                self._apply(item.record)

    def _apply(self, record: object) -> None:
        if isinstance(record, UsageNoted):
            row = self.used.setdefault(record.name, Used())
            row.add(record.bytes_up, record.bytes_down, requests=record.requests, connections=record.connections)
        elif isinstance(record, (SessionBegan, SessionClosed)):
            self._sessions[type(record).__name__] += 1

    def judge(self) -> None:
        """The server has ended: what it noted is what it said, and no less than what visitors and services saw."""
        self.collect()
        if self._may_lose:
            return
        found = self._watch.found
        began, ended = self._sessions["SessionBegan"], self._sessions["SessionClosed"]
        if began != self._accounts.sessions_opened or ended != began:
            found(f"{self._accounts.sessions_opened} sessions were opened; noted are {began}, and {ended} ends")
        for name in sorted({*self.used, *self._accounts.told}):
            noted, told = self.used.get(name, Used()), self._accounts.told.get(name, Used())
            if noted != told:
                found(f"of {name} {noted} is noted, and {told} was told")
        for name, noted in self.used.items():
            theirs = [each for each in self._watch.exchanges.values() if each.name == name and not each.is_raw]
            down = sum(each.got_down for each in theirs if each.answered_by >= 0)
            if down > noted.bytes_down and not self._plan.road.is_raw:
                found(f"visitors of {name} received {down} bytes, and {noted.bytes_down} are noted")


def _essence(health: Answer) -> tuple[object, ...]:
    """What the server says that it knows, of its answer about its health."""
    facts = health.get("directory")
    return tuple(facts.get(key) for key in _ESSENCE) if isinstance(facts, dict) else ()


def _essence_of(known: Directory) -> tuple[object, ...]:
    """The same of a directory."""
    return (known.number, known.made_at, len(known.revoked), len(known.names), len(known.accounts))
