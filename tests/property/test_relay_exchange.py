"""Exchanges one after the other, seen from both ends: what is forwarded, when streams are used again, how bodies go.

Each test is a short conversation with a scripted visitor and a scripted local service around a whole edge.
"""

import pytest
from tests.support.relay_harness import (
    CONNECTED,
    GET,
    HELLO,
    POST,
    World,
    claim_name,
    requests,
    table_of,
)

from tunnel.core.base.ids import EndpointId, Instant, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.http.forward import Visitor
from tunnel.core.link.authority import authority_of
from tunnel.core.link.messages import Authority, Rewrite, Value
from tunnel.core.policy.door import Door
from tunnel.core.policy.rules import OPEN_TO_ALL
from tunnel.core.relay.actions import LeaveOrigin, OpenOrigin, SendOrigin, SendVisitor
from tunnel.core.relay.edge import Edge
from tunnel.core.relay.host_header import host_value_for
from tunnel.core.relay.state import EdgeState, Phase

NOW = Instant(0.0)
DOOR = Door(OPEN_TO_ALL, 16)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
OLD_GET = b"GET / HTTP/1.0\r\nHost: app.tunnel.test\r\n\r\n"
UPLOAD = b"POST /up HTTP/1.1\r\nHost: app.tunnel.test\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTING = b"POST /up HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


def to(host: str, target: str = "/") -> bytes:
    """A GET for that host."""
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


# Who answers.


@pytest.mark.shows("RELAY-EXCH-001", "RELAY-EXCH-002")
@pytest.mark.bug("B1")
def test_a_request_goes_to_the_holder_of_its_host_and_is_reported_once() -> None:
    world = World().visitor(to("OTHER.tunnel.test:8080"))
    assert [stream.lease.name for stream in world.streams] == ["other"]
    world.local(HELLO)
    (answer,) = world.answers()
    assert (answer.status, answer.body, answer.is_whole) == (200, b"hello", True)
    (report,) = world.reports
    assert (report.name, report.method, report.target, report.status) == ("other", b"GET", b"/", 200)
    assert (report.outcome, report.bytes_up, report.bytes_down) == ("ok", 0, 5)
    assert answer.one("x-request-id") == report.request_id == requests(world.up)[0].one("x-request-id")


def test_each_request_of_a_connection_has_its_number_in_its_name() -> None:
    state = EdgeState(Visitor("127.0.0.1", 1, "http"), table_of("app"), "tunnel.test", Limits(), "p" * 16, NOW, DOOR)
    counts = [*range(1, 600), *range(0xFFFF, 0x10002), *range(0xFFFFFFFE, 0x100000002)]
    for count in counts:
        if state.count != count - 1:
            # As many requests as would take days: the beginning was that of the last one asked for.
            state.count, state.id_start = count - 1, ""
        assert state.next_request_id() == f"{'p' * 16}{count:08x}"


@pytest.mark.bug("B1")
@pytest.mark.shows("RELAY-EXCH-001")
def test_no_other_field_decides_who_answers() -> None:
    lying = (
        b"GET / HTTP/1.1\r\nHost: app.tunnel.test\r\nX-Forwarded-Host: other.tunnel.test\r\nForwarded: host=other\r\n"
    )
    world = World().visitor(lying + b"Connection: Host\r\n\r\n")
    assert [stream.lease.name for stream in world.streams] == ["app"]
    (forwarded,) = requests(world.up)
    assert forwarded.one("host") == forwarded.one("x-forwarded-host") == "app.tunnel.test"


@pytest.mark.bug("B5")
@pytest.mark.shows("RELAY-EXCH-004")
@pytest.mark.parametrize("target", ["/public/%2e%2e/admin", "//a//b", "/a%2Fb/../c", "/?" + "&".join(["a=1"] * 3000)])
def test_the_target_is_forwarded_byte_for_byte(target: str) -> None:
    world = World().visitor(to("app.tunnel.test", target))
    assert requests(world.up)[0].first == ("GET", target, "HTTP/1.1")


@pytest.mark.bug("B2", "B3")
@pytest.mark.shows("RELAY-EXCH-005")
def test_a_lease_that_changed_between_exchanges_gets_a_fresh_stream() -> None:
    world = World().visitor(GET).local(HELLO)
    claim_name(world.table, "app", SessionId(1), EndpointId(9))
    world.visitor(GET)
    assert [int(stream.lease.endpoint) for stream in world.streams] == [1, 9]
    assert isinstance(world.streams[0].left, LeaveOrigin)
    assert world.local(HELLO).outcomes == ["ok", "ok"]


@pytest.mark.bug("B1")
@pytest.mark.shows("RELAY-EXCH-005")
def test_a_connection_that_changes_its_host_changes_its_stream() -> None:
    world = World().visitor(to("app.tunnel.test")).local(HELLO).visitor(to("other.tunnel.test")).local(HELLO)
    world.visitor(to("app.tunnel.test")).local(HELLO)
    assert [stream.lease.name for stream in world.streams] == ["app", "other", "app"]
    assert [len(requests(bytes(stream.up))) for stream in world.streams] == [1, 1, 1]


def test_the_local_service_sees_the_host_that_was_chosen() -> None:
    authority = Authority("localhost:3000")
    assert host_value_for(Rewrite(authority), b"app.tunnel.test") == b"localhost:3000"
    assert authority_of("localhost:3000") is not None
    table = table_of("app", host=Value(Authority("shop.example")))
    assert requests(World(table=table).visitor(GET).up)[0].one("host") == "shop.example"
    assert requests(World().visitor(GET).up)[0].one("host") == "app.tunnel.test"


# One stream after the other.


@pytest.mark.shows("RELAY-EXCH-007")
def test_repeatable_requests_share_a_stream() -> None:
    world = World()
    for _ in range(3):
        world.visitor(GET).local(HELLO)
    assert len(world.streams) == 1
    assert len(requests(world.up)) == 3
    assert world.outcomes == ["ok"] * 3


@pytest.mark.shows("RELAY-RETRY-002", "RELAY-GUARD-004")
def test_a_request_that_may_not_be_sent_twice_gets_a_fresh_stream() -> None:
    world = World().visitor(GET).local(HELLO).visitor(POST + b"12345").local(HELLO).visitor(GET).local(HELLO)
    assert len(world.streams) == 2
    assert [one.first[0] for one in requests(bytes(world.streams[1].up))] == ["POST", "GET"]
    assert world.outcomes == ["ok"] * 3


@pytest.mark.shows("RELAY-RETRY-002")
@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"LINK"])
def test_nor_is_one_without_content_when_its_method_is_not_idempotent(method: bytes) -> None:
    world = World().visitor(GET).local(HELLO).visitor(GET.replace(b"GET", method)).local(HELLO)
    assert len(world.streams) == 2
    put = World().visitor(GET).local(HELLO).visitor(GET.replace(b"GET", b"PUT")).local(HELLO)
    assert len(put.streams) == 1


@pytest.mark.bug("D")
@pytest.mark.shows("RELAY-EXCH-007", "RELAY-FAIL-007")
@pytest.mark.parametrize(
    "answer",
    [
        HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        HELLO.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HELLO + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        CHUNKED + b"0\r\n\r\nextra",
    ],
)
def test_a_stream_is_left_when_its_response_says_so_or_bytes_follow_it(answer: bytes) -> None:
    world = World().visitor(GET).local(answer)
    assert world.stream is None
    assert world.streams[0].was_reset()
    world.visitor(GET).local(HELLO)
    assert len(world.streams) == 2
    assert world.answers()[1].body == b"hello"
    assert b"poison" not in world.seen
    assert b"extra" not in world.seen


@pytest.mark.bug("D")
@pytest.mark.shows("RELAY-EXCH-007", "RELAY-EXCH-003")
def test_bytes_on_an_idle_stream_become_nobodys_answer() -> None:
    world = World().visitor(GET).local(HELLO)
    world.local(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    assert world.stream is None
    world.visitor(GET).local(HELLO)
    assert [one.body for one in world.answers()] == [b"hello", b"hello"]
    assert len(world.streams) == 2


def test_an_idle_local_service_that_closes_costs_nothing() -> None:
    world = World().visitor(GET).local(HELLO).local_fin()
    assert world.streams[0].was_ended()
    world.visitor(GET).local(HELLO).stream_reset().visitor(GET).local(HELLO)
    assert world.statuses == [200, 200, 200]
    assert len(world.streams) == 3


# When the visitor's connection ends.


@pytest.mark.shows("RELAY-EXCH-008")
def test_connection_close_is_heeded_and_said() -> None:
    world = World().visitor(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).local(HELLO)
    assert world.answers()[0].one("connection") == "close"
    assert world.ending() == "gentle"
    assert world.edge.is_closed


@pytest.mark.shows("RELAY-EXCH-008")
@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n"])
def test_an_old_visitor_gets_one_exchange(more: bytes) -> None:
    world = World().visitor(OLD_GET.replace(b"\r\n\r\n", b"\r\n" + more + b"\r\n")).local(HELLO)
    assert world.answers()[0].one("connection") == "close"
    assert world.edge.is_closed


@pytest.mark.shows("RELAY-LINGER-001", "RELAY-LINGER-002")
@pytest.mark.bug("C17")
def test_what_follows_a_last_request_is_drained() -> None:
    world = World().visitor(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET).local(HELLO)
    assert world.edge.phase is Phase.LINGERING
    assert world.visitor_ended
    world.visitor(GET)
    assert world.outcomes == ["ok"]
    world.visitor_fin()
    assert world.edge.is_closed


# Bodies of responses.


@pytest.mark.shows("RELAY-BODY-001", "RELAY-LIMIT-002")
def test_every_byte_leaves_when_it_comes() -> None:
    world = World().visitor(GET).local(CHUNKED)
    for number in range(5):
        before = len(world.seen)
        world.local(b"8\r\nevent %d\n\r\n" % number)
        assert bytes(world.seen[before:]) == b"8\r\nevent %d\n\r\n" % number
    assert world.local(b"0\r\n\r\n").answers()[0].is_whole
    sized = World().visitor(GET).local(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    assert sized.seen.endswith(b"\r\n\r\nabc")
    assert sized.local(b"def").seen.endswith(b"abcdef")
    assert sized.local(b"ghi").outcomes == ["ok"]


@pytest.mark.shows("RELAY-BODY-001")
def test_an_upload_leaves_when_it_comes() -> None:
    world = World().visitor(UPLOAD)
    for number in range(5):
        before = len(world.up)
        world.visitor(b"2\r\n%d.\r\n" % number)
        assert world.up[before:] == b"2\r\n%d.\r\n" % number
    world.visitor(b"0\r\nDigest: x\r\nHost: evil\r\n\r\n").local(HELLO)
    (forwarded,) = requests(world.up)
    assert (forwarded.body, forwarded.trailers) == (b"0.1.2.3.4.", ("Digest: x",))
    assert world.reports[0].bytes_up == 10


@pytest.mark.bug("D")
@pytest.mark.shows("RELAY-BODY-002")
@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_body_where_there_is_none_is_not_forwarded(method: bytes, head: bytes, *, together: bool) -> None:
    world = World().visitor(GET.replace(b"GET", method))
    world.local(*([head + b"hello"] if together else [head, b"hello"]))
    assert not world.seen.endswith(b"hello")
    assert world.stream is None
    assert world.outcomes == ["ok"]
    assert world.visitor(GET).local(HELLO).answers(method, b"GET")[1].body == b"hello"


@pytest.mark.bug("D")
@pytest.mark.shows("RELAY-BODY-003")
def test_a_close_delimited_body_arrives_whole() -> None:
    world = World().visitor(GET).local(UNTIL_CLOSE + b"abc", b"def").local_fin()
    (answer,) = world.answers()
    assert (answer.body, answer.is_whole) == (b"abcdef", True)
    assert world.edge.phase is Phase.BETWEEN
    old = World().visitor(OLD_GET).local(UNTIL_CLOSE + b"abc", b"def").local_fin()
    (answer,) = old.answers()
    assert answer.body == b"abcdef"
    assert answer.one("transfer-encoding") is None
    assert old.ending() == "gentle"


@pytest.mark.shows("RELAY-BODY-003")
def test_an_old_visitor_gets_no_chunks() -> None:
    world = World().visitor(OLD_GET).local(CHUNKED + b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\nA: b\r\n\r\n")
    (answer,) = world.answers()
    assert answer.body == b"abcdef"
    assert answer.one("transfer-encoding") is None
    assert world.ending() == "gentle"


@pytest.mark.shows("RELAY-BODY-005")
@pytest.mark.bug("C8", "C9")
def test_chunks_are_our_own_and_trailers_pass() -> None:
    world = (
        World().visitor(GET).local(CHUNKED + b'3;x="y"\r\nabc\r\n1\r\nd\r\n0\r\nDigest: q\r\nContent-Length: 9\r\n\r\n')
    )
    (answer,) = world.answers()
    assert (answer.body, answer.trailers) == (b"abcd", ("Digest: q",))
    assert b"x=" not in world.seen


@pytest.mark.bug("C18")
@pytest.mark.shows("RELAY-BODY-005")
def test_a_flood_of_tiny_chunks_becomes_one_chunk_a_read() -> None:
    world = World().visitor(GET).local(CHUNKED, b"1\r\nx\r\n" * 5_000)
    assert bytes(world.seen).endswith(b"\r\n1388\r\n" + b"x" * 5_000 + b"\r\n")
    upload = World().visitor(UPLOAD, b"1\r\nx\r\n" * 5_000)
    assert upload.up.endswith(b"\r\n1388\r\n" + b"x" * 5_000 + b"\r\n")


# Interim responses and expectations.


@pytest.mark.shows("RELAY-EXCH-006", "RELAY-BODY-007")
@pytest.mark.bug("C5")
def test_an_expectation_and_its_answer_are_forwarded() -> None:
    world = World().visitor(EXPECTING)
    assert requests(world.up)[0].one("expect") == "100-continue"
    world.local(CONTINUE)
    assert world.statuses == [100]
    world.visitor(b"12345").local(HELLO)
    assert world.statuses == [100, 200]
    assert world.edge.phase is Phase.BETWEEN


@pytest.mark.shows("RELAY-BODY-006")
@pytest.mark.bug("C5")
@pytest.mark.parametrize("then", [b"", b"12345", b"GET /inner HTTP/1.1\r\nHost: app.tunnel.test\r\n\r\n"])
def test_a_final_answer_instead_of_100_ends_the_connection(then: bytes) -> None:
    world = World().visitor(EXPECTING).local(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    world.visitor(then)
    assert world.statuses == [401]
    assert world.answers()[0].one("connection") == "close"
    assert world.edge.phase is Phase.LINGERING
    assert world.streams[0].was_reset()
    assert world.outcomes == ["ok"]


@pytest.mark.shows("RELAY-BODY-006", "RELAY-EXCH-007", "RELAY-FAIL-007")
@pytest.mark.bug("C15")
def test_an_early_answer_uses_up_both_connections() -> None:
    world = World().visitor(POST + b"12").local(HELLO)
    assert world.answers()[0].one("connection") == "close"
    assert world.visitor(b"345" + GET).outcomes == ["ok"]
    assert world.edge.phase is Phase.LINGERING
    assert world.statuses == [200]
    assert len(world.streams) == 1
    assert world.up.endswith(b"\r\n\r\n12345")
    assert world.streams[0].was_ended()


@pytest.mark.shows("RELAY-BODY-008", "RELAY-FAIL-007", "RELAY-EXCH-002")
@pytest.mark.bug("C15", "C16")
@pytest.mark.parametrize("end", ["local-fin", "reset", "more", "visitor-fin", "bad", "slow", "stuck", "lost"])
def test_an_early_answer_stands_however_the_request_ends(end: str) -> None:
    world = World().visitor(UPLOAD + b"2\r\n12\r\n").local(HELLO)
    assert world.edge.phase is Phase.EXCHANGE
    if end == "local-fin":
        world.local_fin()
    elif end == "reset":
        world.stream_reset()
    elif end == "more":
        world.local(HELLO)
    elif end == "visitor-fin":
        world.visitor_fin()
    elif end == "bad":
        world.visitor(b"nonsense\r\n")
    elif end == "slow":
        world.tick(world.limits.body_stall_seconds_max + 1)
    elif end == "stuck":
        world.edge.on_origin_stuck(world.now)
        world.tick(world.limits.response_head_seconds_max + 1)
    else:
        world.visitor_lost()
    assert world.outcomes == ["ok"]
    assert world.statuses == [200]
    assert world.answers()[0].is_whole
    assert end == "reset" or world.streams[0].was_reset()
    assert world.edge.phase in {Phase.LINGERING, Phase.CLOSED}


@pytest.mark.shows("RELAY-BODY-008", "RELAY-BODY-003")
def test_an_old_visitor_that_waits_for_the_close_gets_it() -> None:
    old = POST.replace(b"1.1", b"1.0")
    world = World().visitor(old + b"12").local(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")
    assert world.visitor_ended
    assert world.streams[0].was_reset()
    sized = World().visitor(old + b"12").local(HELLO).visitor(b"345")
    assert sized.edge.is_closed
    assert sized.streams[0].was_ended()


@pytest.mark.shows("RELAY-BODY-006")
@pytest.mark.bug("C15")
def test_a_body_that_ends_during_an_early_answer_still_ends_the_connection() -> None:
    world = World().visitor(POST + b"12").local(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    world.visitor(b"345")
    assert world.up.endswith(b"12345")
    world.local(b"llo")
    assert world.answers()[0].one("connection") == "close"
    assert world.answers()[0].body == b"hello"
    assert world.edge.phase is Phase.LINGERING
    assert world.streams[0].was_ended(), "a reset would overtake the last bytes of the request"


@pytest.mark.shows("RELAY-FAIL-007", "RELAY-BODY-006")
@pytest.mark.bug("C15", "C16")
def test_a_local_service_that_ends_early_gets_a_reset_not_a_short_request() -> None:
    world = World().visitor(POST + b"12").local(UNTIL_CLOSE + b"no").local_fin()
    assert world.streams[0].was_reset()
    assert world.answers()[0].is_whole


@pytest.mark.shows("RELAY-EXCH-006")
def test_interim_responses_pass_to_those_who_know_them() -> None:
    world = World().visitor(GET).local(EARLY_HINTS + CONTINUE + EARLY_HINTS + HELLO)
    assert world.statuses == [103, 103, 200]
    assert world.visitor(GET).local(EARLY_HINTS, EARLY_HINTS, HELLO).statuses == [103, 103, 200] * 2
    assert World().visitor(OLD_GET).local(EARLY_HINTS + HELLO).statuses == [200]


@pytest.mark.shows("RELAY-EXCH-006", "RELAY-FAIL-003")
@pytest.mark.bug("D")
def test_endless_interim_responses_are_no_answer() -> None:
    limits = Limits(interim_responses_max=3)
    assert World(limits).visitor(GET).local(EARLY_HINTS * 3 + HELLO).statuses == [103, 103, 103, 200]
    world = World(limits).visitor(GET).local(EARLY_HINTS, EARLY_HINTS, EARLY_HINTS, EARLY_HINTS)
    assert world.statuses == [103, 103, 103, 502]
    assert world.outcomes == ["local-broke-protocol"]


# Request bodies.


@pytest.mark.bug("C4")
@pytest.mark.shows("RELAY-EXCH-003")
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE"])
def test_the_body_of_a_method_without_one_never_becomes_a_request(method: bytes) -> None:
    inner = b"GET /inner HTTP/1.1\r\nHost: app.tunnel.test\r\n\r\n"
    head = b"%s /outer HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: %d\r\n\r\n" % (method, len(inner))
    answer = HELLO[:-5] if method == b"HEAD" else HELLO
    world = World().visitor(head + inner).local(answer).visitor(GET).local(HELLO)
    first = requests(bytes(world.streams[0].up))[0]
    assert (first.first[1], first.body) == ("/outer", inner)
    assert [report.target for report in world.reports] == [b"/outer", b"/"]


@pytest.mark.bug("C6")
@pytest.mark.shows("RELAY-EXCH-003")
def test_connection_options_do_not_change_where_a_body_ends() -> None:
    head = b"POST / HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: 5\r\nConnection: Content-Length\r\n\r\n"
    world = World().visitor(head + b"12345" + GET).local(HELLO).local(HELLO)
    assert [one.body for one in requests(world.up)] == [b"12345", b""]
    assert world.outcomes == ["ok", "ok"]


@pytest.mark.bug("C14")
@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Connection: keep-alive\r\nTransfer-Encoding: x"])
def test_an_old_visitor_may_not_use_transfer_codings(framing: bytes) -> None:
    world = World().visitor(b"POST / HTTP/1.0\r\nHost: app.tunnel.test\r\n" + framing + b"\r\n\r\n0\r\n\r\n")
    assert world.statuses == [400]
    assert not world.streams


# Order of actions.


def test_actions_come_in_the_order_in_which_they_are_to_be_done() -> None:
    world = World().visitor(POST + b"12345").stream_bytes(CONNECTED + HELLO)
    kinds = [type(action).__name__ for action in world.actions]
    assert kinds == ["OpenOrigin", "SendOrigin", "SendOrigin", "SendVisitor", "Report"]
    assert isinstance(world.actions[0], OpenOrigin)
    assert isinstance(world.actions[2], SendOrigin)
    assert world.actions[2].data == b"12345"
    assert isinstance(world.actions[3], SendVisitor)


@pytest.mark.shows("RELAY-EXCH-010")
def test_two_connections_never_share_a_stream() -> None:
    table = table_of("app")
    one, two = World(table=table), World(table=table)
    one.visitor(GET).local(HELLO)
    two.visitor(GET)
    assert len(one.streams) == len(two.streams) == 1
    assert isinstance(one.edge, Edge)
