"""Several workers, one authority: a supervisor and its workers wired together without a process.

A state machine starts, kills and retires workers between any two messages, while agents dial, ask, give up and leave.
After every step: fencing is exact over all workers. Once everything is delivered: all of them know the same, and nobody
waits for an answer.
"""

from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.cluster_world import UNIX, Agent, Cluster, WorkerEnd, raw_token
from typing_extensions import override

from tunnel.core.base.ids import EndpointId, Epoch, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.cluster.codec import encode_message
from tunnel.core.cluster.errors import (
    ClusterError,
    MessageMalformed,
    MessageTooLong,
    OtherVersion,
    OutOfTurn,
    UnknownMessage,
    describe,
)
from tunnel.core.cluster.messages import (
    AskName,
    Attend,
    CutDone,
    LeaseDown,
    LeaseEnd,
    LeaseUp,
    LookAgain,
    MessageKind,
    NameDenied,
    OpenSession,
    Ready,
    Retire,
    Serve,
    SessionRefused,
    Supersede,
    WorkerDown,
    WorkerId,
    WorkerUp,
)
from tunnel.core.cluster.replica import MOVED_MAX, Replica
from tunnel.core.directory.directory import Directory
from tunnel.core.link.messages import DenialCode, Expose, Keep
from tunnel.core.policy.rules import Policy, Rates, SignIn
from tunnel.core.route.table import Lease, Offline, RouteTable
from tunnel.core.token.token import TOKEN_BYTES, AccountId, EndpointKind

TOKENS: Final = (raw_token(1), raw_token(2), raw_token(3, account=2))
DEMO: Final = Label("demo")


def pair() -> tuple[Cluster, WorkerEnd, WorkerEnd]:
    """Two workers that know each other."""
    cluster = Cluster()
    one, two = cluster.start(), cluster.start()
    cluster.settle()
    return cluster, one, two


def joined(cluster: Cluster, worker: WorkerEnd, number: int, token: bytes = TOKENS[0], name: str = DEMO) -> Agent:
    """An agent that asked for a name, everything delivered."""
    agent = cluster.dial(worker, number, token)
    cluster.settle()
    cluster.ask(agent, name)
    cluster.settle()
    return agent


@pytest.mark.shows("WORK-NAME-001", "WORK-NAME-002")
def test_a_name_granted_at_one_worker_is_found_at_all() -> None:
    cluster, one, two = pair()
    agent = joined(cluster, one, 1)
    lease = agent.granted[EndpointId(1)]
    for worker in (one, two):
        found = worker.table.find(DEMO, cluster.now)
        assert isinstance(found, Lease)
        assert (found.epoch, found.session, found.peer) == (lease.epoch, agent.session, "192.0.2.1:40000")
        assert worker.replica.worker_of(found) == one.number
    assert cluster.registry.names() == [DEMO]
    assert cluster.registry.session_count() == 1


@pytest.mark.shows("POLICY-WORK-001")
def test_the_policy_of_a_name_holds_at_every_worker() -> None:
    cluster, one, two = pair()
    policy = Policy(Rates(1000, 5, 3), sign_ins=(SignIn(bytes(16), bytes(32)),))
    agent = cluster.dial(one, 1, TOKENS[0])
    cluster.settle()
    cluster.ask(agent, DEMO, policy)
    cluster.settle()
    three = cluster.start()
    cluster.settle()
    for worker in (one, two, three):
        found = worker.table.find(DEMO, cluster.now)
        assert isinstance(found, Lease)
        assert found.policy == policy


@pytest.mark.shows("WORK-NAME-002")
def test_a_worker_that_begins_later_learns_what_holds_and_what_is_offline() -> None:
    cluster, one, two = pair()
    gone = joined(cluster, two, 1, name="gone")
    joined(cluster, one, 2)
    cluster.hang_up(gone)
    cluster.settle()
    cluster.now = Instant(cluster.now + 7)
    late = cluster.start()
    cluster.settle()
    assert isinstance(late.table.find(DEMO, cluster.now), Lease)
    offline = late.table.find(Label("gone"), cluster.now)
    assert isinstance(offline, Offline)
    assert offline.since == cluster.now - 7
    assert {event.worker for event in late.told if isinstance(event, WorkerUp)} == {one.number, two.number}


@pytest.mark.bug("B3")
@pytest.mark.shows("WORK-FENCE-001")
def test_a_name_is_granted_only_when_every_worker_has_cut_the_lease_before() -> None:
    cluster, one, two = pair()
    three = cluster.start()
    old = joined(cluster, one, 1)
    new = cluster.dial(two, 2, TOKENS[0])
    cluster.settle()
    cluster.ask(new, DEMO)
    cluster.deliver_to_supervisor(two)
    for worker in (one, two, three):
        cluster.deliver_to_worker(worker)
        assert not isinstance(worker.table.find(DEMO, cluster.now), Lease)
    for worker in (three, one):
        cluster.cut(worker)
        cluster.deliver_to_supervisor(worker)
        cluster.deliver_to_worker(two)
        assert new.granted == {}
    assert cluster.registry.overdue(cluster.now) == []
    late = Instant(cluster.now + cluster.limits.worker_answer_seconds_max)
    assert cluster.registry.overdue(late) == [two.number]
    cluster.settle()
    assert new.granted[EndpointId(1)].epoch > 1
    assert old.granted == {}
    assert cluster.registry.overdue(late) == []


@pytest.mark.shows("WORK-FENCE-002")
def test_a_worker_that_dies_is_waited_for_no_longer() -> None:
    cluster, one, two = pair()
    joined(cluster, one, 1)
    new = cluster.dial(two, 2, TOKENS[0])
    cluster.settle()
    cluster.ask(new, DEMO)
    cluster.deliver_to_supervisor(two)
    cluster.kill(one)
    cluster.settle()
    assert set(new.granted) == {EndpointId(1)}
    assert any(isinstance(event, WorkerDown) and event.worker == one.number for event in two.told)


def test_a_third_agent_that_overtakes_a_waiting_second_waits_in_its_place() -> None:
    cluster, one, two = pair()
    joined(cluster, one, 1)
    second, third = cluster.dial(two, 2, TOKENS[0]), cluster.dial(two, 3, TOKENS[0])
    cluster.settle()
    for agent in (second, third):
        cluster.ask(agent, DEMO)
        cluster.deliver_to_supervisor(two)
    cluster.settle()
    assert second.denied == [EndpointId(1)]
    assert set(third.granted) == {EndpointId(1)}
    denied = [event for event in two.told if isinstance(event, NameDenied)]
    assert [event.code for event in denied] == [DenialCode.NAME_TAKEN]


@pytest.mark.shows("WORK-FENCE-001")
def test_who_asks_after_one_that_gave_up_waiting_waits_for_the_same_cut() -> None:
    cluster, one, two = pair()
    joined(cluster, one, 1)
    second, third = cluster.dial(two, 2, TOKENS[0]), cluster.dial(two, 3, TOKENS[0])
    cluster.settle()
    cluster.ask(second, DEMO)
    cluster.deliver_to_supervisor(two)
    cluster.hang_up(second)
    cluster.ask(third, DEMO)
    for _ in range(3):
        cluster.deliver_to_supervisor(two)
        cluster.deliver_to_worker(one)
    while two.inbox:
        cluster.deliver_to_worker(two)
    assert third.granted == {}
    cluster.settle()
    assert set(third.granted) == {EndpointId(1)}


def test_a_lease_that_waits_may_end_before_it_begins() -> None:
    """And one of another name neither waits for it nor ends with it."""
    cluster, one, two = pair()
    joined(cluster, one, 1)
    joined(cluster, one, 3, name="other")
    elsewhere = cluster.dial(two, 4, TOKENS[0])
    cluster.settle()
    second = cluster.dial(two, 2, TOKENS[0])
    cluster.settle()
    cluster.ask(second, DEMO)
    cluster.ask(elsewhere, "other")
    cluster.deliver_to_supervisor(two)
    cluster.deliver_to_supervisor(two)
    cluster.hang_up(second)
    cluster.settle()
    assert second.granted == {}
    assert cluster.registry.names() == ["other"]
    assert not isinstance(one.table.find(DEMO, cluster.now), Lease)


@pytest.mark.shows("WORK-WORKER-001")
def test_a_worker_that_dies_takes_its_own_names_offline_and_no_others() -> None:
    cluster, one, two = pair()
    joined(cluster, one, 1)
    joined(cluster, two, 2, name="other")
    cluster.kill(one)
    cluster.registry.on_worker_lost(one.number, cluster.now)
    cluster.settle()
    assert isinstance(two.table.find(DEMO, cluster.now), Offline)
    assert isinstance(two.table.find(Label("other"), cluster.now), Lease)
    back = joined(cluster, two, 1)
    assert set(back.granted) == {EndpointId(1)}


@pytest.mark.shows("WORK-NAME-003")
def test_limits_of_a_token_hold_over_all_workers() -> None:
    cluster, one, two = pair()
    token = raw_token(9, sessions_max=1, names_max=1)
    first = joined(cluster, one, 1, token)
    cluster.ask(first, "second")
    cluster.settle()
    assert first.denied == [EndpointId(2)]
    other = joined(cluster, two, 2, token, "third")
    assert other.is_refused
    assert any(isinstance(event, SessionRefused) for event in two.told)


@pytest.mark.shows("WORK-NAME-004")
def test_an_agent_that_comes_back_to_another_worker_ends_its_own_dead_link() -> None:
    cluster, one, two = pair()
    old = joined(cluster, one, 1)
    new = joined(cluster, two, 1)
    assert [event.session for event in one.told if isinstance(event, Supersede)] == [old.session]
    assert set(new.granted) == {EndpointId(1)}


@pytest.mark.shows("WORK-CROSS-004")
def test_a_visitor_on_the_way_finds_a_lease_that_moved_and_waits_for_one_that_is_yet_to_be_told() -> None:
    cluster, one, two = pair()
    old = joined(cluster, one, 1).granted[EndpointId(1)]
    assert one.replica.successor(old.epoch, cluster.now) is None
    assert not one.replica.is_coming(old.epoch)
    cluster.retire(one)
    cluster.settle()
    moving = cluster.dial(two, 1, TOKENS[0])
    cluster.settle()
    cluster.ask(moving, DEMO)
    cluster.deliver_to_supervisor(two)
    assert one.replica.is_coming(Epoch(old.epoch + 1))
    while one.inbox:
        cluster.deliver_to_worker(one)
    found = one.replica.successor(old.epoch, cluster.now)
    assert found is not None
    assert found.epoch == old.epoch + 1
    assert two.replica.lease(found.epoch) is None, "its own agent does not know of it yet"
    cluster.settle()
    assert two.replica.lease(found.epoch) is not None
    cluster.hang_up(moving)
    cluster.settle()
    assert one.replica.successor(old.epoch, cluster.now) is None


def test_leases_that_moved_are_remembered_within_a_bound() -> None:
    replica = Replica(RouteTable(Limits()), WorkerId(1))
    asked = Expose(EndpointId(1), EndpointKind.HTTP, "a", Keep())
    for number in range(1, MOVED_MAX + 3):
        up = LeaseUp(WorkerId(2), SessionId(1), Epoch(number), DEMO, TOKENS[0], asked, "", bytes(16))
        down = LeaseDown(Epoch(number), DEMO, LeaseEnd.MOVED)
        assert isinstance(replica.receive(encode_message(up) + encode_message(down), Instant(1.0)), Success)
    last = LeaseUp(WorkerId(2), SessionId(1), Epoch(9_000), DEMO, TOKENS[0], asked, "", bytes(16))
    assert isinstance(replica.receive(encode_message(last), Instant(1.0)), Success)
    assert replica.successor(Epoch(2), Instant(1.0)) is None
    assert replica.successor(Epoch(3), Instant(1.0)) is not None


@pytest.mark.shows("WORK-RELOAD-003")
def test_an_agent_that_moves_from_a_retiring_worker_keeps_what_runs() -> None:
    cluster, one, two = pair()
    old = joined(cluster, one, 1)
    lease = old.granted[EndpointId(1)]
    cluster.retire(one)
    cluster.retire(one)
    cluster.settle()
    assert sum(isinstance(event, Retire) for event in one.told) == 1
    assert isinstance(two.table.find(DEMO, cluster.now), Lease)
    new = joined(cluster, two, 1)
    assert not any(isinstance(event, Supersede) for event in one.told)
    assert (lease.epoch, LeaseEnd.MOVED) in one.overs
    found = one.table.find(DEMO, cluster.now)
    assert isinstance(found, Lease)
    assert found.session == new.session
    other = joined(cluster, two, 2)
    assert (found.epoch, LeaseEnd.FENCED) in one.overs
    assert set(other.granted) == {EndpointId(1)}


def test_a_withdrawn_name_is_forgotten_everywhere_and_only_by_its_holder() -> None:
    cluster, one, two = pair()
    agent = joined(cluster, one, 1)
    lease = agent.granted[EndpointId(1)]
    assert agent.session is not None
    two.replica.give_up(lease)
    two.replica.drop_session(agent.session)
    two.says()
    cluster.settle()
    assert isinstance(two.table.find(DEMO, cluster.now), Lease)
    cluster.give_up(agent, lease)
    cluster.give_up(agent, lease)
    cluster.settle()
    assert one.table.find(DEMO, cluster.now) is None
    assert two.table.find(DEMO, cluster.now) is None


def test_a_worker_that_cannot_be_reached_hides_its_leases_until_it_can() -> None:
    cluster, one, two = pair()
    joined(cluster, one, 1)
    two.replica.on_worker_unreachable(one.number, cluster.now)
    assert isinstance(two.table.find(DEMO, cluster.now), Offline)
    two.replica.on_worker_reachable(one.number)
    found = two.table.find(DEMO, cluster.now)
    assert isinstance(found, Lease)
    assert two.table.is_current(found)


@pytest.mark.shows("WORK-WORKER-003")
def test_a_worker_serves_once_it_is_ready_and_told_to() -> None:
    cluster, one, _ = pair()
    assert not cluster.registry.is_ready(one.number)
    one.replica.ready()
    one.says()
    cluster.settle()
    assert cluster.registry.is_ready(one.number)
    assert not cluster.registry.is_ready(WorkerId(99))
    cluster.registry.serve(one.number)
    cluster.registry.serve(WorkerId(99))
    cluster.deliver_to_supervisor(one)
    one.replica.ready()
    one.says()
    cluster.settle()
    assert any(isinstance(event, Serve) for event in one.told)


@pytest.mark.shows("WORK-WIRE-002")
def test_words_that_make_no_sense_end_the_conversation() -> None:
    cluster, one, two = pair()
    agent = joined(cluster, one, 1)
    assert agent.session is not None
    registry, now = cluster.registry, cluster.now
    stranger = cluster.start().number
    ask = AskName(agent.session, Expose(EndpointId(7), EndpointKind.HTTP, "x", Keep()))

    def said(worker: WorkerId, message: object) -> object:
        assert isinstance(message, (Attend, Ready, AskName, OpenSession, Serve, CutDone))
        return registry.receive(worker, message, now, UNIX, bytes(16))

    assert said(stranger, Ready()) == Failure(OutOfTurn(MessageKind.READY))
    assert said(stranger, Attend(99)) == Failure(OtherVersion(99))
    assert said(one.number, Attend(1)) == Failure(OutOfTurn(MessageKind.ATTEND))
    assert said(two.number, ask) == Failure(OutOfTurn(MessageKind.ASK_NAME))
    assert said(two.number, Serve()) == Failure(OutOfTurn(MessageKind.SERVE))
    forged = OpenSession(1, bytes(16), 0, bytes(TOKEN_BYTES), "")
    assert said(two.number, forged) == Failure(OutOfTurn(MessageKind.OPEN_SESSION))
    assert said(WorkerId(77), Ready()) == Success(None)
    gone = AskName(SessionId(99), ask.asked)
    assert said(two.number, gone) == Success(None)
    assert said(two.number, CutDone(Epoch(99))) == Success(None)


def test_every_error_says_what_was_seen() -> None:
    errors: list[ClusterError] = [
        MessageTooLong(20_000, 16_384),
        UnknownMessage(9),
        MessageMalformed(MessageKind.ATTEND, "version"),
        OtherVersion(7),
        OutOfTurn(MessageKind.READY),
    ]
    assert [word for error, word in zip(errors, ("20000", "kind 9", "'version'", "restart", "READY"), strict=True)
            if word not in describe(error)] == []  # fmt: skip


class AnyOrder(RuleBasedStateMachine):
    """Any order of deliveries and deaths."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(Limits(sessions_per_token_max=3))

    @initialize()
    def two(self) -> None:
        """Begin with two."""
        self.cluster.start()
        self.cluster.start()

    def worker(self, data: st.DataObject) -> WorkerEnd | None:
        """One of the workers, if any."""
        numbers = sorted(self.cluster.workers)
        return self.cluster.workers[data.draw(st.sampled_from(numbers))] if numbers else None

    def agent(self, data: st.DataObject) -> Agent | None:
        """One of the agents with a session, if any."""
        live = [agent for agent in self.cluster.agents if agent.session is not None and not agent.is_over]
        return data.draw(st.sampled_from(live)) if live else None

    @rule()
    def start(self) -> None:
        """One worker more."""
        if len(self.cluster.workers) < 4:
            self.cluster.start()

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """One worker less."""
        worker = self.worker(data)
        if worker is not None:
            self.cluster.kill(worker)

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        """A worker is to end."""
        worker = self.worker(data)
        if worker is not None:
            self.cluster.retire(worker)

    @rule(data=st.data(), number=st.integers(1, 4))
    def dial(self, data: st.DataObject, number: int) -> None:
        """An agent says hello."""
        worker = self.worker(data)
        if worker is not None:
            self.cluster.dial(worker, number, TOKENS[number % len(TOKENS)])

    @rule(data=st.data(), name=st.sampled_from(["demo", "other", "", "not a name"]))
    def ask(self, data: st.DataObject, name: str) -> None:
        """An agent asks for a name, a good one or not."""
        agent = self.agent(data)
        if agent is not None:
            self.cluster.ask(agent, name)

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """An agent withdraws."""
        agent = self.agent(data)
        if agent is not None and agent.granted:
            self.cluster.give_up(agent, data.draw(st.sampled_from(list(agent.granted.values()))))

    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        """An agent leaves."""
        agent = self.agent(data)
        if agent is not None:
            self.cluster.hang_up(agent)

    @rule(data=st.data(), count=st.integers(1, 6))
    def deliver(self, data: st.DataObject, count: int) -> None:
        """Some messages of one worker arrive."""
        worker = self.worker(data)
        if worker is not None:
            for _ in range(count):
                self.cluster.deliver_to_supervisor(worker)
                self.cluster.deliver_to_worker(worker)

    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        """A worker has cut what was fenced."""
        worker = self.worker(data)
        if worker is not None:
            self.cluster.cut(worker)

    @invariant()
    def fencing_is_exact(self) -> None:
        """Whoever has a later lease of a name in his table: no worker passes a byte of one that was fenced for it."""
        ups: dict[Label, Epoch] = {}
        for worker in self.cluster.workers.values():
            for lease in worker.table.leases():
                ups[lease.name] = max(ups.get(lease.name, Epoch(0)), lease.epoch)
        for worker in self.cluster.workers.values():
            passing = [*worker.uncut, *worker.table.leases()]
            for lease in passing:
                if lease.epoch in self.cluster.fenced:
                    assert ups.get(lease.name, 0) <= lease.epoch, "a fenced lease passes beside its successor"

    @invariant()
    def epochs_rise(self) -> None:
        """Each lease of a name is of a later epoch than the one announced before."""
        for epochs in self.cluster.epochs_up.values():
            assert epochs == sorted(epochs)

    @override
    def teardown(self) -> None:
        """Everything delivered, all know the same, and each question was answered."""
        cluster = self.cluster
        cluster.settle()
        known = {
            number: [(lease.name, lease.epoch) for lease in worker.table.leases()]
            for number, worker in cluster.workers.items()
        }
        for leases in known.values():
            assert [name for name, _ in leases] == cluster.registry.names()
            assert leases == next(iter(known.values()))
        late = Instant(cluster.now + 3600)
        assert cluster.registry.overdue(late) == []
        for agent in cluster.agents:
            if not agent.is_over:
                assert agent.session is not None
                answered = [*agent.granted, *agent.denied]
                assert len(set(answered)) == len(answered)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestAnyOrder = AnyOrder.TestCase


@pytest.mark.shows("GATE-WORK-001")
def test_the_supervisor_decides_by_the_directory_and_every_worker_is_told_to_look() -> None:
    cluster, one, two = pair()
    cluster.registry.learn(Directory(1, UnixSeconds(1), names={DEMO: AccountId(bytes([2]) * 16)}))
    cluster.settle()
    three = cluster.start()
    cluster.settle()
    assert [sum(isinstance(event, LookAgain) for event in worker.told) for worker in (one, two, three)] == [1, 1, 1]
    refused = joined(cluster, one, 1)
    assert refused.granted == {}
    granted = joined(cluster, two, 2, TOKENS[2])
    assert list(granted.granted) == [EndpointId(1)]
