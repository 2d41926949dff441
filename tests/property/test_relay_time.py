"""Deadlines, drips, slow readers, pipelines, lingering and draining: the connection always comes to rest.

The clock is a number; `World.tick` adds to it and rings the alarm when it is due.
"""

from typing import Final

import pytest
from tests.support.relay_harness import GET, HELLO, POST, UPGRADE, World, claim_name, requests, table_of

from tunnel.core.base.ids import EndpointId, Instant, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.relay.state import Phase
from tunnel.core.relay.waits import NEVER, Patience, Wait, seconds_for

LIMITS: Final = Limits()
BEGUN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
PART: Final = LIMITS.body_part_bytes_min
EVENTS: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OTHER_POST: Final = POST.replace(b"/form", b"/other") + b"12345"


# What is waited for, and how long.


@pytest.mark.shows("RELAY-TIME-001")
@pytest.mark.parametrize("wait", Wait)
def test_every_wait_but_the_last_ends(wait: Wait) -> None:
    seconds = seconds_for(wait, LIMITS)
    assert seconds > 0
    assert (seconds >= NEVER) == (wait is Wait.NOTHING)
    patience = Patience(LIMITS, Instant(5.0))
    patience.await_next(wait, Instant(7.0))
    assert patience.wait is wait
    assert patience.deadline == 7.0 + seconds
    patience.renew(Instant(9.0))
    assert patience.deadline == 9.0 + seconds


@pytest.mark.shows("RELAY-TIME-001")
def test_each_state_waits_for_its_own() -> None:
    world = World()
    seen = [world.edge.waits_for]
    seen.append(world.visitor(POST[:10]).edge.waits_for)
    seen.append(world.visitor(POST[10:]).edge.waits_for)
    world.edge.on_origin_stuck(world.now)
    seen.append(world.edge.waits_for)
    world.edge.on_origin_flowing(world.now)
    seen.append(world.visitor(b"12345").edge.waits_for)
    seen.append(world.local(BEGUN).edge.waits_for)
    seen.append(world.stuck().edge.waits_for)
    seen.append(world.flowing().visitor_fin().edge.waits_for)
    world.takes_rest = False
    seen.append(world.local(b"world").edge.waits_for)
    seen.append(world.visitor_lost().edge.waits_for)
    assert seen == [
        Wait.NEXT_REQUEST,
        Wait.REST_OF_HEAD,
        Wait.REQUEST_BODY,
        Wait.LOCAL_TAKES_BODY,
        Wait.RESPONSE_HEAD,
        Wait.RESPONSE_BODY,
        Wait.VISITOR_TAKES,
        Wait.HALF_CLOSED,
        Wait.VISITOR_TAKES,
        Wait.NOTHING,
    ]


# Drips.


@pytest.mark.shows("RELAY-TIME-002", "RELAY-TIME-003")
@pytest.mark.bug("C18")
def test_a_head_that_drips_is_408() -> None:
    world = World()
    for byte in GET[:20]:
        world.visitor(bytes((byte,))).tick(0.6)
    assert world.statuses == [408]
    assert world.outcomes == ["request-timeout"]
    assert world.edge.phase is Phase.LINGERING
    assert world.until_closed() <= LIMITS.linger_seconds_max


@pytest.mark.shows("RELAY-TIME-002", "RELAY-TIME-003")
@pytest.mark.bug("C18")
def test_a_response_head_that_drips_is_504() -> None:
    world = World().visitor(GET).local()
    for byte in HELLO[:17]:
        world.local(bytes((byte,))).tick(7.0)
    assert world.statuses == []
    world.tick(2.0)
    assert world.statuses == [504]
    assert world.outcomes == ["local-timeout"]
    assert world.visitor(GET).local(HELLO).statuses == [504, 200]


@pytest.mark.shows("RELAY-TIME-002", "RELAY-LINGER-001")
@pytest.mark.bug("C17", "C18")
def test_lingering_cannot_be_drawn_out() -> None:
    world = World().visitor(b"nonsense\r\n\r\n")
    for _ in range(5):
        world.visitor(b"x").tick(0.5)
    assert world.edge.is_closed
    assert world.ending() == "gentle"
    flood = World().visitor(b"nonsense\r\n\r\n").visitor(b"y" * LIMITS.linger_bytes_max)
    assert flood.edge.phase is Phase.LINGERING
    assert flood.visitor(b"z").edge.is_closed


@pytest.mark.shows("RELAY-TIME-003", "RELAY-BODY-007")
@pytest.mark.bug("C5", "C18")
@pytest.mark.parametrize("expecting", [b"", b"Expect: 100-continue\r\n"])
def test_a_body_that_never_comes_is_408(expecting: bytes) -> None:
    world = World().visitor(POST.replace(b"\r\n\r\n", b"\r\n" + expecting + b"\r\n"))
    if expecting:
        world.visitor(b"1")  # it did not wait for 100 after all
    world.tick(LIMITS.body_stall_seconds_max - 1)
    assert world.statuses == []
    world.tick(2.0)
    assert world.statuses == [408]
    assert world.streams[0].was_reset()


@pytest.mark.shows("RELAY-TIME-007")
@pytest.mark.bug("C18")
@pytest.mark.parametrize("drop", [1, 100, 5999])
def test_a_body_that_drips_is_408_however_often_it_does(drop: int) -> None:
    """Each drop comes long before a stall would be noticed; together they are less than the least that is allowed."""
    world = World().visitor(upload(1_000_000))
    drops = (PART - 1) // drop
    for _ in range(drops):
        assert world.statuses == []
        world.visitor(b"d" * drop).tick(LIMITS.body_stall_seconds_max * 0.999 / drops)
    world.tick(1.0)
    assert world.outcomes == ["request-timeout"]
    assert world.statuses == [408]


@pytest.mark.shows("RELAY-TIME-007")
def test_a_body_at_the_least_rate_goes_on_for_as_long_as_it_takes() -> None:
    world = World().visitor(upload(100 * PART))
    for number in range(1, 100):
        world.visitor(b"d" * (PART - 7)).tick(LIMITS.body_stall_seconds_max - 1)
        assert world.statuses == [], number
        world.visitor(b"d" * 7)
    assert world.visitor(b"d" * PART).local(BEGUN + b"world").statuses == [200]


@pytest.mark.shows("RELAY-TIME-007")
def test_without_a_minimum_every_byte_is_progress() -> None:
    world = World(limits=Limits(body_part_bytes_min=0)).visitor(upload(100))
    for _ in range(50):
        world.visitor(b"d").tick(LIMITS.body_stall_seconds_max - 1)
    assert world.statuses == []
    assert world.tick(2.0).statuses == [408]


@pytest.mark.shows("RELAY-TIME-007")
def test_a_body_may_drip_once_the_answer_has_begun() -> None:
    """Both sides talk at once: an event stream upwards is slow by intent, and the local service has taken it on."""
    world = World().visitor(upload(100)).visitor(b"d").local(EVENTS)
    for _ in range(50):
        world.visitor(b"d").tick(LIMITS.body_stall_seconds_max - 1)
    assert world.statuses == [200]
    assert world.outcomes == []


def upload(size: int) -> bytes:
    """The head of an upload."""
    return POST.replace(b"Content-Length: 5", b"Content-Length: %d" % size)


@pytest.mark.shows("RELAY-TIME-006")
@pytest.mark.bug("C5")
def test_a_visitor_that_waits_for_100_is_told_who_was_silent() -> None:
    asking = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    silent = World().visitor(asking).tick(LIMITS.response_head_seconds_max - 1)
    assert silent.statuses == []
    assert silent.tick(2.0).outcomes == ["local-timeout"]
    assert silent.statuses == [504]
    asked = World().visitor(asking).local(b"HTTP/1.1 100 Continue\r\n\r\n").tick(LIMITS.body_stall_seconds_max + 1)
    assert asked.outcomes == ["request-timeout"]


@pytest.mark.shows("RELAY-TIME-003")
def test_a_local_service_that_takes_nothing_is_504() -> None:
    world = World().visitor(POST)
    world.edge.on_origin_stuck(world.now)
    world.tick(LIMITS.response_head_seconds_max + 1)
    assert world.outcomes == ["local-stalled"]
    assert world.statuses == [504]


@pytest.mark.shows("RELAY-TIME-003", "RELAY-CUT-001")
def test_a_response_that_rests_too_long_is_cut() -> None:
    world = World().visitor(GET).local(EVENTS + b"1\r\nx\r\n")
    world.tick(LIMITS.response_stall_seconds_max - 1).local(b"1\r\ny\r\n").tick(LIMITS.response_stall_seconds_max - 1)
    assert world.ending() == "open"
    world.tick(2.0)
    assert world.outcomes == ["local-timeout"]
    assert not world.answers()[0].is_whole
    half = World().visitor(GET).visitor_fin().local(EVENTS + b"1\r\nx\r\n").tick(LIMITS.half_closed_seconds_max + 1)
    assert half.outcomes == ["local-timeout"]


def test_an_idle_connection_is_closed_without_a_word() -> None:
    world = World().tick(LIMITS.idle_seconds_max - 1)
    assert world.ending() == "open"
    world.tick(2.0)
    assert world.ending() != "open"
    assert bytes(world.seen) == b""
    assert world.edge.is_closed


@pytest.mark.shows("RELAY-TIME-004", "RELAY-PIPE-001")
def test_a_pipelined_request_has_its_whole_time() -> None:
    world = World().visitor(GET + GET).tick(LIMITS.response_head_seconds_max - 1)
    world.local(HELLO).tick(LIMITS.response_head_seconds_max - 1)
    assert world.outcomes == ["ok"]
    world.tick(2.0)
    assert world.outcomes == ["ok", "local-timeout"]
    heads = World().visitor(GET[:-2]).tick(LIMITS.head_seconds_max - 1)
    heads.visitor(GET[-2:].replace(b"app", b"gone") + GET[:-2]).local(HELLO).tick(LIMITS.head_seconds_max - 1)
    assert heads.outcomes == ["ok"]
    heads.tick(2.0)
    assert heads.outcomes == ["ok", "request-timeout"]


# Slow readers.


@pytest.mark.shows("RELAY-TIME-005")
@pytest.mark.bug("C18")
def test_a_visitor_that_takes_nothing_is_dropped() -> None:
    world = World().visitor(GET).local(BEGUN).stuck().tick(LIMITS.write_stall_seconds_max - 1)
    world.edge.on_visitor_took(world.now)
    world.tick(LIMITS.write_stall_seconds_max - 1)
    assert world.ending() == "open"
    world.stuck().tick(2.0)
    assert world.outcomes == ["visitor-stalled"]
    assert world.ending() == "abort"
    assert world.streams[0].left is not None


@pytest.mark.shows("RELAY-TIME-005", "RELAY-GUARD-003")
@pytest.mark.bug("C18")
def test_a_visitor_cannot_keep_a_closing_connection() -> None:
    world = World()
    world.takes_rest = False
    world.visitor(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).local(HELLO)
    assert world.edge.phase is Phase.CLOSING
    world.visitor(b"more").tick(LIMITS.write_stall_seconds_max - 1)
    world.edge.on_visitor_took(world.now)
    world.tick(LIMITS.write_stall_seconds_max - 1)
    assert world.ending() == "gentle"
    world.tick(2.0)
    assert world.ending() == "abort"
    assert world.edge.is_closed
    assert world.outcomes == ["ok"]


def test_a_visitor_that_is_not_waited_for_cannot_renew_anything() -> None:
    world = World().visitor(GET)
    before = world.edge.next_deadline()
    world.now = Instant(world.now + 5)
    world.edge.on_visitor_took(world.now)
    assert world.edge.next_deadline() == before


# Pipelines.


@pytest.mark.shows("RELAY-PIPE-001", "RELAY-EXCH-003")
@pytest.mark.bug("C17")
def test_two_requests_in_one_segment_are_answered_in_turn() -> None:
    second = GET.replace(b"GET /", b"GET /second")
    world = World().visitor(GET + second)
    assert len(requests(world.up)) == 1
    world.local(HELLO)
    assert [one.first[1] for one in requests(world.up)] == ["/", "/second"]
    world.local(HELLO.replace(b"hello", b"again"))
    assert [one.body for one in world.answers()] == [b"hello", b"again"]


@pytest.mark.shows("RELAY-PIPE-001")
def test_a_thousand_requests_in_one_segment_are_one_loop() -> None:
    table = table_of("app")
    world = World(Limits(ahead_bytes_max=1 << 20), table).visitor(GET.replace(b"app", b"gone") * 1000 + GET)
    assert world.outcomes == ["unknown-name"] * 1000
    assert world.local(HELLO).statuses == [404] * 1000 + [200]


@pytest.mark.shows("RELAY-PIPE-003")
@pytest.mark.bug("C18")
def test_no_request_is_begun_for_a_visitor_that_does_not_read() -> None:
    world = World().visitor(POST + b"12345" + OTHER_POST + OTHER_POST).local(BEGUN).stuck().local(b"world")
    assert world.outcomes == ["ok"]
    assert len(world.streams) == 1
    assert world.edge.waits_for is Wait.VISITOR_TAKES
    world.visitor(OTHER_POST)
    assert len(world.streams) == 1
    world.flowing()
    assert len(world.streams) == 2
    world.local(HELLO).local(HELLO).local(HELLO)
    assert world.outcomes == ["ok"] * 4
    late = World().stuck().visitor(GET)
    assert not late.streams
    late.tick(LIMITS.write_stall_seconds_max + 1)
    assert late.ending() == "abort"


@pytest.mark.shows("RELAY-PIPE-002")
def test_all_whole_requests_of_a_visitor_that_has_ended_are_answered() -> None:
    world = World().visitor(GET + GET).visitor_fin().local(HELLO).local(HELLO)
    assert world.statuses == [200, 200]
    assert world.edge.is_closed
    assert World().visitor_fin().edge.is_closed
    assert bytes(World().visitor_fin().seen) == b""


@pytest.mark.shows("RELAY-PIPE-002", "RELAY-BODY-004")
@pytest.mark.bug("C16")
def test_what_a_visitor_that_has_ended_did_not_finish_is_400() -> None:
    world = World().visitor(GET + POST + b"12").visitor_fin().local(HELLO)
    assert world.statuses == [200, 400]
    assert world.outcomes == ["ok", "request-cut-short"]
    assert world.edge.is_closed
    head = World().visitor(GET + GET[:30]).visitor_fin().local(HELLO)
    assert head.statuses == [200, 400]
    alone = World().visitor(GET[:30]).visitor_fin()
    assert alone.statuses == [400]
    assert alone.edge.is_closed
    stuck = World().visitor(GET + GET).local(BEGUN).stuck().local(b"world").visitor_fin()
    assert stuck.ending() == "open"
    assert stuck.flowing().local(HELLO).statuses == [200, 200]


@pytest.mark.shows("RELAY-LIMIT-001")
def test_pipelined_bytes_are_bounded() -> None:
    world = World(Limits(ahead_bytes_max=100)).visitor(GET, GET * 3)
    assert world.edge.is_full
    assert world.edge.held_bytes == 3 * len(GET)
    world.local(HELLO)
    assert not world.edge.is_full


# Draining.


@pytest.mark.shows("WORK-RELOAD-004")
def test_a_last_call_takes_one_more_request_and_closes_behind_its_answer() -> None:
    assert not World().last_call().edge.is_closed
    rested = World().visitor(GET).local(HELLO).last_call()
    assert not rested.edge.is_closed
    answered = rested.visitor(GET).local(HELLO)
    assert answered.edge.phase is Phase.LINGERING
    assert answered.answers()[1].one("connection") == "close"
    running = World().visitor(GET).last_call().local(HELLO)
    assert running.answers()[0].one("connection") == "close"
    assert World().visitor(GET).local(HELLO).last_call().drain().edge.is_closed


@pytest.mark.shows("RELAY-DRAIN-001")
def test_a_drain_closes_what_is_idle_and_lets_the_rest_finish() -> None:
    assert World().drain().edge.is_closed
    assert World().visitor(GET).local(HELLO).drain().edge.is_closed
    running = World().visitor(GET).drain().local(HELLO)
    assert running.answers()[0].one("connection") == "close"
    assert running.edge.phase is Phase.LINGERING
    begun = World().visitor(GET).local(BEGUN).drain().local(b"world").visitor_fin()
    assert begun.edge.is_closed
    assert begun.answers()[0].is_whole


@pytest.mark.shows("RELAY-DRAIN-002")
def test_what_still_runs_when_the_grace_is_over_is_cut_and_named() -> None:
    running = World().visitor(GET).local(BEGUN).drain().grace_over()
    assert running.edge.is_closed
    assert [report.outcome for report in running.reports] == ["server-stopped"]
    assert not running.answers()[0].is_whole
    assert not running.grace_over().edge.poll_actions(running.now)
    idle = World().grace_over()
    assert idle.edge.is_closed
    assert not idle.reports


@pytest.mark.shows("RELAY-DRAIN-001")
def test_a_request_that_has_begun_to_come_is_the_last() -> None:
    world = World().visitor(GET[:20]).drain().visitor(GET[20:] + GET).local(HELLO)
    assert world.statuses == [200]
    assert world.edge.phase is Phase.LINGERING
    pipe = World().visitor(UPGRADE).drain()
    assert pipe.ending() == "open"


# The lease.


@pytest.mark.bug("B3")
@pytest.mark.shows("RELAY-EXCH-005")
def test_a_fenced_exchange_ends_at_once() -> None:
    world = World().visitor(GET).local(BEGUN)
    claim_name(world.table, "app", SessionId(1), EndpointId(3))
    world.stream_reset()
    assert world.outcomes == ["link-lost"]
    assert not world.answers()[0].is_whole
    world.stream_bytes(b"world")
    assert not world.seen.endswith(b"world")
