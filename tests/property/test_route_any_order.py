"""The route table under any order of calls, against a plain model of who ought to answer for what.

Sessions come and go, claim and withdraw, alone or sharing, while exchanges run, local services fail and come back, and
time passes. The model knows nothing of epochs, counts and indexes: it looks at everybody every time.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.routes import DAY, LAPSE, LIMITS, START, claim_of, token_of

from tunnel.core.base.ids import Epoch, Instant, Label, SessionId
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.link.messages import Share
from tunnel.core.route.errors import SessionGone
from tunnel.core.route.lease import Lease
from tunnel.core.route.table import Offline, RouteTable, Unhealthy
from tunnel.core.token.token import AccountId, Token

TOKENS: Final = [token_of(1, names_max=2), token_of(2, sessions_max=2), token_of(3, account=2)]
NAMES: Final = [Label("a"), Label("b"), Label("c"), Label("d")]
WANTED: Final = st.sampled_from([*NAMES[:1] * 4, *NAMES])
"""Most want the same."""
INSTANCES: Final = st.sampled_from([b"x", b"y", b"z"])
LINKS: Final = st.sampled_from([0, 0, 1, 2])
SHARES: Final = st.sampled_from([Share.ALONE, Share.POOL, Share.POOL])
MEMBERS_MAX: Final = 3

Agent = tuple[Token, bytes]


class AnyOrder(RuleBasedStateMachine):
    """A table, and what must hold of it."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = replace(LIMITS, offline_names_max=2, members_per_name_max=MEMBERS_MAX, sessions_per_token_max=4)
        self.table = RouteTable(self.limits)
        self.now = START
        self.next_session = 1
        self.live: dict[SessionId, tuple[Token, bytes, int]] = {}
        self.ended: list[SessionId] = []
        self.agents: dict[SessionId, Agent] = {}
        self.held: dict[Label, list[Lease]] = {}
        self.gone: dict[Label, tuple[Instant, AccountId]] = {}
        self.past: list[Lease] = []
        self.running: list[Lease] = []
        self.told: dict[Label, tuple[list[Agent], int]] = {}
        self.epoch = Epoch(0)

    @rule(seconds=st.sampled_from([0.5, 2.0, 30.0, LAPSE, DAY]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now = Instant(self.now + seconds)

    @initialize(share=SHARES, is_one=st.booleans())
    def some_are_there(self, share: Share, *, is_one: bool) -> None:
        """One agent with several links, or several agents."""
        for number in range(3):
            self.arrive(TOKENS[number and 1], b"x" if is_one else bytes([number]), number, NAMES[0], share)

    @rule(token=st.sampled_from(TOKENS), instance=INSTANCES, link=LINKS, name=WANTED, share=SHARES)
    def arrive(self, token: Token, instance: bytes, link: int, name: Label, share: Share) -> None:
        """An agent connects and asks for a name, as all do."""
        self.open_session(token, instance, link)
        newest = SessionId(self.next_session - 1)
        if newest in self.live:
            self.ask(newest, name, share)

    @rule(token=st.sampled_from(TOKENS), instance=INSTANCES, link=LINKS)
    def open_session(self, token: Token, instance: bytes, link: int) -> None:
        """An agent connects, perhaps again, perhaps with one link more."""
        session = SessionId(self.next_session)
        self.next_session += 1
        done = self.table.open_session(session, token, instance, link)
        same = [old for old, agent in self.live.items() if agent == (token, instance, link)]
        count = sum(held[0] is token for held in self.live.values())
        limit = min(token.sessions_max, self.limits.sessions_per_token_max)
        assert isinstance(done, Success) == (bool(same) or count < limit)
        if isinstance(done, Success):
            assert value_of(done).retired == (same[0] if same else None)
            for old in same:
                del self.live[old]
                self.ended.append(old)
            self.live[session] = (token, instance, link)
            self.agents[session] = (token, instance)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), name=WANTED, share=SHARES)
    def claim(self, data: st.DataObject, name: Label, share: Share) -> None:
        """A live session asks for a name, perhaps for one more."""
        self.ask(data.draw(st.sampled_from(sorted(self.live))), name, share)

    def ask(self, session: SessionId, name: Label, share: Share) -> None:
        """The table answers as the model does."""
        token, agent = self.live[session][0], self.agents[session]
        group = self.held.get(name, [])
        is_joining = all(
            self.agents[lease.session] == agent
            or (lease.share is share is Share.POOL and lease.account == token.account)
            for lease in group
        )
        own = [lease for lease in group if self.agents[lease.session] == agent]
        replaced = [lease for lease in own if lease.session == session or lease.session not in self.live]
        is_given = self.may_join(name, token, len(group) - len(replaced))
        if not is_joining:
            replaced = group
            is_given = self.may_take_over(name, session)
        done = self.table.claim(claim_of(session, token, name, share=share), self.now)
        assert isinstance(done, Success) == is_given
        if isinstance(done, Success):
            lease = value_of(done).lease
            assert value_of(done).fenced == tuple(replaced)
            assert lease.epoch > self.epoch
            self.epoch = lease.epoch
            if not is_joining:
                live = [self.agents[old.session] for old in group if old.session in self.live]
                self.told[name] = (live, self.next_session - 1)
            self.held[name] = [*(old for old in group if old not in replaced), lease]
            self.past.append(lease)
            self.gone.pop(name, None)

    def may_join(self, name: Label, token: Token, others: int) -> bool:
        """Whether there is room, for the name and for the token."""
        group = self.held.get(name, [])
        if others >= MEMBERS_MAX:
            return False
        if any(lease.token is token for lease in group):
            return True
        since, account = self.gone.get(name, (Instant(self.now - DAY), token.account))
        is_free = self.now - since >= LAPSE or account == token.account
        names = [one for one, leases in self.held.items() if any(lease.token is token for lease in leases)]
        return is_free and len(names) < token.names_max

    def may_take_over(self, name: Label, session: SessionId) -> bool:
        """Whether all holders are of its token and older, and it was not one of those before them."""
        told, until = self.told.get(name, ([], 0))
        return all(
            lease.token is self.live[session][0] and lease.session <= session for lease in self.held[name]
        ) and not (self.agents[session] in told and session <= until)

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def claim_by_the_dead(self, data: st.DataObject, name: Label) -> None:
        """What an ended session still says arrives late."""
        session = data.draw(st.sampled_from(self.ended))
        assert self.table.claim(claim_of(session, TOKENS[0], name), self.now) == Failure(SessionGone(session))

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Any lease there ever was is withdrawn."""
        lease = data.draw(st.sampled_from(self.past))
        is_held = lease in self.held.get(lease.name, [])
        assert self.table.withdraw(lease.name, lease.epoch) is (lease if is_held else None)
        if is_held:
            self.let_go(lease)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        """Any session there ever was ends, perhaps again."""
        session = SessionId(data.draw(st.integers(1, self.next_session)))
        expected = [lease for _, group in sorted(self.held.items()) for lease in group if lease.session == session]
        assert self.table.drop_session(session, self.now) == expected
        if self.live.pop(session, None) is not None:
            self.ended.append(session)
        for lease in expected:
            self.let_go(lease)
            if lease.name not in self.held:
                self.gone[lease.name] = (self.now, lease.account)
        while len(self.gone) > self.limits.offline_names_max:
            del self.gone[next(iter(self.gone))]

    def let_go(self, lease: Lease) -> None:
        """The model forgets a lease, and with the last one who was told what of the name."""
        self.held[lease.name].remove(lease)
        if not self.held[lease.name]:
            del self.held[lease.name]
            self.told.pop(lease.name, None)

    @rule(name=WANTED, data=st.data())
    def begin_an_exchange(self, name: Label, data: st.DataObject) -> None:
        """A visitor comes: it is sent to one that is there, is not down, and has the least to do."""
        group = [lease for lease in self.held.get(name, []) if not lease.health.is_down]
        due = [lease for lease in group if lease.health.is_due(self.now)]
        sound = [lease for lease in group if not lease.health.is_aside]
        preferred = data.draw(st.sampled_from([None, *group]))
        found = self.table.find(name, self.now, preferred)
        if isinstance(found, Lease):
            expected = [found] if len(self.held[name]) == 1 else due or sound or group
            assert found in expected
            assert due or found.outstanding == min(lease.outstanding for lease in expected)
            if preferred in sound and preferred.outstanding == found.outstanding:
                assert found is preferred or due
            found.outstanding += 1
            self.running.append(found)
        else:
            assert not group
            assert isinstance(found, Unhealthy) == (name in self.held)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end_an_exchange(self, data: st.DataObject) -> None:
        """Any of them ends."""
        lease = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        lease.outstanding -= 1

    def some_lease(self, data: st.DataObject) -> Lease:
        """One of those in force, or any there ever was."""
        held = [lease for group in self.held.values() for lease in group]
        return data.draw(st.sampled_from(held) | st.sampled_from(self.past) if held else st.sampled_from(self.past))

    @precondition(lambda self: self.past)
    @rule(data=st.data(), times=st.sampled_from([1, 3, 4]))
    def fail_locally(self, data: st.DataObject, times: int) -> None:
        """Connections to a local service fail, current or not: the last one that serves is never put aside."""
        lease = self.some_lease(data)
        group = self.held.get(lease.name, [])
        for _ in range(times):
            was_sound = [member for member in group if member.health.is_sound]
            is_news = self.table.on_local_failed(lease, self.now)
            assert not is_news or lease.health.is_aside
            assert not was_sound or any(member.health.is_sound for member in group)

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def stand_locally(self, data: st.DataObject) -> None:
        """A connection is made."""
        lease = self.some_lease(data)
        was_aside = lease.health.is_aside
        assert lease.health.on_stood() == was_aside
        assert not lease.health.is_aside

    @precondition(lambda self: self.past)
    @rule(data=st.data(), is_up=st.booleans())
    def report(self, data: st.DataObject, *, is_up: bool) -> None:
        """An agent says what its checks found; that is news or not."""
        lease = self.some_lease(data)
        was_down = lease.health.is_down
        assert self.table.on_health(lease, is_up=is_up) == (was_down is is_up)
        assert lease.health.is_down is not is_up

    @invariant()
    def they_answer_who_ought_to(self) -> None:
        """The leases in force are those of the model, and no lease of the past is current."""
        assert self.table.leases() == [lease for _, group in sorted(self.held.items()) for lease in group]
        for lease in self.past:
            assert self.table.is_current(lease) == (lease in self.held.get(lease.name, []))

    @invariant()
    def links_of_one_agent_have_one_local_service(self) -> None:
        """They share what is known of its health, and nobody else does."""
        for group in self.held.values():
            for lease in group:
                same = [other for other in group if other.health is lease.health]
                assert same == [other for other in group if self.agents[other.session] == self.agents[lease.session]]

    @invariant()
    def names_that_nobody_answers_are_offline_or_unknown(self) -> None:
        """Offline while remembered, or nothing."""
        assert self.table.offline_count() == len(self.gone)
        for name in NAMES:
            assert self.table.members(name) == self.held.get(name, [])
            assert self.table.is_shared(name) == (len(self.held.get(name, [])) > 1)
            if name in self.held:
                continue
            found = self.table.find(name, self.now)
            assert self.table.another(name, self.now, []) is None
            if name in self.gone and self.now - self.gone[name][0] < DAY:
                assert isinstance(found, Offline)
                assert (found.since, found.account) == self.gone[name]
            else:
                assert found is None


TestAnyOrder = pytest.mark.bug("B3")(
    pytest.mark.shows(
        "ROUTE-LEASE-001",
        "ROUTE-LEASE-002",
        "ROUTE-LEASE-003",
        "ROUTE-LEASE-005",
        "ROUTE-LEASE-006",
        "ROUTE-LEASE-007",
        "ROUTE-LEASE-009",
        "ROUTE-LEASE-011",
        "ROUTE-GROUP-001",
        "ROUTE-GROUP-002",
        "ROUTE-GROUP-003",
        "ROUTE-CHOICE-001",
        "ROUTE-CHOICE-002",
        "ROUTE-HEALTH-001",
        "ROUTE-HEALTH-002",
    )(AnyOrder.TestCase)
)
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
