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
from tunnel.core.base.problem import AGENT_OFFLINE, EXPOSURE_OVER
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
    CLUSTER_VERSION,
    AskName,
    Attend,
    CutDone,
    LeaseDown,
    LeaseEnd,
    LeaseHealth,
    LeaseUp,
    LookAgain,
    MessageKind,
    NameDenied,
    NameGranted,
    OpenSession,
    Ready,
    Retire,
    Serve,
    SessionRefused,
    Supersede,
    WorkerDown,
    WorkerId,
    WorkerTally,
    WorkerUp,
)
from tunnel.core.cluster.ports import PortWanted
from tunnel.core.cluster.registry import ClusterRegistry
from tunnel.core.cluster.replica import PASSED_MAX, Replica
from tunnel.core.cluster.tally import Used, UseKind
from tunnel.core.directory.directory import Directory
from tunnel.core.link.messages import DenialCode, Expose, Keep, Share
from tunnel.core.policy.rules import Policy, Rates, SignIn
from tunnel.core.route.granting import Denial
from tunnel.core.route.table import Lease, Offline, RouteTable, Unhealthy
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
    for number in range(1, PASSED_MAX + 3):
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


@pytest.mark.shows("WORK-WORKER-005")
def test_an_agent_that_dials_while_the_server_ends_keeps_what_runs() -> None:
    cluster, one, two = pair()
    lease = joined(cluster, one, 1).granted[EndpointId(1)]
    cluster.registry.end()
    joined(cluster, two, 1)
    assert not any(isinstance(event, Supersede) for event in one.told)
    assert (lease.epoch, LeaseEnd.MOVED) in one.overs


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


def lapse(cluster: Cluster, agent: Agent, lease: Lease) -> None:
    """The time of an exposure is over, as the worker of its session finds."""
    lease.has_lapsed = True
    cluster.give_up(agent, lease)


def lapsed_at(worker: WorkerEnd, cluster: Cluster) -> bool:
    """Whether a visitor of the worker is told that the time of the name is over."""
    found = worker.table.find(DEMO, cluster.now)
    return isinstance(found, Offline) and found.has_lapsed


@pytest.mark.shows("TOKEN-EXPOSE-002", "WORK-NAME-005")
def test_a_name_whose_time_is_over_is_remembered_as_that_at_every_worker() -> None:
    cluster, one, two = pair()
    agent = joined(cluster, one, 1)
    lease = agent.granted[EndpointId(1)]
    lapse(cluster, agent, lease)
    one.table.note_lapsed(lease, cluster.now)
    assert lapsed_at(one, cluster), "its own worker waits for nobody's word"
    assert one.replica.lease(lease.epoch) is lease
    cluster.settle()
    three = cluster.start()
    cluster.settle()
    assert [lapsed_at(each, cluster) for each in (one, two, three)] == [True, True, True]
    assert [(lease.epoch, LeaseEnd.LAPSED) in each.overs for each in (one, two)] == [True, True]
    late = Instant(cluster.now + cluster.limits.offline_remembered_seconds)
    assert [each.table.find(DEMO, late) for each in (one, two)] == [None, None]


@pytest.mark.shows("WORK-NAME-005", "ROUTE-OFFLINE-002")
def test_a_name_whose_time_is_over_is_its_account_s_for_a_while_at_whichever_worker_it_is_asked_for() -> None:
    cluster, one, two = pair()
    agent = joined(cluster, one, 1)
    lapse(cluster, agent, agent.granted[EndpointId(1)])
    cluster.settle()
    assert joined(cluster, two, 2, raw_token(8, account=2)).granted == {}
    assert set(joined(cluster, two, 3, raw_token(9)).granted) == {EndpointId(1)}
    assert [lapsed_at(each, cluster) for each in (one, two)] == [False, False]
    cluster, one, two = pair()
    agent = joined(cluster, one, 1)
    lapse(cluster, agent, agent.granted[EndpointId(1)])
    cluster.settle()
    cluster.now = Instant(cluster.now + cluster.limits.lease_lapse_seconds)
    assert set(joined(cluster, two, 2, raw_token(8, account=2)).granted) == {EndpointId(1)}


@pytest.mark.shows("WORK-NAME-005")
def test_where_one_of_several_agents_has_run_out_of_time_the_others_answer() -> None:
    cluster, one, two = pair()
    agents = [cluster.dial(each, number, TOKENS[1]) for number, each in enumerate((one, two), 1)]
    cluster.settle()
    for agent in agents:
        cluster.ask(agent, "demo", share=Share.POOL)
        cluster.settle()
    first, second = (agent.granted[EndpointId(1)] for agent in agents)
    lapse(cluster, agents[0], first)
    cluster.settle()
    for worker in (one, two):
        assert [lease.epoch for lease in worker.table.members(DEMO)] == [second.epoch]
    assert one.replica.successor(first.epoch, cluster.now) is not None
    lapse(cluster, agents[1], second)
    cluster.settle()
    assert [lapsed_at(each, cluster) for each in (one, two)] == [True, True]


@pytest.mark.shows("WORK-NAME-005", "WORK-CROSS-002")
def test_a_visitor_on_the_way_to_a_name_whose_time_is_over_is_told_so() -> None:
    cluster, one, two = pair()
    agent = joined(cluster, one, 1)
    lease = agent.granted[EndpointId(1)]
    assert one.replica.refusal(lease.epoch, cluster.now) == AGENT_OFFLINE
    lapse(cluster, agent, lease)
    cluster.settle()
    for worker in (one, two):
        assert worker.replica.successor(lease.epoch, cluster.now) is None
        assert worker.replica.refusal(lease.epoch, cluster.now) == EXPOSURE_OVER
        assert worker.replica.refusal(Epoch(77), cluster.now) == AGENT_OFFLINE
    late = Instant(cluster.now + cluster.limits.offline_remembered_seconds)
    assert one.replica.refusal(lease.epoch, late) == AGENT_OFFLINE


def test_a_worker_that_cannot_be_reached_hides_its_leases_until_it_can() -> None:
    cluster, one, two = pair()
    joined(cluster, one, 1)
    two.replica.on_worker_unreachable(one.number, cluster.now)
    assert isinstance(two.table.find(DEMO, cluster.now), Offline)
    two.replica.on_worker_reachable(one.number)
    found = two.table.find(DEMO, cluster.now)
    assert isinstance(found, Lease)
    assert two.table.is_current(found)


def ported(cluster: Cluster, worker: WorkerEnd, number: int, port: int = 0, name: str = DEMO) -> Agent:
    """An agent that asked for a name with a public TCP port, everything delivered."""
    agent = cluster.dial(worker, number, TOKENS[0])
    cluster.settle()
    cluster.ask(agent, name, port=port)
    cluster.settle()
    return agent


@pytest.mark.shows("WORK-PORT-002", "WORK-PORT-003")
def test_a_port_is_open_before_its_lease_is_known_and_the_same_at_every_worker() -> None:
    cluster, one, two = pair()
    agent = ported(cluster, one, 1)
    lease = agent.granted[EndpointId(1)]
    late = cluster.start()
    cluster.settle()
    assert cluster.open == {1000: 1}
    for worker in (one, two, late):
        assert worker.replica.port_of(lease) == 1000
        assert [(word.opening, word.port, word.name) for word in worker.served.values()] == [(1, 1000, DEMO)]
    cluster.give_up(agent, lease)
    cluster.settle()
    assert cluster.open == {}
    assert [worker.served for worker in (one, two, late)] == [{}, {}, {}]


@pytest.mark.shows("WORK-PORT-004")
def test_a_port_stays_open_while_its_agent_moves_or_is_replaced() -> None:
    cluster, one, two = pair()
    ported(cluster, one, 1)
    cluster.retire(one)
    cluster.settle()
    moved = ported(cluster, two, 1)
    assert cluster.open == {1000: 1}
    other = ported(cluster, two, 2)
    assert cluster.open == {1000: 1}
    assert moved.granted == {}
    assert two.replica.port_of(other.granted[EndpointId(1)]) == 1000
    assert list(two.served) == [1]


@pytest.mark.shows("WORK-PORT-005")
def test_without_a_port_there_is_no_name() -> None:
    """What was replaced has ended all the same; and an agent that moved is told so behind the answer."""
    cluster, one, two = pair()
    ported(cluster, one, 1)
    cluster.foreign.add(1002)
    cluster.retire(one)
    moving = ported(cluster, two, 1, port=1002)
    assert moving.denied == [EndpointId(1)]
    assert cluster.registry.names() == []
    assert cluster.open == {}
    assert [end for _, end in one.overs] == [LeaseEnd.MOVED]
    assert ported(cluster, two, 3, port=99).denied == [EndpointId(1)]


def test_a_port_that_comes_too_late_is_nobody_s() -> None:
    cluster, one, _ = pair()
    lease = ported(cluster, one, 1).granted[EndpointId(1)]
    cluster.registry.on_port(lease, 1001, 7)
    cluster.registry.on_no_port(lease, Denial(DenialCode.NO_PORT, "late"))
    assert cluster.registry.poll_output() == []
    assert one.replica.port_of(lease) == 1000


@pytest.mark.shows("WORK-PORT-002")
def test_no_lease_is_announced_before_its_port_is_open() -> None:
    registry, token = ClusterRegistry(Limits()), TOKENS[0]
    registry.on_worker(WorkerId(1), "/run/1")
    for message in (Attend(CLUSTER_VERSION), OpenSession(1, bytes(16), 0, token, "")):
        assert registry.receive(WorkerId(1), message, Instant(1.0), UNIX, bytes(16)) == Success(None)
    asked = Expose(EndpointId(1), EndpointKind.TCP, DEMO, Keep())
    registry.poll_output()
    registry.receive(WorkerId(1), AskName(SessionId(1), asked), Instant(1.0), UNIX, bytes(16))
    (wanted,) = registry.poll_ports()
    assert isinstance(wanted, PortWanted)
    assert registry.poll_output() == []
    registry.on_port(wanted.lease, 1000, 1)
    assert [type(message) for _, message in registry.poll_output()] == [LeaseUp, NameGranted]


@pytest.mark.shows("WORK-HEALTH-001")
def test_what_an_agent_says_of_its_service_is_known_at_every_worker() -> None:
    cluster, one, two = pair()
    lease = joined(cluster, one, 1).granted[EndpointId(1)]
    for is_up in (False, True, False):
        one.table.on_health(lease, is_up=is_up)
        one.replica.note_health(lease, is_up=is_up)
        one.says()
        cluster.settle()
        found = two.table.find(DEMO, cluster.now)
        assert isinstance(found, Lease if is_up else Unhealthy)
    late = cluster.start()
    cluster.settle()
    assert isinstance(late.table.find(DEMO, cluster.now), Unhealthy)
    two.replica.note_health(lease, is_up=True)
    two.says()
    cluster.settle()
    assert isinstance(one.table.find(DEMO, cluster.now), Unhealthy), "only its own worker hears an agent"
    one.replica.note_health(lease, is_up=False)
    one.says()
    cluster.hang_up(cluster.agents[0])
    cluster.settle()
    told = encode_message(LeaseHealth(lease.epoch, is_up=True))
    assert isinstance(two.replica.receive(told, cluster.now), Success), "of a lease that has ended"


@pytest.mark.shows("POLICY-WORK-003")
def test_what_was_used_at_one_worker_is_told_to_all_others() -> None:
    cluster, one, two = pair()
    three = cluster.start()
    cluster.settle()
    uses = (Used(UseKind.ADDRESS, b"a", 3, 0, 1),)
    one.replica.tell_uses(uses)
    one.says()
    cluster.settle()
    told = [[event for event in worker.told if isinstance(event, WorkerTally)] for worker in (one, two, three)]
    assert told == [[], [WorkerTally(one.number, uses)], [WorkerTally(one.number, uses)]]


@pytest.mark.shows("WORK-POOL-001")
def test_a_member_at_the_visitor_s_own_worker_is_preferred_by_one_exchange() -> None:
    cluster, one, two = pair()
    for worker, number in ((one, 1), (two, 2)):
        agent = cluster.dial(worker, number, TOKENS[0])
        cluster.settle()
        cluster.ask(agent, DEMO, share=Share.POOL)
        cluster.settle()
    for worker in (one, two):
        found = [worker.table.find(DEMO, cluster.now) for _ in range(4)]
        own = [lease for lease in worker.table.members(DEMO) if worker.replica.worker_of(lease) == worker.number]
        assert found == own * 4
        own[0].outstanding = 2
        assert worker.table.find(DEMO, cluster.now) not in own
        own[0].outstanding = 0


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

    @rule(
        data=st.data(),
        name=st.sampled_from(["demo", "other", "", "not a name"]),
        port=st.sampled_from([None, None, 0, 1000, 1001, 9]),
    )
    def ask(self, data: st.DataObject, name: str, port: int | None) -> None:
        """An agent asks for a name, a good one or not, with a port or without."""
        agent = self.agent(data)
        if agent is not None:
            self.cluster.ask(agent, name, port=port)

    @rule(port=st.integers(1000, 1003))
    def occupy(self, port: int) -> None:
        """Another program has a port, or has it no more."""
        if port not in self.cluster.open:
            self.cluster.foreign.symmetric_difference_update({port})

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """An agent withdraws."""
        agent = self.agent(data)
        if agent is not None and agent.granted:
            self.cluster.give_up(agent, data.draw(st.sampled_from(list(agent.granted.values()))))

    @rule(data=st.data())
    def lapse(self, data: st.DataObject) -> None:
        """The time of an exposure is over."""
        agent = self.agent(data)
        if agent is not None and agent.granted:
            lapse(self.cluster, agent, data.draw(st.sampled_from(list(agent.granted.values()))))

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
    def ports_are_open_before_anybody_is_let_in(self) -> None:
        """A lease with a port that is granted to its agent, or known to a worker, is of a port that was opened."""
        for worker in self.cluster.workers.values():
            for word in worker.served.values():
                assert word.opening <= self.cluster.openings
        for agent in self.cluster.agents:
            worker_of = self.cluster.workers.get(agent.worker)
            for lease in agent.granted.values():
                if lease.kind is EndpointKind.TCP and worker_of is not None and not agent.is_over:
                    assert worker_of.replica.port_of(lease)

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
        held = {lease.epoch for worker in cluster.workers.values() for lease in worker.table.leases()
                if lease.kind is EndpointKind.TCP}  # fmt: skip
        if cluster.workers:
            assert len(cluster.open) <= len(held)
        for worker in cluster.workers.values():
            assert {word.opening: word.port for word in worker.served.values()} == {
                opening: port for port, opening in cluster.open.items()
            }
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
