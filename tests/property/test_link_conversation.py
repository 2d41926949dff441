"""The two ends of a control stream, each alone: what it takes in which state, what it answers, and how it ends.

Every message is offered in every state; `test_link_two_ends.py` wires the ends together.
"""

from dataclasses import replace
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import EndpointId, Epoch, Instant, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.agent_side import AgentConversation
from tunnel.core.link.codec import MessageReader, encode_message
from tunnel.core.link.errors import (
    AnswersNotTaken,
    EndpointReused,
    HandshakeTooSlow,
    LinkError,
    MessageMalformed,
    MessageTooLong,
    OtherName,
    OtherVersion,
    OutOfTurn,
    PrefaceMalformed,
    ReplyMalformed,
    UnaskedEndpoint,
    UnknownMessage,
    describe,
    refusal_code,
    token_refusal_code,
)
from tunnel.core.link.messages import (
    LINK_VERSION,
    DenialCode,
    Denied,
    Drain,
    Expose,
    Fenced,
    Granted,
    Health,
    Hello,
    Keep,
    Lapsed,
    Message,
    MessageKind,
    RefusalCode,
    Refused,
    ServerMessage,
    Share,
    Welcome,
    Withdraw,
    kind_of,
)
from tunnel.core.link.server_side import ServerConversation
from tunnel.core.token.errors import (
    BadSignature,
    BrokenChain,
    Expired,
    NotYetValid,
    TokenError,
    TokenMalformed,
    TokenPart,
    UnknownKey,
)
from tunnel.core.token.token import TOKEN_BYTES, EndpointKind, KeyId

START: Final = Instant(100.0)
LATE: Final = Instant(START + DEFAULT_LIMITS.handshake_seconds_max)
LIMITS: Final = replace(DEFAULT_LIMITS, endpoints_per_session_max=3)
TOKEN: Final = bytes(TOKEN_BYTES)
HELLO: Final = Hello(LINK_VERSION, bytes(16), TOKEN, "test")
WELCOME: Final = Welcome(SessionId(7), 5000, 15000, "server")


def exposing(number: int, name: str = "demo") -> Expose:
    return Expose(EndpointId(number), EndpointKind.HTTP, name, Keep())


def granting(number: int, name: str = "demo") -> Granted:
    return Granted(EndpointId(number), name, f"https://{name}.example/", Epoch(number))


def wire(*messages: Message) -> bytes:
    return b"".join(encode_message(message) for message in messages)


def said(output: bytes) -> list[Message]:
    done = MessageReader().receive(output)
    assert isinstance(done, Success)
    return value_of(done)


def greeted(limits: Limits = LIMITS) -> ServerConversation:
    """A server that has had its hello and not answered."""
    server = ServerConversation(limits, START)
    assert server.receive(wire(HELLO), START) == Success([HELLO])
    return server


def open_server(limits: Limits = LIMITS) -> ServerConversation:
    server = greeted(limits)
    assert server.welcome(WELCOME.session, WELCOME.heartbeat_ms, WELCOME.deadline_ms, WELCOME.software)
    assert said(server.poll_output()) == [WELCOME]
    return server


def open_agent() -> AgentConversation:
    agent = AgentConversation(LIMITS, START)
    agent.hello(TOKEN, bytes(16), "test")
    assert said(agent.poll_output()) == [HELLO]
    assert agent.receive(wire(WELCOME), START) == Success([WELCOME])
    return agent


def asking_agent() -> tuple[AgentConversation, EndpointId]:
    agent = open_agent()
    endpoint = agent.expose(EndpointKind.HTTP, "demo", Keep())
    assert said(agent.poll_output()) == [exposing(1)]
    return agent, endpoint


EVERY_MESSAGE: Final[list[Message]] = [
    HELLO,
    exposing(1),
    Withdraw(EndpointId(1)),
    Health(EndpointId(1), is_up=True, detail=""),
    WELCOME,
    Refused(RefusalCode.PROTOCOL, ""),
    granting(1),
    Denied(EndpointId(1), DenialCode.TOO_MANY, ""),
    Drain(1000),
    Fenced(EndpointId(1), ""),
]


def must_refuse(server: ServerConversation, message: Message, error: LinkError) -> None:
    """The error comes back, the last word says why, and nothing more is read or granted."""
    assert server.receive(wire(message), START) == Failure(error)
    last = said(server.poll_output())[-1]
    assert last == Refused(refusal_code(error), describe(error))
    assert (server.is_open, server.is_closed, server.next_deadline()) == (False, True, None)
    assert server.receive(wire(exposing(9)), START) == Failure(error)
    server.welcome(SessionId(1), 1, 1, "")
    server.drain(1)
    server.refuse(RefusalCode.SHUTTING_DOWN, "")
    assert not server.grant(EndpointId(1), "demo", "", Epoch(1))
    assert server.poll_output() == b""


@pytest.mark.shows("LINK-OPEN-001", "LINK-OPEN-004", "LINK-OPEN-005")
@pytest.mark.parametrize("message", EVERY_MESSAGE[1:], ids=lambda message: type(message).__name__)
def test_a_server_takes_nothing_but_a_hello_first(message: Message) -> None:
    error = OutOfTurn(kind_of(message), "awaiting a hello")
    must_refuse(ServerConversation(LIMITS, START), message, error)


@pytest.mark.shows("LINK-OPEN-002", "LINK-OPEN-004", "LINK-OPEN-005")
@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: type(message).__name__)
def test_a_server_takes_nothing_between_hello_and_welcome(message: Message) -> None:
    must_refuse(greeted(), message, OutOfTurn(kind_of(message), "authenticating"))


@pytest.mark.shows("LINK-OPEN-001", "LINK-OPEN-005")
@pytest.mark.parametrize("message", [HELLO, *EVERY_MESSAGE[4:]], ids=lambda message: type(message).__name__)
def test_an_open_server_takes_no_second_hello_and_nothing_of_its_own(message: Message) -> None:
    must_refuse(open_server(), message, OutOfTurn(kind_of(message), "open"))


@pytest.mark.shows("LINK-OPEN-002")
def test_what_follows_a_hello_in_the_same_read_is_too_early() -> None:
    server = ServerConversation(LIMITS, START)
    assert server.receive(wire(HELLO, exposing(1)), START) == Failure(OutOfTurn(MessageKind.EXPOSE, "authenticating"))


@pytest.mark.shows("LINK-VERSION-001")
def test_another_version_is_refused_as_such() -> None:
    server = ServerConversation(LIMITS, START)
    assert server.receive(wire(replace(HELLO, version=1)), START) == Failure(OtherVersion(1))
    [refused] = said(server.poll_output())
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.VERSION


@pytest.mark.shows("LINK-OPEN-003")
def test_a_server_refuses_a_link_that_is_not_open_in_time() -> None:
    error = Failure(HandshakeTooSlow(LIMITS.handshake_seconds_max))
    for server in (ServerConversation(LIMITS, START), greeted()):
        assert server.next_deadline() == LATE
        assert server.on_time(Instant(LATE - 0.001)) == Success(None)
        assert server.on_time(LATE) == error
        [refused] = said(server.poll_output())
        assert isinstance(refused, Refused)
        assert refused.code is RefusalCode.TOO_SLOW
        assert not server.welcome(SessionId(1), 1, 1, "")
        assert server.on_time(LATE) == Success(None)
    assert ServerConversation(LIMITS, START).receive(wire(HELLO), LATE) == error


@pytest.mark.shows("LINK-OPEN-003")
def test_an_open_server_has_no_deadline() -> None:
    server = open_server()
    assert server.next_deadline() is None
    assert server.on_time(Instant(LATE * 2)) == Success(None)
    assert server.receive(wire(exposing(1)), Instant(LATE * 2)) == Success([exposing(1)])


@pytest.mark.shows("LINK-OPEN-004")
def test_a_refusal_is_the_last_word() -> None:
    server = greeted()
    server.refuse(RefusalCode.EXPIRED, "long ago")
    server.refuse(RefusalCode.PROTOCOL, "again")
    assert said(server.poll_output()) == [Refused(RefusalCode.EXPIRED, "long ago")]
    assert server.receive(b"\xff" * 9, START) == Success([])
    assert server.is_closed


@pytest.mark.shows("LINK-END-001")
@pytest.mark.parametrize("second", [1, 2, 5])
def test_endpoints_are_numbered_upwards(second: int) -> None:
    server = open_server()
    assert server.receive(wire(exposing(5), Withdraw(EndpointId(5))), START) == Success(
        [exposing(5), Withdraw(EndpointId(5))]
    )
    must_refuse(server, exposing(second), EndpointReused(EndpointId(second), EndpointId(5)))


@pytest.mark.shows("LINK-END-002")
def test_each_question_is_answered_once() -> None:
    server = open_server()
    assert server.receive(wire(exposing(1), exposing(2)), START) == Success([exposing(1), exposing(2)])
    assert server.grant(EndpointId(1), "demo", "https://demo.example/", Epoch(1))
    assert server.deny(EndpointId(2), DenialCode.NAME_TAKEN, "taken")
    answers = said(server.poll_output())
    assert answers == [granting(1), Denied(EndpointId(2), DenialCode.NAME_TAKEN, "taken")]
    for number in (1, 2, 3):
        assert not server.grant(EndpointId(number), "demo", "", Epoch(2))
        assert not server.deny(EndpointId(number), DenialCode.NAME_TAKEN, "")
    assert server.poll_output() == b""


@pytest.mark.shows("LINK-END-003")
def test_endpoints_beyond_the_limit_are_denied_and_the_link_lives() -> None:
    server = open_server()
    asked = [exposing(number) for number in (1, 2, 3, 4)]
    assert server.receive(wire(*asked), START) == Success(asked[:3])
    [denied] = said(server.poll_output())
    assert denied == Denied(EndpointId(4), DenialCode.TOO_MANY, "One link exposes at most 3 endpoints.")
    assert server.receive(wire(Withdraw(EndpointId(2)), exposing(5)), START) == Success(
        [Withdraw(EndpointId(2)), exposing(5)]
    )


@pytest.mark.bug("B3")
@pytest.mark.shows("LINK-END-004")
def test_a_grant_for_an_endpoint_given_up_is_not_sent() -> None:
    server = open_server()
    asked: list[Message] = [exposing(1), Withdraw(EndpointId(1))]
    assert server.receive(wire(*asked), START) == Success(asked)
    assert not server.grant(EndpointId(1), "demo", "", Epoch(1))
    assert server.poll_output() == b""


@pytest.mark.shows("LINK-END-004", "LINK-END-006")
def test_a_withdrawal_that_crosses_a_fence_is_passed_over() -> None:
    server = open_server()
    assert server.receive(wire(exposing(1)), START) == Success([exposing(1)])
    assert not server.fence(EndpointId(1), "not granted yet")
    assert server.grant(EndpointId(1), "demo", "", Epoch(1))
    assert server.fence(EndpointId(1), "taken over")
    assert not server.fence(EndpointId(1), "again")
    assert said(server.poll_output())[1:] == [Fenced(EndpointId(1), "taken over")]
    assert server.receive(wire(Withdraw(EndpointId(1))), START) == Success([])
    must_refuse(server, Withdraw(EndpointId(2)), UnaskedEndpoint(EndpointId(2)))


@pytest.mark.shows("LINK-END-004", "LINK-END-009")
def test_a_withdrawal_that_crosses_the_end_of_its_time_is_passed_over() -> None:
    server = open_server()
    assert server.receive(wire(exposing(1)), START) == Success([exposing(1)])
    assert not server.lapse(EndpointId(1), "not granted yet")
    assert server.grant(EndpointId(1), "demo", "", Epoch(1), 3600)
    assert server.lapse(EndpointId(1), "over")
    assert not server.lapse(EndpointId(1), "again")
    granted = Granted(EndpointId(1), "demo", "", Epoch(1), 3600)
    assert said(server.poll_output()) == [granted, Lapsed(EndpointId(1), "over")]
    assert server.receive(wire(Withdraw(EndpointId(1))), START) == Success([])


@pytest.mark.shows("LINK-HEALTH-001")
def test_the_health_of_an_endpoint_is_taken_while_it_is_granted() -> None:
    server = open_server()
    up, down = (Health(EndpointId(1), is_up=is_up, detail="GET /healthz") for is_up in (True, False))
    assert server.receive(wire(exposing(1), up), START) == Success([exposing(1)])
    assert server.grant(EndpointId(1), "demo", "", Epoch(1))
    assert server.receive(wire(down, up), START) == Success([down, up])
    assert server.fence(EndpointId(1), "taken over")
    assert server.receive(wire(down), START) == Success([])
    must_refuse(server, Health(EndpointId(2), is_up=False, detail=""), UnaskedEndpoint(EndpointId(2)))


@pytest.mark.shows("LINK-HEALTH-002")
def test_an_agent_tells_the_health_of_what_is_granted() -> None:
    agent, endpoint = asking_agent()
    agent.tell_health(endpoint, is_up=False, detail="too early")
    agent.receive(wire(granting(1)), START)
    agent.tell_health(endpoint, is_up=False, detail="GET /healthz: 503")
    assert said(agent.poll_output()) == [Health(endpoint, is_up=False, detail="GET /healthz: 503")]
    agent.receive(wire(Fenced(endpoint, "taken over")), START)
    agent.tell_health(endpoint, is_up=True, detail="")
    assert agent.poll_output() == b""


def test_an_agent_says_which_link_it_is_and_whom_it_shares_a_name_with() -> None:
    agent = AgentConversation(LIMITS, START)
    agent.hello(TOKEN, bytes(16), "test", 3)
    agent.expose(EndpointKind.TCP, "demo", Keep(), 7000, Share.POOL)
    assert said(agent.poll_output()) == [replace(HELLO, link=3)]
    agent.receive(wire(WELCOME), START)
    assert said(agent.poll_output()) == [replace(exposing(1), kind=EndpointKind.TCP, port=7000, share=Share.POOL)]


@pytest.mark.shows("LINK-END-007")
def test_a_draining_server_denies_what_is_new() -> None:
    server = open_server()
    server.drain(30_000)
    server.drain(1)
    assert said(server.poll_output()) == [Drain(30_000)]
    assert server.receive(wire(exposing(1)), START) == Success([])
    [denied] = said(server.poll_output())
    assert isinstance(denied, Denied)
    assert denied.code is DenialCode.SHUTTING_DOWN


@pytest.mark.bug("A3")
@pytest.mark.shows("LINK-END-008")
def test_an_agent_that_takes_no_answers_is_ended() -> None:
    server = open_server(replace(LIMITS, link_output_bytes_max=1000, endpoints_per_session_max=0))
    outcomes = [server.receive(wire(exposing(number)), START) for number in range(1, 40)]
    errors = [error_of(done) for done in outcomes if not isinstance(done, Success)]
    assert errors
    assert isinstance(errors[0], AnswersNotTaken)
    assert 1000 < errors[0].waiting_bytes < 1100
    assert len(server.poll_output()) < 1400
    quick = open_server(replace(LIMITS, link_output_bytes_max=1000, endpoints_per_session_max=0))
    for number in range(1, 200):
        assert quick.receive(wire(exposing(number)), START) == Success([])
        assert quick.poll_output()


@pytest.mark.shows("LINK-OPEN-002")
def test_an_agent_holds_back_what_it_wants_until_it_is_welcome() -> None:
    agent = AgentConversation(LIMITS, START)
    first = agent.expose(EndpointKind.HTTP, "demo", Keep())
    agent.hello(TOKEN, bytes(16), "test")
    agent.hello(TOKEN, bytes(16), "twice")
    second = agent.expose(EndpointKind.HTTP, "other", Keep())
    dropped = agent.expose(EndpointKind.HTTP, "dropped", Keep())
    agent.withdraw(dropped)
    assert said(agent.poll_output()) == [HELLO]
    assert agent.receive(wire(WELCOME), START) == Success([WELCOME])
    assert said(agent.poll_output()) == [exposing(first), exposing(second, "other")]
    assert agent.is_open


@pytest.mark.shows("LINK-OPEN-005")
@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: type(message).__name__)
def test_an_agent_takes_nothing_before_its_hello(message: Message) -> None:
    agent = AgentConversation(LIMITS, START)
    error = OutOfTurn(kind_of(message), "before its hello")
    assert agent.receive(wire(message), START) == Failure(error)
    assert agent.receive(b"", START) == Failure(error)
    assert (agent.is_open, agent.is_closed, agent.next_deadline()) == (False, True, None)


@pytest.mark.shows("LINK-OPEN-005")
@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: type(message).__name__)
def test_an_agent_that_awaits_its_welcome_takes_that_or_a_refusal(message: Message) -> None:
    agent = AgentConversation(LIMITS, START)
    agent.hello(TOKEN, bytes(16), "test")
    if isinstance(message, (Welcome, Refused)):
        assert agent.receive(wire(message), START) == Success([message])
    else:
        assert agent.receive(wire(message), START) == Failure(OutOfTurn(kind_of(message), "awaiting a welcome"))


@pytest.mark.shows("LINK-OPEN-005")
@pytest.mark.parametrize("message", EVERY_MESSAGE[:4], ids=lambda message: type(message).__name__)
def test_an_open_agent_takes_no_second_welcome_and_nothing_of_its_own(message: Message) -> None:
    assert open_agent().receive(wire(message), START) == Failure(OutOfTurn(kind_of(message), "open"))


@pytest.mark.shows("LINK-OPEN-004")
def test_an_agent_reads_nothing_after_a_refusal() -> None:
    agent, endpoint = asking_agent()
    refused = Refused(RefusalCode.SHUTTING_DOWN, "bye")
    assert agent.receive(wire(refused, WELCOME) + b"\xff\xff\xff", START) == Failure(MessageTooLong(65538, 4096))
    agent, endpoint = asking_agent()
    assert agent.receive(wire(refused, WELCOME), START) == Success([refused])
    assert agent.receive(wire(granting(endpoint)), START) == Success([])
    agent.withdraw(endpoint)
    assert agent.poll_output() == b""


@pytest.mark.shows("LINK-OPEN-003")
def test_an_agent_gives_up_without_a_welcome() -> None:
    agent = AgentConversation(LIMITS, START)
    assert agent.next_deadline() == LATE
    agent.hello(TOKEN, bytes(16), "test")
    assert agent.on_time(Instant(LATE - 0.001)) == Success(None)
    assert agent.receive(wire(WELCOME), LATE) == Failure(HandshakeTooSlow(LIMITS.handshake_seconds_max))
    assert open_agent().on_time(Instant(LATE * 2)) == Success(None)


@pytest.mark.shows("LINK-END-005")
@pytest.mark.parametrize(
    "answer", [granting(2), Denied(EndpointId(2), DenialCode.TOO_MANY, ""), Fenced(EndpointId(2), "")]
)
def test_an_agent_ends_on_an_answer_to_no_question(answer: ServerMessage) -> None:
    agent, _ = asking_agent()
    assert agent.receive(wire(answer), START) == Failure(UnaskedEndpoint(EndpointId(2)))


@pytest.mark.shows("LINK-END-005")
def test_an_agent_takes_the_name_it_asked_for_and_no_other() -> None:
    for asked, granted, is_taken in [("Demo", "demo", True), ("", "any1", True), ("demo", "demo2", False)]:
        agent = open_agent()
        answer = granting(agent.expose(EndpointKind.HTTP, asked, Keep()), granted)
        done = agent.receive(wire(answer), START)
        assert done == (Success([answer]) if is_taken else Failure(OtherName(asked, granted)))


@pytest.mark.shows("LINK-END-004")
def test_an_answer_for_an_endpoint_given_up_is_passed_over() -> None:
    agent, endpoint = asking_agent()
    agent.withdraw(endpoint)
    agent.withdraw(endpoint)
    assert said(agent.poll_output()) == [Withdraw(endpoint)]
    late: list[Message] = [granting(endpoint), Fenced(endpoint, ""), Denied(endpoint, DenialCode.TOO_MANY, "")]
    assert agent.receive(wire(*late), START) == Success([])


@pytest.mark.shows("LINK-END-006", "LINK-END-009")
@pytest.mark.parametrize("word", [Fenced, Lapsed])
def test_an_agent_learns_once_that_it_has_lost_an_endpoint(word: type[Fenced] | type[Lapsed]) -> None:
    agent, endpoint = asking_agent()
    fenced = word(endpoint, "taken over")
    assert agent.receive(wire(granting(endpoint), fenced, fenced), START) == Success([granting(endpoint), fenced])
    agent.withdraw(endpoint)
    assert agent.poll_output() == b""


def test_an_agent_withdraws_what_was_granted_and_hears_of_a_drain() -> None:
    agent, endpoint = asking_agent()
    drain = Drain(5)
    assert agent.receive(wire(granting(endpoint), drain), START) == Success([granting(endpoint), drain])
    agent.withdraw(endpoint)
    assert said(agent.poll_output()) == [Withdraw(endpoint)]


@pytest.mark.shows("LINK-FRAME-006")
@given(
    messages=st.lists(st.sampled_from(EVERY_MESSAGE), max_size=5), noise=st.binary(max_size=30), is_open=st.booleans()
)
def test_arbitrary_bytes_end_a_link_at_most_once(messages: list[Message], noise: bytes, *, is_open: bool) -> None:
    server = open_server() if is_open else ServerConversation(LIMITS, START)
    agent = open_agent() if is_open else AgentConversation(LIMITS, START)
    data = wire(*messages) + noise
    for end in (server, agent):
        first: Outcome[object, LinkError] = end.receive(data, START)
        again: Outcome[object, LinkError] = end.receive(data, START)
        if not isinstance(first, Success):
            assert again == first
            assert end.is_closed
    spoken = said(server.poll_output())
    assert [type(message) for message in spoken].count(Refused) == server.is_closed


ERRORS: Final[list[LinkError]] = [
    MessageTooLong(5000, 4096),
    UnknownMessage(77),
    MessageMalformed(MessageKind.HELLO, "token"),
    OtherVersion(2),
    PrefaceMalformed("version"),
    ReplyMalformed(b"HT"),
    OutOfTurn(MessageKind.EXPOSE, "open"),
    EndpointReused(EndpointId(1), EndpointId(2)),
    UnaskedEndpoint(EndpointId(3)),
    OtherName("a", "b"),
    AnswersNotTaken(70_000, 65_536),
    HandshakeTooSlow(10.0),
]


@pytest.mark.shows("LINK-OPEN-004")
def test_every_error_has_a_sentence_and_a_code() -> None:
    assert {type(error) for error in ERRORS} == set(get_args(LinkError))
    assert len({describe(error) for error in ERRORS}) == len(ERRORS)
    special = {OtherVersion: RefusalCode.VERSION, HandshakeTooSlow: RefusalCode.TOO_SLOW}
    for error in ERRORS:
        assert refusal_code(error) is special.get(type(error), RefusalCode.PROTOCOL)


@pytest.mark.shows("LINK-OPEN-006")
def test_each_token_error_has_its_own_code() -> None:
    errors: list[TokenError] = [
        TokenMalformed(TokenPart.VERSION, 2),
        UnknownKey(KeyId(bytes(8))),
        BadSignature(KeyId(bytes(8))),
        NotYetValid(UnixSeconds(1), UnixSeconds(0)),
        Expired(UnixSeconds(1), UnixSeconds(1)),
    ]
    assert {BrokenChain, *[type(error) for error in errors]} == set(get_args(TokenError))
    assert token_refusal_code(BrokenChain(1)) is RefusalCode.BAD_SIGNATURE
    assert [token_refusal_code(error).name for error in errors] == [
        "MALFORMED",
        "UNKNOWN_KEY",
        "BAD_SIGNATURE",
        "NOT_YET_VALID",
        "EXPIRED",
    ]
