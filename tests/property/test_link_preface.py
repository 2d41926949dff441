"""Preface and reply: read back however they are cut, what follows them untouched, malformed ones refused at once."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import EndpointId
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.errors import PrefaceMalformed, ReplyMalformed
from tunnel.core.link.preface import (
    PrefaceReader,
    ReplyReader,
    StreamPreface,
    StreamReply,
    encode_preface,
    encode_reply,
)

ADDRESSES: Final = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64)
PORTS: Final = st.integers(0, 0xFFFF)
PREFACES: Final = st.builds(
    StreamPreface, st.integers(1, 2**32 - 1).map(EndpointId), ADDRESSES, PORTS, ADDRESSES, PORTS
)
CUTS: Final = st.lists(st.integers(0, 12), max_size=20)


def pieces(data: bytes, lengths: list[int]) -> list[bytes]:
    parts = []
    for length in lengths:
        parts.append(data[:length])
        data = data[length:]
    return [*parts, data]


def facts(preface: StreamPreface) -> tuple[int, str, int, str, int]:
    return preface.endpoint, preface.address, preface.port, preface.public_address, preface.public_port


def read_preface(parts: list[bytes]) -> tuple[StreamPreface | PrefaceMalformed | None, bytes]:
    """What a fresh reader finds, and every byte after it: the reader's rest, then the parts it was never fed."""
    reader = PrefaceReader()
    for at, part in enumerate(parts):
        done: Outcome[StreamPreface | None, PrefaceMalformed] = reader.receive(part)
        if not isinstance(done, Success):
            return error_of(done), b""
        found = value_of(done)
        if found is not None:
            return found, reader.take_rest() + b"".join(parts[at + 1 :])
    return None, reader.take_rest()


def read_reply(parts: list[bytes]) -> tuple[StreamReply | ReplyMalformed | None, bytes]:
    """The same for the reply."""
    reader = ReplyReader()
    for at, part in enumerate(parts):
        done = reader.receive(part)
        if not isinstance(done, Success):
            return error_of(done), b""
        found = value_of(done)
        if found is not None:
            return found, reader.take_rest() + b"".join(parts[at + 1 :])
    return None, reader.take_rest()


@pytest.mark.shows("LINK-STREAM-001", "LINK-STREAM-002")
@given(PREFACES, st.binary(max_size=40), CUTS)
def test_a_preface_reads_back_and_leaves_what_follows(preface: StreamPreface, after: bytes, lengths: list[int]) -> None:
    wire = encode_preface(preface) + after
    for parts in ([wire], pieces(wire, lengths), [wire[at : at + 1] for at in range(len(wire))]):
        found, rest = read_preface(parts)
        assert isinstance(found, StreamPreface)
        assert (facts(found), rest) == (facts(preface), after)


@pytest.mark.shows("LINK-STREAM-001", "LINK-STREAM-002")
@given(st.sampled_from(StreamReply), st.binary(max_size=40), CUTS)
def test_a_reply_reads_back_and_leaves_what_follows(reply: StreamReply, after: bytes, lengths: list[int]) -> None:
    wire = encode_reply(reply) + after
    assert len(encode_reply(reply)) == 2
    for parts in ([wire], pieces(wire, lengths), [wire[at : at + 1] for at in range(len(wire))]):
        assert read_reply(parts) == (reply, after)


@given(PREFACES, st.sampled_from(StreamReply))
def test_the_rest_is_handed_over_once(preface: StreamPreface, reply: StreamReply) -> None:
    prefaces, replies = PrefaceReader(), ReplyReader()
    assert isinstance(prefaces.receive(encode_preface(preface) + b"GET"), Success)
    assert isinstance(replies.receive(encode_reply(reply) + b"HTTP"), Success)
    assert [prefaces.take_rest(), prefaces.take_rest()] == [b"GET", b""]
    assert [replies.take_rest(), replies.take_rest()] == [b"HTTP", b""]


@pytest.mark.shows("LINK-STREAM-003")
@given(st.binary(max_size=90), CUTS)
def test_arbitrary_bytes_never_raise_and_cuts_change_no_verdict(data: bytes, lengths: list[int]) -> None:
    fixed = b"\x01\0\0\0\x01\0\x50\0\x02"
    for start in (data, b"\x01" + data, fixed + data, fixed + b"::\0\x50\0\x03" + data):
        whole, rest = read_preface([start])
        cut, cut_rest = read_preface(pieces(start, lengths))
        if isinstance(whole, StreamPreface):
            assert isinstance(cut, StreamPreface)
            assert (facts(whole), rest) == (facts(cut), cut_rest)
            assert encode_preface(whole) + rest == start
        else:
            assert (whole, rest) == (cut, cut_rest)
        assert read_reply([start]) == read_reply(pieces(start, lengths))


@pytest.mark.shows("LINK-STREAM-003")
@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (b"\x00", "version"),
        (b"\x02", "version"),
        (b"GET / HTTP/1.1\r\n", "version"),
        (b"\x01\0\0\0\x01\0\x50\0\x41", "address"),
        (b"\x01\0\0\0\x01\0\x50\xff\xff", "address"),
        (b"\x01\0\0\0\x01\0\x50\0\x01\n\0\0\0\0", "address"),
        (b"\x01\0\0\0\x01\0\x50\0\x01\xff\0\0\0\0", "address"),
        (b"\x01\0\0\0\0\0\x50\0\0\0\0\0\0", "endpoint"),
        (b"\x01\0\0\0\x01\0\x50\0\0\0\x50\0\x41", "public address"),
        (b"\x01\0\0\0\x01\0\x50\0\0\0\x50\0\x01\xff", "public address"),
    ],
)
def test_a_malformed_preface_is_refused_at_its_first_wrong_field(wire: bytes, field: str) -> None:
    assert PrefaceReader().receive(wire) == Failure(PrefaceMalformed(field))


@pytest.mark.shows("LINK-STREAM-003")
@pytest.mark.parametrize("wire", [b"\x00\x00", b"\x02\x00", b"\x01\x07", b"HT", b"\xff\xff"])
def test_a_malformed_reply_is_refused(wire: bytes) -> None:
    assert ReplyReader().receive(wire + b"TP") == Failure(ReplyMalformed(wire))


@given(st.text(st.characters(categories=None), max_size=80))
def test_an_address_from_anywhere_can_be_sent(address: str) -> None:
    found, rest = read_preface([encode_preface(StreamPreface(EndpointId(1), address, 80, address, 443))])
    assert isinstance(found, StreamPreface)
    length = min(len(address), 64)
    assert (len(found.address), len(found.public_address), rest) == (length, length, b"")
