"""A request that one member cannot have goes to another; nothing is sent twice that somebody may have begun.

Examples say who gets what after each failure; the property runs any failures in any order against what RFC 9110
section 9.2.2 lets a proxy do.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.relay_harness import (
    GET,
    HELLO,
    POST,
    UPGRADE,
    Stream,
    World,
    join_pool,
    pool_of,
    requests,
)

from tunnel.core.base.limits import DEFAULT_LIMITS, KIB
from tunnel.core.base.problem import AGENT_OFFLINE, LINK_BUSY, NOT_PERMITTED, Problem
from tunnel.core.link.preface import StreamReply

REFUSALS: Final = [reply for reply in StreamReply if reply is not StreamReply.CONNECTED]
CHUNKED: Final = b"POST /up HTTP/1.1\r\nHost: app.tunnel.test\r\nTransfer-Encoding: chunked\r\n\r\n"


def world_of(count: int) -> World:
    return World(table=pool_of(count))


def sessions(world: World) -> list[int]:
    """Where the streams went, in order."""
    return [int(stream.lease.session) for stream in world.streams]


@pytest.mark.shows("RELAY-RETRY-003")
@pytest.mark.parametrize("reply", REFUSALS, ids=lambda reply: reply.name)
@pytest.mark.parametrize("request_bytes", [GET, POST + b"12345", UPGRADE], ids=["get", "post", "upgrade"])
def test_a_request_that_no_local_service_has_goes_to_another_member(reply: StreamReply, request_bytes: bytes) -> None:
    world = world_of(2).visitor(request_bytes).reply(reply)
    assert sorted(sessions(world)) == [1, 2]
    assert world.streams[0].left is not None
    first, second = (requests(bytes(stream.up)) for stream in world.streams)
    assert first == second
    assert world.local(HELLO).outcomes == ["ok"]
    assert world.reports[0].session == world.streams[1].lease.session
    world.settle()


@pytest.mark.shows("RELAY-RETRY-003")
@pytest.mark.parametrize("problem", [AGENT_OFFLINE, LINK_BUSY, NOT_PERMITTED], ids=lambda problem: problem.code)
def test_so_does_one_for_which_no_stream_could_be_opened(problem: Problem) -> None:
    world = world_of(2)
    world.refuses = problem
    world.visitor(POST + b"123").visitor(b"45").local(HELLO)
    assert world.outcomes == ["ok"]
    assert sorted(sessions(world)) == [1, 2]
    assert [one.body for one in requests(world.up)] == [b"12345"]


@pytest.mark.shows("RELAY-RETRY-003")
def test_so_does_one_whose_stream_the_agent_reset_before_its_reply() -> None:
    """It crossed the agent's GOAWAY on the way."""
    world = world_of(2).visitor(POST + b"123").agent_reset().visitor(b"45").local(HELLO)
    assert world.outcomes == ["ok"]
    assert [one.body for one in requests(world.up)] == [b"12345"]
    alone = world_of(1).visitor(GET).agent_reset()
    assert (len(alone.streams), alone.outcomes) == (1, ["link-lost"])
    begun = world_of(2).visitor(GET).reply(StreamReply.CONNECTED).agent_reset()
    assert (len(begun.streams), begun.outcomes) == (1, ["local-closed-early"])


@pytest.mark.shows("RELAY-RETRY-003")
def test_all_members_are_tried_and_the_last_answer_stands() -> None:
    world = world_of(3).visitor(GET)
    for reply in (StreamReply.REFUSED, StreamReply.TIMED_OUT, StreamReply.UNREACHABLE):
        world.reply(reply)
    assert sorted(sessions(world)) == [1, 2, 3]
    assert world.outcomes == ["local-unreachable"]
    many = world_of(9).visitor(GET)
    for _ in range(1 + DEFAULT_LIMITS.retries_max):
        many.reply(StreamReply.REFUSED)
    assert many.outcomes == ["local-refused"]
    assert len(set(sessions(many))) == 1 + DEFAULT_LIMITS.retries_max


@pytest.mark.shows("RELAY-RETRY-003")
def test_a_body_that_is_still_coming_goes_on_to_the_other_member() -> None:
    world = world_of(2).visitor(CHUNKED + b"3\r\nabc\r\n").reply(StreamReply.REFUSED)
    world.visitor(b"2\r\nde\r\n", b"0\r\n\r\n").local(HELLO)
    assert [one.body for one in requests(world.up)] == [b"abcde"]
    assert world.outcomes == ["ok"]
    world.settle()


@pytest.mark.shows("RELAY-RETRY-004")
def test_of_a_body_only_so_much_is_kept() -> None:
    kept = DEFAULT_LIMITS.retry_bytes_max
    head = POST.replace(b" 5\r", b" 999999\r")
    small = world_of(2).visitor(head, b"x" * kept).reply(StreamReply.REFUSED)
    assert len(small.streams) == 2
    large = world_of(2).visitor(head, b"x" * kept, b"x").reply(StreamReply.REFUSED)
    assert (len(large.streams), large.outcomes) == (1, ["local-refused"])


@pytest.mark.shows("RELAY-RETRY-004")
def test_nothing_is_kept_once_a_local_service_has_the_request_nor_for_one_alone() -> None:
    begun = world_of(2).visitor(POST + b"12").reply(StreamReply.CONNECTED).visitor(b"3").stream_reset()
    assert (len(begun.streams), begun.outcomes) == (1, ["local-closed-early"])
    table = pool_of(1)
    alone = World(table=table).visitor(POST + b"12")
    join_pool(table, 2)
    alone.reply(StreamReply.REFUSED)
    assert (len(alone.streams), alone.outcomes) == (1, ["local-refused"])


@pytest.mark.shows("RELAY-RETRY-003")
def test_one_alone_that_joins_others_in_time_is_helped_by_them() -> None:
    table = pool_of(1)
    world = World(table=table).visitor(GET)
    join_pool(table, 2)
    assert world.reply(StreamReply.REFUSED).local(HELLO).outcomes == ["ok"]


@pytest.mark.shows("RELAY-RETRY-005", "ROUTE-CHOICE-003")
def test_the_other_link_of_the_agent_whose_local_service_refuses_is_not_tried() -> None:
    table = pool_of(1)
    join_pool(table, 2, agent=1, link=1)
    world = World(table=table).visitor(GET).reply(StreamReply.REFUSED)
    assert (len(world.streams), world.outcomes) == (1, ["local-refused"])
    gone = World(table=table).visitor(GET).reply(StreamReply.UNKNOWN_ENDPOINT).local(HELLO)
    assert sorted(sessions(gone)) == [1, 2]


@pytest.mark.shows("RELAY-RETRY-001")
@pytest.mark.parametrize("is_connected", [False, True])
def test_an_idempotent_request_survives_the_loss_of_its_link(*, is_connected: bool) -> None:
    world = world_of(2).visitor(GET)
    if is_connected:
        world.reply(StreamReply.CONNECTED)
    assert world.link_lost().local(HELLO).outcomes == ["ok"]
    assert sorted(sessions(world)) == [1, 2]


@pytest.mark.shows("RELAY-RETRY-001", "RELAY-RETRY-002")
def test_it_is_sent_twice_at_the_most() -> None:
    world = world_of(3).visitor(GET).link_lost().link_lost()
    assert (len(world.streams), world.outcomes) == (2, ["link-lost"])
    used = world_of(3).visitor(GET).local(HELLO).visitor(GET).stream_reset().link_lost()
    assert (len(used.streams), used.outcomes) == (2, ["ok", "link-lost"])


@pytest.mark.shows("RELAY-RETRY-002")
@pytest.mark.parametrize("request_bytes", [POST + b"12345", GET.replace(b"GET", b"PATCH"), UPGRADE])
def test_no_other_is_sent_twice_when_its_link_is_lost(request_bytes: bytes) -> None:
    """The agent may have connected and sent it on; that it said so was lost with the link."""
    world = world_of(2).visitor(request_bytes).link_lost()
    assert (len(world.streams), world.outcomes) == (1, ["link-lost"])


@pytest.mark.shows("RELAY-RETRY-002")
def test_what_a_local_service_took_and_dropped_is_not_given_to_the_next() -> None:
    """It may be the very request that ends it."""
    world = world_of(2).visitor(GET).reply(StreamReply.CONNECTED).stream_reset()
    assert (len(world.streams), world.outcomes) == (1, ["local-closed-early"])
    spoken = world_of(2).visitor(GET).local(b"HTTP/1.1 200").link_lost()
    assert (len(spoken.streams), spoken.outcomes) == (1, ["link-lost"])


@pytest.mark.shows("RELAY-HEALTH-001", "ROUTE-HEALTH-001")
def test_failures_put_a_member_aside_and_a_connection_brings_it_back() -> None:
    table = pool_of(2)
    bad = table.members(table.leases()[0].name)[0]
    news = []
    for _ in range(20):
        world = World(table=table).visitor(GET)
        while world.stream is not None:
            is_bad = world.stream.lease is bad
            world.reply(StreamReply.REFUSED if is_bad else StreamReply.CONNECTED)
            if not is_bad:
                world.local(HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert world.outcomes == ["ok"]
        news += world.news
    assert [(one.lease, one.is_back) for one in news] == [(bad, False)]
    later = World(table=table).tick(DEFAULT_LIMITS.aside_seconds_min)
    later.visitor(GET)
    assert later.streams[0].lease is bad
    later.local(HELLO)
    assert [(one.lease, one.is_back) for one in later.news] == [(bad, True)]


@pytest.mark.shows("RELAY-HEALTH-001")
def test_an_endpoint_that_the_agent_does_not_know_says_nothing_of_its_service() -> None:
    world = world_of(2).visitor(GET).reply(StreamReply.UNKNOWN_ENDPOINT)
    assert world.streams[0].lease.health.failures == 0
    assert world.local(HELLO).outcomes == ["ok"]


@pytest.mark.shows("RELAY-FAIL-008", "ROUTE-HEALTH-003")
def test_when_all_say_that_they_are_down_nobody_is_asked() -> None:
    table = pool_of(2)
    for lease in table.leases():
        table.on_health(lease, is_up=False)
    world = World(table=table).visitor(GET)
    assert (world.streams, world.outcomes) == ([], ["local-unhealthy"])
    assert (world.statuses, world.answers()[0].one("retry-after")) == ([503], "5")


@pytest.mark.shows("RELAY-COUNT-001")
def test_exchanges_are_counted_where_they_run_from_head_to_report() -> None:
    table = pool_of(2)
    worlds = [World(table=table) for _ in range(6)]
    for world in worlds:
        world.has_company = True
        world.visitor(GET)
    assert [lease.outstanding for lease in table.leases()] == [3, 3]
    worlds[0].local(HELLO)
    worlds[1].reply(StreamReply.REFUSED)
    worlds[2].visitor_lost()
    loads = [0, 0, 0]
    for world in (worlds[1], *worlds[3:]):
        loads[world.streams[-1].lease.session] += 1
    assert [lease.outstanding for lease in table.leases()] == loads[1:]
    for world in worlds:
        world.settle()
    assert [lease.outstanding for lease in table.leases()] == [0, 0]


@pytest.mark.shows("RELAY-COUNT-001")
def test_an_upgraded_connection_counts_until_it_ends() -> None:
    world = world_of(2).visitor(UPGRADE)
    world.local(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    lease = world.streams[0].lease
    assert lease.outstanding == 1
    world.local_fin().visitor_fin()
    assert (lease.outstanding, world.outcomes) == (0, ["ok"])


@pytest.mark.shows("ROUTE-CHOICE-002")
def test_a_kept_alive_connection_stays_with_its_member() -> None:
    world = world_of(4)
    for _ in range(5):
        world.visitor(GET).local(HELLO)
    assert len(world.streams) == 1


EVENTS: Final = st.sampled_from(
    [
        "refused",
        "refused",
        "timed out",
        "unknown",
        "connected",
        "reset",
        "agent reset",
        "lost",
        "answer",
        "half an answer",
        "fin",
        "not opened",
        "more body",
        "ask",
        "join",
    ]
)
ASKED: Final = st.sampled_from(
    [GET, POST + b"12345", POST, CHUNKED + b"3\r\nabc\r\n", UPGRADE, GET.replace(b"GET", b"PUT")]
)
REPLIES: Final = {
    "refused": StreamReply.REFUSED,
    "timed out": StreamReply.TIMED_OUT,
    "unknown": StreamReply.UNKNOWN_ENDPOINT,
    "connected": StreamReply.CONNECTED,
}
IDEMPOTENT: Final = frozenset({"GET", "PUT"})


@pytest.mark.shows("RELAY-RETRY-001", "RELAY-RETRY-002", "RELAY-RETRY-003", "RELAY-RETRY-005", "RELAY-COUNT-001")
@given(count=st.integers(1, 4), steps=st.lists(st.tuples(EVENTS, ASKED), min_size=1, max_size=25))
@settings(max_examples=300, deadline=None)
def test_nothing_is_sent_twice_that_may_not_be(count: int, steps: list[tuple[str, bytes]]) -> None:
    limits = replace(DEFAULT_LIMITS, retry_bytes_max=KIB)
    world = World(limits, table=pool_of(count, limits))
    world.visitor(GET)
    for event, asked in steps:
        if not world.is_over:
            happen(world, event, asked)
    world.settle()
    sent: dict[str, list[int]] = {}
    for number, stream in enumerate(world.streams):
        assert stream.reply in REFUSALS or stream.reply in {None, StreamReply.CONNECTED}
        for message in requests(bytes(stream.up)):
            sent.setdefault(str(message.one("x-request-id")), []).append(number)
    for numbers in sent.values():
        streams = [world.streams[number] for number in numbers]
        begun = [one for one in streams if not one.was_refused and one.reply in {None, StreamReply.CONNECTED}]
        first = requests(bytes(streams[0].up))[-1]
        may_repeat = first.first[0] in IDEMPOTENT and "upgrade" not in first.fields and not first.body
        assert len(begun) <= (2 if may_repeat else 1)
        assert len(numbers) <= 2 + limits.retries_max
        leases = [one.lease for one in streams if one.reply in REFUSALS or one.was_refused]
        assert len({lease.epoch for lease in leases}) == len(leases)
    assert [lease.outstanding for lease in world.table.leases()] == [0] * len(world.table.leases())


def happen(world: World, event: str, asked: bytes) -> None:
    """One thing, if it can happen now."""
    if event == "not opened":
        world.refuses = LINK_BUSY
    elif event == "more body":
        world.visitor(b"3\r\nabc\r\n")
    elif event == "ask":
        world.visitor(asked)
    elif event == "join":
        join_pool(world.table, 100 + len(world.actions))
    elif world.stream is not None:
        happen_to(world, world.stream, event)


def happen_to(world: World, stream: Stream, event: str) -> None:
    """One thing to the stream that is open."""
    if event in REPLIES and stream.reply is None and not stream.has_replied:
        world.reply(REPLIES[event])
    elif event == "reset":
        world.stream_reset()
    elif event == "agent reset":
        stream.was_refused = not stream.has_replied
        world.agent_reset()
    elif event == "lost":
        world.link_lost()
    elif event in {"answer", "half an answer"} and not stream.down_ended:
        world.local(HELLO if event == "answer" else HELLO[:25])
    elif event == "fin" and stream.has_replied:
        world.local_fin()
