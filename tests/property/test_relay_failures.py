"""What a visitor gets when an exchange cannot go on: a truthful answer while none has begun, a visible cut after that.

Every failure is caused from outside (the visitor, the agent, the local service, the link) around a whole edge.
"""

import json
from typing import Final

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

from tunnel.core.base import problem as problems
from tunnel.core.base.ids import EndpointId, Instant, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, LINK_BUSY, NOT_PERMITTED, Hop, Problem
from tunnel.core.link.authority import authority_of
from tunnel.core.link.messages import Rewrite
from tunnel.core.link.preface import StreamReply, encode_reply
from tunnel.core.relay.actions import SendOrigin, SendVisitor
from tunnel.core.relay.answer import problem_response, wants_page
from tunnel.core.relay.replies import problem_of_reply
from tunnel.core.relay.state import Phase

BEGUN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
BEGUN_CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
BEGUN_UNTIL_CLOSE: Final = b"HTTP/1.1 200 OK\r\n\r\nhello"
OLD_GET: Final = GET.replace(b"1.1", b"1.0")
PROBLEMS: Final = [value for value in vars(problems).values() if isinstance(value, Problem)]


def said(world: World) -> dict[str, object]:
    """The problem document of the latest answer."""
    answer = world.answers()[-1]
    assert answer.one("content-type") == "application/problem+json"
    assert answer.is_whole
    document: dict[str, object] = json.loads(answer.body)
    assert document["status"] == answer.status
    assert document["request_id"] == answer.one("x-request-id")
    return document


def for_host(host: str) -> bytes:
    """A GET for that host."""
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


# Nobody to answer.


@pytest.mark.shows("RELAY-FAIL-001", "RELAY-FAIL-005")
@pytest.mark.parametrize(
    ("host", "status", "code"),
    [
        ("nobody.tunnel.test", 404, "unknown-name"),
        ("tunnel.test", 404, "unknown-name"),
        ("a.app.tunnel.test", 404, "unknown-name"),
        ("app.tunnel.test.evil.example", 421, "wrong-host"),
        ("localhost", 421, "wrong-host"),
    ],
)
def test_a_name_nobody_has_is_told_so(host: str, status: int, code: str) -> None:
    world = World().visitor(for_host(host))
    assert world.statuses == [status]
    assert (said(world)["code"], said(world)["hop"]) == (code, "edge")
    assert world.outcomes == [code]
    assert not world.streams
    assert world.visitor(GET).local(HELLO).statuses == [status, 200]


@pytest.mark.shows("RELAY-FAIL-001")
def test_an_agent_that_was_here_is_offline() -> None:
    world = World()
    world.table.drop_session(SessionId(1), Instant(999.0))
    world.visitor(GET)
    assert world.statuses == [503]
    assert said(world)["code"] == "agent-offline"
    assert world.answers()[0].one("retry-after") == "5"


@pytest.mark.shows("RELAY-FAIL-001", "RELAY-GUARD-002")
@pytest.mark.parametrize("problem", [AGENT_OFFLINE, NOT_PERMITTED, LINK_BUSY])
@pytest.mark.bug("B2")
def test_a_stream_that_is_not_given_is_told_so(problem: Problem) -> None:
    world = World()
    world.refuses = problem
    world.visitor(GET)
    assert world.statuses == [problem.status]
    assert said(world)["code"] == problem.code
    world.edge.on_origin_refused(problem, "", world.now)
    world.pump()
    assert world.visitor(GET).local(HELLO).statuses == [problem.status, 200]
    world.edge.on_origin_refused(problem, "", world.now)
    world.pump()
    assert world.outcomes == [problem.code, "ok"]


# The agent's reply.


@pytest.mark.bug("B10")
@pytest.mark.shows("RELAY-FAIL-002")
@pytest.mark.parametrize("reply", [one for one in StreamReply if one is not StreamReply.CONNECTED])
def test_each_reply_has_its_answer(reply: StreamReply) -> None:
    problem = problem_of_reply(reply)
    assert problem is not None
    world = World().visitor(GET).stream_bytes(encode_reply(reply))
    assert world.statuses == [problem.status]
    assert said(world)["code"] == problem.code
    assert world.stream is None
    assert world.edge.phase is Phase.BETWEEN
    assert problem_of_reply(StreamReply.CONNECTED) is None


@pytest.mark.shows("RELAY-FAIL-002", "RELAY-EXCH-009")
def test_a_reply_may_come_byte_by_byte() -> None:
    world = World().visitor(GET)
    for byte in CONNECTED + HELLO:
        world.stream_bytes(bytes((byte,)))
    assert world.outcomes == ["ok"]


@pytest.mark.parametrize("bad", [b"\x02\x00", b"\x01\x63", b"HT"])
def test_an_agent_that_speaks_something_else_is_told_apart(bad: bytes) -> None:
    world = World().visitor(GET).stream_bytes(bad)
    assert world.outcomes == ["link-broke-protocol"]
    assert world.statuses == [502]
    world = World().visitor(GET).local_fin()
    assert world.outcomes == ["link-broke-protocol"]


# The local service.


@pytest.mark.bug("D")
@pytest.mark.shows("RELAY-FAIL-003", "RELAY-FAIL-007")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 1000 High\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"<html>hello, HTTP/0.9</html>\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    ],
)
def test_an_answer_that_is_none_is_502(answer: bytes) -> None:
    world = World().visitor(GET).local(answer)
    assert world.statuses == [502]
    assert (said(world)["code"], said(world)["hop"]) == ("local-broke-protocol", "local")
    assert world.streams[0].was_reset()
    assert world.visitor(GET).local(HELLO).statuses == [502, 200]


@pytest.mark.shows("RELAY-BODY-004")
@pytest.mark.bug("D")
@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_local_service_that_closes_before_it_answers_is_502(part: bytes) -> None:
    world = World().visitor(POST + b"12345").local(part) if part else World().visitor(POST + b"12345").local()
    world.local_fin()
    assert world.answers()[-1].status == 502
    assert world.outcomes == ["local-closed-early"]
    assert not world.streams[0].left or not world.streams[0].left.reset


@pytest.mark.shows("RELAY-FAIL-007")
def test_a_broken_stream_says_whose_fault_it_was() -> None:
    assert World().visitor(GET).stream_reset().outcomes == ["link-lost"]
    world = World().visitor(POST + b"12345").local().stream_reset()
    assert world.outcomes == ["local-closed-early"]
    fenced = World().visitor(POST + b"12345").local()
    claim_name(fenced.table, "app", SessionId(1), EndpointId(2))
    assert fenced.stream_reset().outcomes == ["link-lost"]
    assert fenced.statuses == [502]


# Cuts.


@pytest.mark.shows("RELAY-CUT-001", "RELAY-CUT-003", "RELAY-BODY-004")
@pytest.mark.bug("C16", "D")
@pytest.mark.parametrize("begun", [BEGUN, BEGUN_CHUNKED])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_response_cut_short_is_seen_to_be(begun: bytes, how: str) -> None:
    world = World().visitor(GET).local(begun)
    world = world.local_fin() if how == "fin" else world.stream_reset()
    (answer,) = world.answers()
    assert (answer.body, answer.is_whole) == (b"hello", False)
    assert world.outcomes == ["local-closed-early"]
    assert world.ending() == "gentle"


@pytest.mark.shows("RELAY-CUT-001", "RELAY-CUT-003")
@pytest.mark.bug("D", "C7")
def test_a_chunk_that_is_none_cuts() -> None:
    world = World().visitor(GET).local(BEGUN_CHUNKED, b"5\r\nabcde\r\n+5\r\n")
    assert not world.answers()[0].is_whole
    assert not world.seen.endswith(b"0\r\n\r\n")
    assert world.outcomes == ["local-broke-protocol"]
    assert world.edge.is_closed


@pytest.mark.shows("RELAY-CUT-002")
@pytest.mark.parametrize("begun", [BEGUN_UNTIL_CLOSE, BEGUN_CHUNKED])
def test_a_cut_that_only_the_close_would_show_is_a_reset(begun: bytes) -> None:
    world = World().visitor(OLD_GET).local(begun).stream_reset()
    assert world.ending() == "abort"
    assert world.outcomes == ["local-closed-early"]
    sized = World().visitor(OLD_GET).local(BEGUN).stream_reset()
    assert sized.ending() == "gentle"
    chunked = World().visitor(OLD_GET).local(BEGUN_CHUNKED).local_fin()
    assert chunked.ending() == "abort"


@pytest.mark.shows("RELAY-CUT-001", "RELAY-BODY-004")
@pytest.mark.bug("C16")
def test_an_upload_cut_short_is_an_error_and_resets_the_stream() -> None:
    world = World().visitor(POST + b"12").visitor_fin()
    assert world.statuses == [400]
    assert said(world)["code"] == "request-cut-short"
    assert world.streams[0].was_reset()
    assert world.edge.is_closed
    begun = World().visitor(POST + b"12").local(BEGUN).visitor_fin()
    assert begun.outcomes == ["request-cut-short"]
    assert not begun.answers()[0].is_whole


@pytest.mark.shows("RELAY-FAIL-007", "RELAY-EXCH-002")
@pytest.mark.bug("C16")
def test_a_visitor_that_goes_resets_the_stream() -> None:
    world = World().visitor(POST + b"12").visitor_lost()
    assert world.outcomes == ["visitor-left"]
    assert world.streams[0].was_reset()
    assert World().visitor_lost().outcomes == []


# Refused requests.


@pytest.mark.shows("RELAY-FAIL-004", "RELAY-LINGER-002")
@pytest.mark.bug("C1", "C10", "C17")
@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a.tunnel.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a.tunnel.test\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a.tunnel.test\r\n\r\n", 505),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (b"PUT / HTTP/1.1\r\nHost: a.tunnel.test\r\nContent-Length: 1\r\nExpect: wonders\r\n\r\n", 417),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a.tunnel.test\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a.tunnel.test\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_a_refused_request_is_the_last(bad: bytes, status: int) -> None:
    world = World().visitor(bad + GET)
    assert world.statuses == [status]
    assert said(world)["hop"] == "visitor"
    assert world.answers()[0].one("connection") == "close"
    assert world.visitor(GET).statuses == [status]
    assert (world.reports[0].status, world.reports[0].method) == (status, b"")
    assert not world.streams


@pytest.mark.shows("RELAY-FAIL-004", "RELAY-PIPE-001")
@pytest.mark.bug("C17")
def test_a_malformed_second_request_does_not_hurt_the_first() -> None:
    world = World().visitor(GET + b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + GET).local(HELLO)
    assert world.statuses == [200, 400]
    assert len(requests(world.up)) == 1
    assert world.edge.phase is Phase.LINGERING


@pytest.mark.shows("RELAY-FAIL-004", "RELAY-FAIL-007")
@pytest.mark.bug("C7")
def test_a_bad_chunk_in_an_upload_is_400_and_a_reset() -> None:
    head = b"POST / HTTP/1.1\r\nHost: app.tunnel.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    world = World().visitor(head + b"3\r\nabc\r\n", b"0x5\r\nhello\r\n" + GET)
    assert world.statuses == [400]
    assert said(world)["code"] == "bad-chunk-line"
    assert world.streams[0].was_reset()
    assert not world.up.endswith(b"0\r\n\r\n")
    begun = World().visitor(head).local(BEGUN).visitor(b"0x5\r\n")
    assert begun.outcomes == ["bad-chunk-line"]
    assert not begun.answers()[0].is_whole


@pytest.mark.shows("RELAY-FAIL-006")
def test_a_body_too_long_is_413_declared_or_discovered() -> None:
    limits = Limits(request_body_bytes_max=10)
    declared = World(limits).visitor(
        b"POST / HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: 11\r\n\r\n" + b"x" * 11
    )
    assert declared.statuses == [413]
    assert not declared.streams
    head = b"POST / HTTP/1.1\r\nHost: app.tunnel.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = World(limits).visitor(head + b"a\r\n0123456789\r\n", b"1\r\nx\r\n0\r\n\r\n")
    assert found.statuses == [413]
    assert found.outcomes == ["body-too-long"]
    assert found.streams[0].left is not None
    fits = World(limits).visitor(head + b"a\r\n0123456789\r\n0\r\n\r\n").local(HELLO)
    assert fits.statuses == [200]


@pytest.mark.shows("RELAY-FAIL-004")
def test_a_failure_before_the_body_has_come_ends_the_connection() -> None:
    world = World().visitor(POST.replace(b"app.", b"nobody."), b"12345" + GET)
    assert world.statuses == [404]
    assert world.answers()[0].one("connection") == "close"
    assert world.edge.phase is Phase.LINGERING


# The form of an answer.


@pytest.mark.shows("RELAY-FAIL-005")
def test_a_browser_gets_a_page_and_head_gets_no_content() -> None:
    request = b" / HTTP/1.1\r\nHost: nobody.tunnel.test\r\nAccept: text/html,*/*;q=0.8\r\n\r\n"
    page = World().visitor(b"GET" + request).answers()[0]
    assert page.one("content-type") == "text/html; charset=utf-8"
    assert b"unknown-name" in page.body
    asked = World().visitor(b"HEAD" + request)
    (head,) = asked.answers(b"HEAD")
    assert head.fields == page.fields
    assert asked.seen.endswith(b"\r\n\r\n")


@pytest.mark.shows("RELAY-FAIL-005")
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.code)
@pytest.mark.parametrize("detail", ["", 'a "quoted" <b>detail</b> & more\r\nX: y'])
def test_every_problem_is_a_whole_response_in_both_forms(problem: Problem, detail: str) -> None:
    world = World()
    whole = problem_response(problem, detail, "id<1>", page=False, close=True, without_body=False)
    world.seen += whole
    (answer,) = world.answers()
    assert answer.is_whole
    assert answer.status == problem.status
    assert answer.first[2] != "Error"
    assert json.loads(answer.body) == {
        "type": f"urn:tunnel:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "hop": problem.hop.value,
        "detail": detail or problem.advice,
        "request_id": "id<1>",
    }
    assert answer.one("retry-after") == (str(problem.retry_seconds) if problem.retry_seconds else None)
    assert b"request_id" not in problem_response(problem, detail, "", page=False, close=True, without_body=False)
    page = problem_response(problem, detail, "", page=True, close=False, without_body=False)
    assert b"<b>detail" not in page
    assert problem.code.encode() in page
    assert b"Connection" not in page
    assert b"X-Request-Id" not in page


def test_problems_have_codes_of_their_own() -> None:
    assert len({problem.code for problem in PROBLEMS}) == len(PROBLEMS) > 10
    assert {problem.hop for problem in PROBLEMS} == set(Hop) - {Hop.CONTROL}
    assert all(problem.retry_seconds for problem in PROBLEMS if problem.status in {429, 503})


@pytest.mark.parametrize(
    ("accept", "page"), [(b"", False), (b"*/*", False), (b"application/json", False), (b"Text/HTML;q=0.9", True)]
)
def test_who_wants_a_page(accept: bytes, *, page: bool) -> None:
    assert wants_page(accept) is page


# Repeats.


@pytest.mark.shows("RELAY-RETRY-001")
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_request_on_a_used_stream_is_sent_again_once(how: str) -> None:
    world = World().visitor(GET).local(HELLO).visitor(GET)
    assert len(world.streams) == 1
    world = world.local_fin() if how == "fin" else world.stream_reset()
    assert len(world.streams) == 2
    first, second = requests(bytes(world.streams[0].up))[1], requests(world.up)[0]
    assert first == second
    assert world.outcomes == ["ok"]
    world = world.local_fin() if how == "fin" else world.stream_reset()
    assert len(world.streams) == 2
    assert world.statuses == [200, 502]
    assert len(world.outcomes) == 2


@pytest.mark.shows("RELAY-RETRY-001")
def test_a_repeat_is_answered_like_any_request() -> None:
    world = World().visitor(GET).local(HELLO).visitor(GET).stream_reset().local(HELLO)
    assert world.outcomes == ["ok", "ok"]
    assert world.visitor(GET).local(HELLO).outcomes == ["ok"] * 3
    assert len(world.streams) == 2


@pytest.mark.shows("RELAY-RETRY-002")
def test_nothing_is_sent_twice_on_a_first_stream_or_after_a_byte_of_answer() -> None:
    first = World().visitor(GET).local().local_fin()
    assert (len(first.streams), first.statuses) == (1, [502])
    spoken = World().visitor(GET).local(HELLO).visitor(GET).local(b"H").stream_reset()
    assert (len(spoken.streams), spoken.statuses) == (1, [200, 502])
    posted = World().visitor(GET).local(HELLO).visitor(POST + b"12345").local().stream_reset()
    assert (len(posted.streams), posted.statuses) == (2, [200, 502])
    assert [len(requests(bytes(stream.up))) for stream in posted.streams] == [1, 1]


@pytest.mark.shows("RELAY-RETRY-002", "RELAY-RETRY-001")
def test_the_answer_before_counts_for_nothing_in_the_next_exchange() -> None:
    """`has_spoken` is of the exchange, not of the stream: a second repeat-worthy request is repeated as well."""
    world = World().visitor(GET).local(HELLO)
    for _ in range(3):
        world.visitor(GET).stream_reset().local(HELLO)
    assert world.outcomes == ["ok"] * 4
    assert len(world.streams) == 4


@pytest.mark.shows("RELAY-RETRY-001")
def test_a_repeat_goes_to_whoever_holds_the_name_by_then_in_its_terms() -> None:
    world = World().visitor(GET).local(HELLO).visitor(GET)
    authority = authority_of("127.0.0.1:3000")
    assert isinstance(authority, Success)
    claim_name(world.table, "app", SessionId(1), EndpointId(7), Rewrite(value_of(authority)))
    world.stream_reset()
    assert int(world.streams[1].lease.endpoint) == 7
    assert requests(world.up)[0].one("host") == "127.0.0.1:3000"


@pytest.mark.shows("RELAY-RETRY-001")
def test_there_is_no_repeat_when_nobody_holds_the_name() -> None:
    world = World().visitor(GET).local(HELLO).visitor(GET)
    world.table.drop_session(SessionId(1), world.now)
    world.stream_reset()
    assert world.outcomes == ["ok", "link-lost"]
    refused = World().visitor(GET).local(HELLO).visitor(GET)
    refused.refuses = AGENT_OFFLINE
    refused.stream_reset()
    assert refused.outcomes == ["ok", "agent-offline"]


# Late calls.


@pytest.mark.shows("RELAY-GUARD-002", "RELAY-GUARD-003")
def test_calls_that_come_late_or_twice_change_nothing() -> None:
    world = World().visitor(GET).local(BEGUN_CHUNKED).stream_reset()
    assert world.edge.is_closed
    before = list(world.actions)
    edge, now = world.edge, world.now
    for _ in range(2):
        edge.receive_visitor(GET, now)
        edge.receive_origin(HELLO, now)
        edge.on_visitor_end(now)
        edge.on_origin_end(now)
        edge.on_origin_reset(now)
        edge.on_origin_refused(AGENT_OFFLINE, "", now)
        edge.on_origin_stuck(now)
        edge.on_origin_flowing(now)
        edge.on_visitor_stuck(now)
        edge.on_visitor_took(now)
        edge.on_visitor_flowing(now)
        edge.on_drain(now)
        edge.on_time(Instant(1e19))
        edge.on_visitor_lost(now)
        world.pump()
    assert world.actions == before


@pytest.mark.shows("RELAY-GUARD-002")
def test_a_stream_says_nothing_after_its_end_and_a_visitor_neither() -> None:
    world = World().visitor(GET)
    world.edge.receive_visitor(b"", world.now)
    world.edge.receive_origin(b"", world.now)
    world.visitor_fin().visitor_fin().visitor(GET)
    assert len(world.streams) == 1
    world.local(HELLO)
    assert world.edge.is_closed
    assert [type(action) for action in world.actions if isinstance(action, SendOrigin | SendVisitor)] == [
        SendOrigin,
        SendVisitor,
    ]


def test_one_table_serves_all_connections_of_a_server() -> None:
    table = table_of("app")
    assert World(table=table).visitor(GET).local(HELLO).outcomes == ["ok"]
    table.drop_session(SessionId(1), Instant(1000.0))
    assert World(table=table).visitor(GET).statuses == [503]
