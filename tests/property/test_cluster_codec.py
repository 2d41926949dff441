"""The words of workers and supervisor as bytes: the four properties of a parser, over every message there is."""

from typing import Final, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cluster_world import raw_token

from tunnel.core.base.ids import EndpointId, Epoch, Instant, Label, SessionId
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.cluster.codec import MESSAGE_BYTES_MAX, MessageReader, encode_message
from tunnel.core.cluster.errors import MessageMalformed, MessageTooLong, OutOfTurn, UnknownMessage
from tunnel.core.cluster.messages import (
    AskName,
    Attend,
    CutDone,
    DropSession,
    GiveUp,
    LeaseDown,
    LeaseEnd,
    LeaseHealth,
    LeaseUp,
    LookAgain,
    Message,
    MessageKind,
    NameDenied,
    NameGranted,
    NameOffline,
    NoteHealth,
    OpenSession,
    Ready,
    Retire,
    Serve,
    SessionOpened,
    SessionRefused,
    Supersede,
    Tally,
    WorkerDown,
    WorkerId,
    WorkerTally,
    WorkerUp,
)
from tunnel.core.cluster.replica import Replica
from tunnel.core.cluster.tally import USES_MAX, Used, UseKind
from tunnel.core.link.messages import DenialCode, Expose, Keep
from tunnel.core.route.table import RouteTable
from tunnel.core.token.token import TOKEN_BYTES, AccountId, EndpointKind

NOW: Final = Instant(50.0)
TOKEN: Final = raw_token(1)
SESSIONS: Final = st.integers(0, 2**64 - 1).map(SessionId)
EPOCHS: Final = st.integers(0, 2**64 - 1).map(Epoch)
NUMBERS: Final = st.integers(0, 2**64 - 1)
WORKERS: Final = st.integers(0, 2**32 - 1).map(WorkerId)
NAMES: Final = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).map(Label)
WORDS: Final = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
EXPOSES: Final = st.builds(
    Expose,
    st.integers(1, 2**32 - 1).map(EndpointId),
    st.sampled_from(EndpointKind),
    WORDS,
    st.just(Keep()),
)
USES: Final = st.lists(
    st.builds(
        Used,
        st.sampled_from(UseKind),
        st.binary(max_size=63),
        st.integers(0, 2**48 - 1),
        st.integers(0, 2**48 - 1),
        st.integers(0, 2**48 - 1),
    ),
    max_size=4,
).map(tuple)
MESSAGES: Final[st.SearchStrategy[Message]] = st.one_of(
    st.builds(Attend, st.integers(0, 65_535)),
    st.just(Ready()),
    st.builds(OpenSession, NUMBERS, st.binary(min_size=16, max_size=16), st.integers(0, 255), st.just(TOKEN), WORDS),
    st.builds(AskName, SESSIONS, EXPOSES),
    st.builds(GiveUp, NAMES, EPOCHS, st.booleans()),
    st.builds(DropSession, SESSIONS),
    st.builds(CutDone, EPOCHS),
    st.builds(NoteHealth, EPOCHS, st.booleans()),
    st.builds(Tally, USES),
    st.builds(WorkerTally, WORKERS, USES),
    st.builds(LeaseHealth, EPOCHS, st.booleans()),
    st.just(Serve()),
    st.builds(SessionOpened, NUMBERS, SESSIONS),
    st.builds(SessionRefused, NUMBERS, WORDS),
    st.builds(NameGranted, SESSIONS, EPOCHS),
    st.builds(NameDenied, SESSIONS, st.integers(0, 2**32 - 1).map(EndpointId), st.sampled_from(DenialCode), WORDS),
    st.builds(Supersede, SESSIONS),
    st.builds(
        LeaseUp,
        WORKERS,
        SESSIONS,
        EPOCHS,
        NAMES,
        st.just(TOKEN),
        EXPOSES,
        WORDS,
        st.binary(min_size=16, max_size=16),
        st.integers(0, 65_535),
        st.integers(0, 2**32 - 1),
    ),
    st.builds(LeaseDown, EPOCHS, NAMES, st.sampled_from(LeaseEnd)),
    st.builds(
        NameOffline,
        NAMES,
        st.binary(min_size=16, max_size=16).map(AccountId),
        st.integers(0, 2**32 - 1),
        st.sampled_from(EndpointKind),
        st.booleans(),
    ),
    st.builds(WorkerUp, WORKERS, WORDS),
    st.builds(WorkerDown, WORKERS),
    st.just(Retire()),
    st.just(LookAgain()),
)


def read_all(data: bytes) -> list[Message]:
    done = MessageReader().receive(data)
    assert isinstance(done, Success), done
    return value_of(done)


@given(message=MESSAGES)
@settings(max_examples=300, deadline=None)
@pytest.mark.shows("WORK-WIRE-001")
def test_what_is_written_is_read(message: Message) -> None:
    assert read_all(encode_message(message)) == [message]


@given(messages=st.lists(MESSAGES, max_size=6), cuts=st.lists(st.integers(1, 50), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
@pytest.mark.shows("WORK-WIRE-001")
def test_the_same_comes_out_however_the_bytes_are_cut(messages: list[Message], cuts: list[int]) -> None:
    data = b"".join(encode_message(message) for message in messages)
    reader, read, at = MessageReader(), list[Message](), 0
    while at < len(data):
        size = cuts[at % len(cuts)]
        done = reader.receive(data[at : at + size])
        assert isinstance(done, Success)
        read.extend(value_of(done))
        at += size
    assert read == messages


@given(message=MESSAGES, rest=st.binary(max_size=3))
@settings(max_examples=60, deadline=None)
def test_bytes_after_a_message_wait_for_the_next(message: Message, rest: bytes) -> None:
    whole = encode_message(Serve())
    reader = MessageReader()
    assert reader.receive(encode_message(message) + whole[: len(rest)]) == Success([message])
    assert reader.receive(whole[len(rest) :]) == Success([Serve()])


@given(data=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
@pytest.mark.shows("WORK-WIRE-002")
def test_any_bytes_are_messages_or_an_error_that_is_final(data: bytes) -> None:
    reader = MessageReader()
    first = reader.receive(data)
    if isinstance(first, Failure):
        assert reader.receive(encode_message(Serve())) == first


def framed(kind: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind]) + body


@pytest.mark.shows("WORK-WIRE-002")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\xff\xff\xff\x01", MessageTooLong(0xFFFFFF + 4, MESSAGE_BYTES_MAX)),
        (framed(0x7F, b""), UnknownMessage(0x7F)),
        (framed(0x01, b"\0"), MessageMalformed(MessageKind.ATTEND, "version")),
        (framed(0x02, b"x"), MessageMalformed(MessageKind.READY, "end")),
        (framed(0x89, b"\0\1a" + bytes(20) + b"\x03"), MessageMalformed(MessageKind.NAME_OFFLINE, "kind")),
        (framed(0x04, bytes(8) + b"junk"), MessageMalformed(MessageKind.ASK_NAME, "asked")),
        (framed(0x05, b"\0\x02Ab" + bytes(8)), MessageMalformed(MessageKind.GIVE_UP, "name")),
        (framed(0x05, b"\0\x02-b" + bytes(8)), MessageMalformed(MessageKind.GIVE_UP, "name")),
        (framed(0x85, bytes(12) + b"\xff\0\0"), MessageMalformed(MessageKind.NAME_DENIED, "code")),
        (framed(0x09, b"\xff"), MessageMalformed(MessageKind.TALLY, "count")),
        (framed(0x09, b"\1\7\0"), MessageMalformed(MessageKind.TALLY, "use")),
        (framed(0x09, b"\1\0\x40" + bytes(82)), MessageMalformed(MessageKind.TALLY, "use")),
        (framed(0x08, bytes(8) + b"\x02"), MessageMalformed(MessageKind.NOTE_HEALTH, "is up")),
        (framed(0x88, bytes(8) + b"\x09\0\x01a"), MessageMalformed(MessageKind.LEASE_DOWN, "end")),
    ],
)
def test_what_is_not_right_is_named(data: bytes, error: object) -> None:
    assert MessageReader().receive(data) == Failure(error)


def test_a_tally_of_the_most_keys_is_a_message_and_numbers_beyond_any_are_cut() -> None:
    most = Tally(tuple(Used(UseKind.ENDPOINT, b"n" * 63, 2**60, 2**60, 2**60) for _ in range(USES_MAX)))
    assert len(encode_message(most)) <= MESSAGE_BYTES_MAX
    (read,) = read_all(encode_message(most))
    assert isinstance(read, Tally)
    assert set(read.uses) == {Used(UseKind.ENDPOINT, b"n" * 63, 2**48 - 1, 2**48 - 1, 2**48 - 1)}


def test_every_message_is_in_the_strategy() -> None:
    kinds = {each.message_kind for union in get_args(Message) for each in (get_args(union) or (union,))}
    assert kinds == set(MessageKind)


@pytest.mark.shows("WORK-WIRE-002")
@pytest.mark.parametrize(
    "message",
    [
        Attend(1),
        Ready(),
        CutDone(Epoch(1)),
        NoteHealth(Epoch(1), is_up=True),
        DropSession(SessionId(1)),
        GiveUp(Label("a"), Epoch(1)),
    ],
)
def test_a_worker_takes_no_worker_s_words(message: Message) -> None:
    replica = Replica(RouteTable(DEFAULT_LIMITS), WorkerId(1))
    assert replica.receive(encode_message(message), NOW) == Failure(OutOfTurn(message.message_kind))


def test_a_worker_takes_no_lease_of_a_token_that_is_none_and_no_garbage() -> None:
    replica = Replica(RouteTable(DEFAULT_LIMITS), WorkerId(1))
    asked = Expose(EndpointId(1), EndpointKind.HTTP, "a", Keep())
    forged = LeaseUp(WorkerId(1), SessionId(1), Epoch(1), Label("a"), bytes(TOKEN_BYTES), asked, "", bytes(16))
    assert replica.receive(encode_message(forged), NOW) == Failure(OutOfTurn(MessageKind.LEASE_UP))
    assert replica.receive(framed(0x7F, b""), NOW) == Failure(UnknownMessage(0x7F))


@pytest.mark.shows("WORK-FENCE-001")
@pytest.mark.parametrize("end", list(LeaseEnd))
def test_a_lease_that_was_never_known_is_cut_already_and_its_grant_means_nothing(end: LeaseEnd) -> None:
    replica = Replica(RouteTable(DEFAULT_LIMITS), WorkerId(1))
    replica.poll_output()
    words = encode_message(LeaseDown(Epoch(5), Label("a"), end)) + encode_message(NameGranted(SessionId(1), Epoch(5)))
    assert replica.receive(words, NOW) == Success([])
    assert read_all(replica.poll_output()) == ([CutDone(Epoch(5))] if end is LeaseEnd.FENCED else [])
