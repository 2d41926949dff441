"""`spec/vectors/wire-*.json`, which another implementation could use, hold for ours: whole and in cuts."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias, TypedDict

import pytest
from mux_support import PLENTY, START, Fact, facts, joined

from tunnel.core.base.ids import StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.mux.events import Event
from tunnel.core.mux.reader import FrameReader
from tunnel.core.mux.session import Role, Session

VECTORS: Final = Path(__file__).resolve().parents[2] / "spec" / "vectors"


class Repeated(TypedDict):
    """A byte, in hexadecimal, so many times."""

    byte: str
    times: int


Part: TypeAlias = str | Repeated
Told: TypeAlias = list[str | int | float | Repeated]


class FrameFacts(TypedDict):
    """One frame."""

    type: int
    flags: int
    stream: int
    length: int
    payload: str


class FrameCase(TypedDict):
    """Bytes, the frames in them, and why reading stopped."""

    name: str
    wire: list[Part]
    frames: list[FrameFacts]
    refused: str | None
    held: int


class Step(TypedDict, total=False):
    """One thing that happens to a session, and what comes of it."""

    receive: list[Part]
    open: int
    send: tuple[int, list[Part]]
    end: int
    reset: int
    return_credit: tuple[int, int]
    go_away: int
    link_lost: None
    events: list[Told]
    sends: list[Part]
    ended_by: str | None


class SessionCase(TypedDict):
    """One end of a session from its beginning."""

    name: str
    role: str
    limits: dict[str, int]
    steps: list[Step]
    live_streams: int
    is_over: bool
    violations: int


def frame_cases() -> list[FrameCase]:
    cases: list[FrameCase] = json.loads((VECTORS / "wire-frames.json").read_text())["cases"]
    return cases


def session_cases() -> list[SessionCase]:
    cases: list[SessionCase] = json.loads((VECTORS / "wire-sessions.json").read_text())["cases"]
    return cases


def name_of(case: FrameCase | SessionCase) -> str:
    return case["name"]


def bytes_of(parts: list[Part]) -> bytes:
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part["byte"]) * part["times"] for part in parts
    )


def told(event: Told) -> Fact:
    """An event of a vector in the form of the tests."""
    match event:
        case ["data", int(stream), data] if not isinstance(data, int | float):
            return ("data", stream, bytes_of([data]))
        case [str(name), (int() | float()) as number]:
            return (name, number)
        case _:
            pytest.fail(f"no event of ours: {event}")


@pytest.mark.shows("MUX-FRAME-001", "MUX-FRAME-002", "MUX-FRAME-003", "MUX-FRAME-004", "MUX-FRAME-008")
@pytest.mark.parametrize("case", frame_cases(), ids=name_of)
def test_the_frames_of_the_vectors_are_read_or_refused(case: FrameCase) -> None:
    reader = FrameReader(1 << 20)
    seen = reader.receive(bytes_of(case["wire"]))
    assert [
        FrameFacts(type=each.kind, flags=each.flags, stream=each.stream, length=each.length, payload=each.payload.hex())
        for each in seen
    ] == case["frames"]
    assert (None if reader.fault is None else type(reader.fault).__name__) == case["refused"]
    # Whatever was held back becomes a frame with the bytes that are missing.
    if case["held"]:
        (last,) = reader.receive(b"\x09")
        assert (last.stream, last.length) == (1, 9)


def receive(session: Session, wire: bytes, cut: int) -> tuple[list[Event], str | None]:
    events: list[Event] = []
    places = [*range(0, len(wire), cut), len(wire)]
    for start, end in pairwise(places):
        outcome = session.receive(wire[start:end], START)
        if isinstance(outcome, Success):
            events += value_of(outcome)
        else:
            return events + session.take_events(), type(error_of(outcome)).__name__
    return events, None


def play(session: Session, step: Step, cut: int) -> tuple[list[Event], str | None]:
    if "receive" in step:
        return receive(session, bytes_of(step["receive"]), cut)
    if "open" in step:
        assert session.open_stream() == Success(step["open"])
    elif "send" in step:
        stream, parts = step["send"]
        assert not isinstance(session.send(StreamId(stream), bytes_of(parts)), Failure)
    elif "end" in step:
        session.end(StreamId(step["end"]))
    elif "reset" in step:
        session.reset(StreamId(step["reset"]))
    elif "return_credit" in step:
        stream, count = step["return_credit"]
        session.return_credit(StreamId(stream), count, START)
    elif "go_away" in step:
        session.go_away(step["go_away"])
    else:
        assert "link_lost" in step
        return session.on_link_lost(), None
    return [], None


@pytest.mark.shows("MUX-STREAM-005", "MUX-STREAM-006", "MUX-STREAM-011", "MUX-FLOW-004", "MUX-AWAY-003")
@pytest.mark.parametrize("cut", [PLENTY, 7000, 13, 1], ids=str)
@pytest.mark.parametrize("case", session_cases(), ids=name_of)
def test_the_sessions_of_the_vectors_go_as_told(case: SessionCase, cut: int) -> None:
    if max(len(bytes_of(step["receive"])) if "receive" in step else 0 for step in case["steps"]) > 1000:
        cut = max(cut, 999)
    session = Session(Role[case["role"].upper()], Limits(**case["limits"]), START)
    for step in case["steps"]:
        events, ended_by = play(session, step, cut)
        sends = session.poll_output(PLENTY)
        assert joined(events) + facts(session.take_events()) == [told(event) for event in step["events"]]
        assert sends == bytes_of(step["sends"])
        assert ended_by == step["ended_by"]
    assert session.live_streams == case["live_streams"]
    assert session.is_over is case["is_over"]
    assert session.violations == case["violations"]
