"""Whole conversations, drawn at random: however bytes are cut, the same exchanges, and every byte where it belongs.

A conversation is a list of requests and their responses; both sides are cut at random places and taken in turn. Every
body is marked with the number of its exchange, so that a byte in the wrong place is seen.
"""

from dataclasses import dataclass
from typing import final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.relay_harness import CONNECTED, World, cut, requests

from tunnel.core.relay.state import Phase


@final
@dataclass(frozen=True)
class Turn:
    """One exchange: what the visitor asks, and what the local service answers."""

    method: str
    chunks_up: tuple[int, ...] | None
    length_up: int
    chunks_down: tuple[int, ...] | None
    length_down: int
    status: int
    closes: bool
    interims: int

    def up(self, number: int) -> bytes:
        """The content of the request."""
        size = sum(self.chunks_up) if self.chunks_up is not None else self.length_up
        return mark(number, size)

    def down(self, number: int) -> bytes:
        """The content of the response, as the visitor gets it."""
        if self.method == "HEAD" or self.status in {204, 304}:
            return b""
        size = sum(self.chunks_down) if self.chunks_down is not None else self.length_down
        return mark(number, size).upper()

    def request(self, number: int) -> bytes:
        """The request on the wire."""
        lines = [f"{self.method} /{number} HTTP/1.1", "Host: app.tunnel.test", f"X-Turn: {number}"]
        if self.chunks_up is not None:
            lines.append("Transfer-Encoding: chunked")
        elif self.length_up:
            lines.append(f"Content-Length: {self.length_up}")
        return head_of(lines) + framed(self.up(number), self.chunks_up)

    def response(self, number: int) -> bytes:
        """The response on the wire."""
        lines = [f"HTTP/1.1 {self.status} Fine", f"X-Turn: {number}"]
        if self.status in {204, 304}:
            body = b""
        elif self.chunks_down is not None:
            lines.append("Transfer-Encoding: chunked")
            body = framed(self.down(number), self.chunks_down)
        else:
            lines.append(f"Content-Length: {self.length_down}")
            body = self.down(number)
        if self.method == "HEAD":
            body = b""
        if self.closes:
            lines.append("Connection: close")
        hints = head_of(["HTTP/1.1 103 Early Hints", f"X-Turn: {number}"]) * self.interims
        return hints + head_of(lines) + body


def head_of(lines: list[str]) -> bytes:
    """Lines and the empty line."""
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def mark(number: int, size: int) -> bytes:
    """So many bytes that say which exchange they belong to."""
    return (b"(%d)" % number * size)[:size]


def framed(content: bytes, chunks: tuple[int, ...] | None) -> bytes:
    """The content in chunks of these sizes, or as it is."""
    if chunks is None:
        return content
    parts = b""
    for size in chunks:
        piece, content = content[:size], content[size:]
        parts += b"%x\r\n%b\r\n" % (size, piece) if size and piece else b""
    return parts + b"0\r\n\r\n"


sizes = st.tuples(st.integers(1, 40)) | st.tuples(st.integers(1, 300), st.integers(1, 20), st.integers(1, 5))
turns = st.builds(
    Turn,
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS"]),
    chunks_up=st.none() | sizes,
    length_up=st.integers(0, 200),
    chunks_down=st.none() | sizes,
    length_down=st.integers(0, 500),
    status=st.sampled_from([200, 204, 304, 404, 500]),
    closes=st.booleans(),
    interims=st.integers(0, 2),
)
cuts = st.lists(st.integers(0, 2000), max_size=12)


def talk(conversation: list[Turn], ups: list[int], downs: list[int], *, pipelined: bool) -> World:
    """The conversation, cut at these places; each response is sent once its request is whole at the local service."""
    world = World()
    wires = [turn.request(number) for number, turn in enumerate(conversation)]
    if pipelined:
        world.visitor(*cut(b"".join(wires), ups))
    for number, turn in enumerate(conversation):
        if not pipelined:
            world.visitor(*cut(wires[number], ups))
        world.local(*cut(turn.response(number), downs))
    return world


@pytest.mark.shows("RELAY-EXCH-003", "RELAY-EXCH-009", "RELAY-EXCH-002", "RELAY-BODY-005", "RELAY-PIPE-001")
@pytest.mark.bug("C17")
@settings(max_examples=120, deadline=None)
@given(conversation=st.lists(turns, min_size=1, max_size=5), ups=cuts, downs=cuts, pipelined=st.booleans())
def test_every_byte_arrives_where_it_belongs(
    conversation: list[Turn], ups: list[int], downs: list[int], *, pipelined: bool
) -> None:
    world = talk(conversation, ups, downs, pipelined=pipelined)
    asked = [one for stream in world.streams for one in requests(bytes(stream.up))]
    assert [one.first[1] for one in asked] == [f"/{number}" for number in range(len(conversation))]
    assert all(one.is_whole for one in asked)
    assert [one.body for one in asked] == [turn.up(number) for number, turn in enumerate(conversation)]
    methods = [turn.method.encode() for turn in conversation]
    answers = world.answers(*methods)
    finals = [one for one in answers if one.status != 103]
    assert [one.body for one in finals] == [turn.down(number) for number, turn in enumerate(conversation)]
    assert [one.status for one in finals] == [turn.status for turn in conversation]
    assert [one.one("x-turn") for one in finals] == [str(number) for number in range(len(conversation))]
    assert sum(one.status == 103 for one in answers) == sum(turn.interims for turn in conversation)
    assert world.outcomes == ["ok"] * len(conversation)
    assert [report.bytes_up for report in world.reports] == [len(one.body) for one in asked]
    assert [report.bytes_down for report in world.reports] == [len(one.body) for one in finals]
    assert world.edge.phase is Phase.BETWEEN


@pytest.mark.shows("RELAY-EXCH-009")
@settings(max_examples=80, deadline=None)
@given(
    conversation=st.lists(turns, min_size=1, max_size=3),
    ups=cuts,
    downs=cuts,
    spoiled=st.integers(0, 3000),
    byte=st.integers(0, 255),
)
def test_a_spoiled_answer_has_the_same_outcome_in_any_cuts(
    conversation: list[Turn], ups: list[int], downs: list[int], spoiled: int, byte: int
) -> None:
    """One byte of the last response is another; whole, cut, or byte by byte, the exchange ends the same way.

    Only how much of a cut body was sent may differ: a read is passed on, or refused, as one.
    """
    *before, last = conversation

    def ended(places: list[int]) -> tuple[list[str], list[int]]:
        world = talk(before, ups, [], pipelined=False)
        number = len(before)
        world.visitor(last.request(number))
        wire = bytearray(last.response(number))
        wire[spoiled % len(wire)] = byte
        world.local(*cut(bytes(wire), places))
        if world.stream is not None:
            world.local_fin()
        return world.outcomes, [one.status for one in world.reports]

    whole = ended([])
    assert ended(downs) == whole
    assert ended(list(range(3000))) == whole


@pytest.mark.shows("RELAY-EXCH-009", "RELAY-FAIL-004")
@settings(max_examples=80, deadline=None)
@given(
    conversation=st.lists(turns, min_size=1, max_size=3),
    ups=cuts,
    spoiled=st.integers(0, 3000),
    byte=st.integers(0, 255),
)
def test_a_spoiled_request_has_the_same_outcome_in_any_cuts(
    conversation: list[Turn], ups: list[int], spoiled: int, byte: int
) -> None:
    def ended(places: list[int]) -> tuple[list[str], list[bytes], list[int]]:
        world = World()
        wire = bytearray(b"".join(turn.request(number) for number, turn in enumerate(conversation)))
        wire[spoiled % len(wire)] = byte
        world.visitor(*cut(bytes(wire), places)).visitor_fin()
        for _ in range(len(conversation) + 2):
            if world.stream is not None:
                method = requests(world.up)[-1].first[0]
                world.local(b"HTTP/1.1 204 Fine\r\n\r\n" if method else CONNECTED)
        return world.outcomes, [one.target for one in world.reports], [one.status for one in world.reports]

    whole = ended([])
    assert ended(ups) == whole
    assert ended(list(range(3000))) == whole


@pytest.mark.shows("RELAY-LIMIT-002", "RELAY-BODY-001")
@settings(max_examples=60, deadline=None)
@given(conversation=st.lists(turns, min_size=1, max_size=2), downs=cuts)
def test_no_payload_is_held_between_reads(conversation: list[Turn], downs: list[int]) -> None:
    """After each read the visitor has the content of all that came but for the line of chunk framing in it."""
    (turn, *_) = conversation
    world = World().visitor(turn.request(0))
    wire = turn.response(0)
    given_bytes = b""
    for piece in cut(wire, downs):
        world.local(piece)
        given_bytes += piece
        body = given_bytes[len(wire.partition(b"Fine")[0]) :].partition(b"\r\n\r\n")[2]
        if turn.chunks_down is None and body:
            assert bytes(world.seen).endswith(body)
    assert world.outcomes == ["ok"]
