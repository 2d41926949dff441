"""Link messages as bytes: each reads back equal, however the bytes are cut, and anything else is refused by name.

Messages are drawn field by field from their limits; the reader is fed whole, byte by byte and in random cuts.
"""

from typing import Final, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base.ids import EndpointId, Epoch, SessionId
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.link.authority import NotAnAuthority, authority_of
from tunnel.core.link.codec import MESSAGE_BYTES_MAX, MessageReader, encode_message
from tunnel.core.link.errors import MessageMalformed, MessageTooLong, OtherVersion, ReadError, UnknownMessage
from tunnel.core.link.messages import (
    LINK_VERSION,
    Authority,
    DenialCode,
    Denied,
    Drain,
    Expose,
    Fenced,
    Granted,
    Health,
    Hello,
    HostHeader,
    Keep,
    Lapsed,
    Message,
    MessageKind,
    RefusalCode,
    Refused,
    Rewrite,
    Share,
    Value,
    Welcome,
    Withdraw,
    kind_of,
)
from tunnel.core.policy.ip import block_from
from tunnel.core.policy.rules import (
    BANDWIDTH_MAX,
    BANDWIDTH_MIN,
    BLOCKS_MAX,
    BURST_MAX,
    EXCHANGES_MAX,
    OPEN,
    RATE_MAX,
    SIGN_INS_MAX,
    Policy,
    Rates,
    SignIn,
)
from tunnel.core.route.name import label_of
from tunnel.core.token.token import TOKEN_BYTES, EndpointKind

U32: Final = st.integers(0, 2**32 - 1)
U64: Final = st.integers(0, 2**64 - 1)
ENDPOINTS: Final = st.integers(1, 2**32 - 1).map(EndpointId)
AUTHORITIES: Final = st.sampled_from(["localhost:3000", "127.0.0.1", "[::1]:8080", "my_host", "a" * 253 + ":65535"])
HOST_HEADERS: Final[st.SearchStrategy[HostHeader]] = st.one_of(
    AUTHORITIES.map(lambda text: Rewrite(Authority(text))),
    st.just(Keep()),
    AUTHORITIES.map(lambda text: Value(Authority(text))),
)
BLOCKS: Final = st.one_of(
    st.ip_addresses(v=4).map(lambda address: block_from(int(address), 32, is_v4=True)),
    st.ip_addresses(v=6).map(lambda address: block_from(int(address) >> 64 << 64, 64, is_v4=False)),
    st.just(block_from(0, 0, is_v4=False)),
).filter(lambda block: block is not None)
RATES: Final = st.one_of(
    st.just(Rates()),
    st.builds(
        Rates,
        st.integers(1, RATE_MAX),
        st.integers(1, BURST_MAX),
        st.integers(0, EXCHANGES_MAX),
        st.one_of(st.just(0), st.integers(BANDWIDTH_MIN, BANDWIDTH_MAX)),
    ),
)
POLICIES: Final = st.one_of(
    st.just(OPEN),
    st.builds(
        Policy,
        RATES,
        st.lists(BLOCKS, max_size=BLOCKS_MAX // 2).map(tuple),
        st.lists(BLOCKS, max_size=BLOCKS_MAX // 2).map(tuple),
        st.lists(
            st.builds(SignIn, st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)),
            max_size=SIGN_INS_MAX,
        ).map(tuple),
    ),
)


def texts(chars_max: int) -> st.SearchStrategy[str]:
    """Printable ASCII within the limit of the field."""
    return st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=chars_max)


MESSAGES: Final[st.SearchStrategy[Message]] = st.one_of(
    st.builds(
        Hello,
        st.just(LINK_VERSION),
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES),
        texts(64),
        st.integers(0, 255),
    ),
    st.builds(
        Expose,
        ENDPOINTS,
        st.sampled_from(EndpointKind),
        texts(255),
        HOST_HEADERS,
        st.integers(0, 65535),
        st.sampled_from(Share),
        POLICIES,
        U32,
    ),
    st.builds(Health, ENDPOINTS, st.booleans(), texts(512)),
    st.builds(Withdraw, ENDPOINTS),
    st.builds(Welcome, U64.map(SessionId), U32, U32, texts(64)),
    st.builds(Refused, st.sampled_from(RefusalCode), texts(512)),
    st.builds(Granted, ENDPOINTS, texts(255), texts(512), U64.map(Epoch), U32),
    st.builds(Denied, ENDPOINTS, st.sampled_from(DenialCode), texts(512)),
    st.builds(Drain, U32),
    st.builds(Fenced, ENDPOINTS, texts(512)),
    st.builds(Lapsed, ENDPOINTS, texts(512)),
)


def cut(data: bytes, lengths: list[int]) -> list[bytes]:
    """The data in pieces of these lengths, and what is left as the last one."""
    pieces = []
    for length in lengths:
        pieces.append(data[:length])
        data = data[length:]
    return [*pieces, data]


def read(pieces: list[bytes]) -> tuple[list[Message], ReadError | None]:
    """What a fresh reader makes of the pieces, up to its error."""
    reader = MessageReader()
    messages: list[Message] = []
    for piece in pieces:
        done = reader.receive(piece)
        if not isinstance(done, Success):
            return messages, error_of(done)
        messages += value_of(done)
    return messages, None


def framed(kind: int, fields: bytes) -> bytes:
    return len(fields).to_bytes(2, "big") + bytes([kind]) + fields


@pytest.mark.shows("LINK-FRAME-001", "LINK-FRAME-005")
@given(st.lists(MESSAGES, max_size=4), st.lists(st.integers(0, 40), max_size=30))
def test_messages_read_back_however_they_are_cut(messages: list[Message], lengths: list[int]) -> None:
    wire = b"".join(encode_message(message) for message in messages)
    assert read([wire]) == (messages, None)
    assert read(cut(wire, lengths)) == (messages, None)
    assert read([wire[at : at + 1] for at in range(len(wire))]) == (messages, None)


@pytest.mark.shows("LINK-FRAME-001")
def test_every_message_has_a_kind_of_its_own() -> None:
    kinds = [message.message_kind for message in get_args(Message)]
    assert sorted(kind.name for kind in kinds) == sorted(message.__name__.upper() for message in get_args(Message))
    assert set(kinds) == set(MessageKind)


@pytest.mark.shows("LINK-FRAME-005")
@given(MESSAGES, MESSAGES)
def test_the_start_of_the_next_message_is_kept(first: Message, second: Message) -> None:
    ahead, behind = encode_message(first), encode_message(second)
    for at in (0, 1, 2, 3, len(behind) - 1):
        reader = MessageReader()
        assert reader.receive(ahead + behind[:at]) == Success([first])
        assert reader.receive(behind[at:]) == Success([second])


@pytest.mark.shows("LINK-FRAME-001")
@given(MESSAGES)
def test_every_message_has_its_kind_and_fits(message: Message) -> None:
    wire = encode_message(message)
    assert wire[2] == kind_of(message).value
    assert len(wire) <= MESSAGE_BYTES_MAX
    assert int.from_bytes(wire[:2], "big") == len(wire) - 3


@pytest.mark.shows("LINK-FRAME-001", "LINK-FRAME-006")
@given(st.binary(max_size=300), st.lists(st.integers(0, 40), max_size=10))
@example(b"\x00\x04\x03\x00\x00\x00\x01" * 2 + b"\xff\xff", [])
def test_arbitrary_bytes_never_raise_and_cuts_change_no_verdict(data: bytes, lengths: list[int]) -> None:
    whole, error = read([data])
    by_byte, error_by_byte = read([data[at : at + 1] for at in range(len(data))])
    cut_up, error_cut_up = read(cut(data, lengths))
    assert error == error_by_byte == error_cut_up
    assert whole == by_byte[: len(whole)]
    assert cut_up == by_byte[: len(cut_up)]
    if error is None:
        assert whole == by_byte == cut_up
    for message in by_byte:
        assert encode_message(message) in data


@pytest.mark.shows("LINK-FRAME-001", "LINK-FRAME-004")
@given(MESSAGES, st.data())
def test_a_damaged_message_is_refused_or_is_another_with_those_bytes(message: Message, data: st.DataObject) -> None:
    wire = bytearray(encode_message(message))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    messages, error = read([bytes(wire)])
    assert error is not None or b"".join(encode_message(held) for held in messages) == wire[: wire_end(messages)]


def wire_end(messages: list[Message]) -> int:
    return sum(len(encode_message(message)) for message in messages)


@pytest.mark.shows("LINK-FRAME-004")
@given(MESSAGES, st.binary(min_size=1, max_size=5))
def test_bytes_after_the_last_field_are_refused(message: Message, more: bytes) -> None:
    wire = encode_message(message)
    longer = framed(wire[2], wire[3:] + more)
    assert read([longer])[1] == MessageMalformed(kind_of(message), "end")


@pytest.mark.shows("LINK-FRAME-004")
@given(MESSAGES, st.data())
def test_a_message_without_its_last_bytes_is_refused(message: Message, data: st.DataObject) -> None:
    wire = encode_message(message)
    shorter = data.draw(st.integers(0, len(wire) - 4))
    error = read([framed(wire[2], wire[3 : 3 + shorter])])[1]
    assert isinstance(error, MessageMalformed)
    assert error.kind is kind_of(message)
    assert error.field != "end"


@pytest.mark.shows("LINK-FRAME-002")
@given(st.integers(0, 0xFFFF))
@example(MESSAGE_BYTES_MAX - 3)
@example(MESSAGE_BYTES_MAX - 2)
def test_a_message_that_is_too_long_is_refused_from_its_length(size: int) -> None:
    is_too_long = size + 3 > MESSAGE_BYTES_MAX
    error = MessageTooLong(size + 3, MESSAGE_BYTES_MAX) if is_too_long else None
    assert read([size.to_bytes(2, "big")]) == ([], error)


@pytest.mark.shows("LINK-FRAME-003")
@given(st.integers(0, 255))
def test_an_unknown_kind_is_refused_before_its_fields_come(kind: int) -> None:
    is_known = kind in {known.value for known in MessageKind}
    assert read([bytes([0, 9, kind])]) == ([], None if is_known else UnknownMessage(kind))


HELLO: Final = encode_message(Hello(LINK_VERSION, bytes(16), bytes(TOKEN_BYTES), "x"))
UP_TO_SOFTWARE: Final = HELLO[3:-4]


@pytest.mark.shows("LINK-FRAME-003", "LINK-FRAME-004", "LINK-HOST-001")
@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (MessageKind.HELLO, b"\0", "version"),
        (MessageKind.HELLO, HELLO[3:20], "instance"),
        (MessageKind.HELLO, HELLO[3:700], "token"),
        (MessageKind.HELLO, UP_TO_SOFTWARE + b"\0\x41" + b"x" * 65, "software"),
        (MessageKind.HELLO, UP_TO_SOFTWARE + b"\0\1\x1b", "software"),
        (MessageKind.HELLO, UP_TO_SOFTWARE + b"\0\1\x7f", "software"),
        (MessageKind.HELLO, UP_TO_SOFTWARE + b"\0\1\xe9", "software"),
        (MessageKind.HELLO, HELLO[3:-1], "link"),
        (MessageKind.EXPOSE, b"\0\0\0\0\1\0\0\1", "endpoint"),
        (MessageKind.EXPOSE, b"\0\0\0\1\0\0\0\1", "kind"),
        (MessageKind.EXPOSE, b"\0\0\0\1\3\0\0\1", "kind"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\1\0" + b"n" * 256 + b"\1", "name"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\3", "host header"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\3\0\1a", "host header"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\0\0\0", "host header"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\2\0\3a b", "host header"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\2\0\4a\r\nb", "host header"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\1\0", "port"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\1\0\0", "share"),
        (MessageKind.EXPOSE, b"\0\0\0\1\1\0\0\1\0\0\2", "share"),
        (MessageKind.WITHDRAW, b"\0\0\0\0", "endpoint"),
        (MessageKind.HEALTH, b"\0\0\0\0\1\0\0", "endpoint"),
        (MessageKind.HEALTH, b"\0\0\0\1\2\0\0", "state"),
        (MessageKind.HEALTH, b"\0\0\0\1\1\0\1", "detail"),
        (MessageKind.REFUSED, b"\0\0\0", "code"),
        (MessageKind.REFUSED, b"\x0f\0\0", "code"),
        (MessageKind.DENIED, b"\0\0\0\1\x09\0\0", "code"),
        (MessageKind.DENIED, b"\0\0\0\1\1\2\1" + b"d" * 513, "detail"),
        (MessageKind.DRAIN, b"", "grace"),
    ],
)
def test_the_first_bad_field_is_named(kind: MessageKind, fields: bytes, field: str) -> None:
    assert read([framed(kind.value, fields)]) == ([], MessageMalformed(kind, field))


@pytest.mark.shows("LINK-VERSION-001", "LINK-VERSION-002")
@given(st.integers(0, 0xFFFF).filter(lambda version: version != LINK_VERSION), st.binary(max_size=300))
def test_a_hello_of_another_version_is_known_by_its_first_field(version: int, rest: bytes) -> None:
    assert read([framed(0x01, version.to_bytes(2, "big") + rest)]) == ([], OtherVersion(version))


@pytest.mark.shows("LINK-VERSION-002")
def test_refused_for_its_version_has_its_bytes_for_ever() -> None:
    assert encode_message(Refused(RefusalCode.VERSION, "no")) == b"\x00\x05\x82\x01\x00\x02no"


@pytest.mark.shows("LINK-FRAME-006")
@given(st.lists(MESSAGES, max_size=2), MESSAGES)
def test_a_first_error_is_final(before: list[Message], after: Message) -> None:
    reader = MessageReader()
    wire = b"".join(encode_message(message) for message in before) + b"\0\0\x7f"
    expected = Failure(UnknownMessage(0x7F))
    assert reader.receive(wire) == expected
    assert reader.receive(encode_message(after)) == expected
    assert reader.receive(b"") == expected


@pytest.mark.bug("B12")
@pytest.mark.shows("LINK-FRAME-007")
@given(st.one_of(st.text(st.characters(categories=None), max_size=300), st.text("ab-\u212a\n", max_size=300)))
@example("a" * 256)
@example("\u212a")
@example("demo\x00")
def test_a_name_that_does_not_fit_becomes_no_other_name(name: str) -> None:
    sent = Expose(EndpointId(1), EndpointKind.HTTP, name, Keep())
    [received], error = read([encode_message(sent)])
    assert error is None
    assert isinstance(received, Expose)
    at_server = label_of(received.name)
    assert not isinstance(at_server, Success) or at_server == label_of(name)


@given(st.text(st.characters(categories=None), max_size=700))
def test_texts_for_people_are_cut_and_made_printable(detail: str) -> None:
    [received], error = read([encode_message(Fenced(EndpointId(1), detail))])
    assert error is None
    assert received == Fenced(EndpointId(1), "".join(s if " " <= s <= "~" else "?" for s in detail)[:512])


@pytest.mark.shows("LINK-HOST-001")
@pytest.mark.parametrize(
    "text", ["a", "localhost:1", "LOCAL.example", "10.0.0.1:65535", "[::1]", "[fe80::1]:80", "my_host", "a" * 253]
)
def test_authorities_that_are(text: str) -> None:
    assert authority_of(text) == Success(Authority(text))


@pytest.mark.shows("LINK-HOST-001")
@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            ":80",
            "a:",
            "a:0",
            "a:080",
            "a:65536",
            "a:100000",
            "a b",
            "a\r\nb",
            "a\n",
            "u@a",
            "a,b",
            "a/b",
            "[::1",
            "::1",
        ],
        *["[]", "[::1]x", "é", "\u212a", "a" * 254, "a\0", "\ud800"],
    ],
)
def test_authorities_that_are_not(text: str) -> None:
    assert authority_of(text) == Failure(NotAnAuthority(text[:64]))


@pytest.mark.shows("LINK-SECRET-001")
@given(st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES).filter(lambda token: len(set(token)) > 1))
def test_a_hello_does_not_show_its_token(token: bytes) -> None:
    shown = repr(Hello(2, bytes(16), token, "x")) + repr([Hello(2, bytes(16), token, "x")])
    assert repr(token)[2:20] not in shown
    assert token.hex()[:16] not in shown


@pytest.mark.shows("LINK-POLICY-001")
@given(st.binary(max_size=200))
def test_any_bytes_are_one_policy_or_none(body: bytes) -> None:
    start = encode_message(Expose(EndpointId(1), EndpointKind.HTTP, "demo", Keep()))[3:-2]
    for inner in (body, bytes(18) + b"\x80\0\0\0" + body[:20]):
        whole = start + len(inner).to_bytes(2, "big") + inner
        wire = len(whole).to_bytes(2, "big") + b"\x02" + whole
        done = MessageReader().receive(wire)
        if isinstance(done, Success):
            assert [encode_message(message) for message in value_of(done)] == [wire]
        else:
            assert error_of(done) == MessageMalformed(MessageKind.EXPOSE, "policy")


@pytest.mark.shows("LINK-POLICY-001")
def test_what_no_policy_may_hold_is_cut_off_before_it_is_sent() -> None:
    block, user = block_from(0, 0, is_v4=True), SignIn(bytes(16), bytes(32))
    assert block is not None
    much = Policy(Rates(), (block,) * 70, (block,) * 70, (user,) * 20)
    done = MessageReader().receive(encode_message(Expose(EndpointId(1), EndpointKind.HTTP, "", Keep(), policy=much)))
    assert isinstance(done, Success)
    assert [message.policy for message in value_of(done) if isinstance(message, Expose)] == [
        Policy(Rates(), (block,) * 64, (), (user,) * 16)
    ]
