"""The tap of the agent sees each exchange that passes, and gives up quietly at what it does not understand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.relay_harness import GET, HELLO, POST, SWITCHED, UPGRADE, World, cut

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.relay.tap import Seen, Tap

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
UPLOAD = b"PUT /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


def facts(seen: list[Seen]) -> list[tuple[str, str, int]]:
    """What was seen, without times."""
    return [(one.method, one.target, one.status) for one in seen]


@pytest.mark.shows("RELAY-TAP-001")
def test_the_tap_sees_what_the_edge_forwards() -> None:
    world = World().visitor(GET)
    tap = Tap(DEFAULT_LIMITS)
    tap.receive_up(world.up, Instant(1.0))
    assert tap.poll_seen() == []
    tap.receive_down(HELLO, Instant(3.5))
    (seen,) = tap.poll_seen()
    assert (seen.method, seen.target, seen.status, seen.seconds) == ("GET", "/", 200, 2.5)
    world.local(HELLO)
    assert seen.request_id == world.reports[0].request_id
    assert tap.poll_seen() == []


@pytest.mark.shows("RELAY-TAP-001")
@settings(max_examples=60, deadline=None)
@given(ups=st.lists(st.integers(0, 400), max_size=8), downs=st.lists(st.integers(0, 400), max_size=8))
def test_the_cuts_do_not_matter(ups: list[int], downs: list[int]) -> None:
    tap = Tap(DEFAULT_LIMITS)
    head = GET.replace(b"GET", b"HEAD")
    for piece in cut(GET + POST + b"12345" + UPLOAD + head, ups):
        tap.receive_up(piece, Instant(1.0))
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    sized = b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\n"
    for piece in cut(hints + HELLO + CHUNKED + empty + sized, downs):
        tap.receive_down(piece, Instant(2.0))
    assert facts(tap.poll_seen()) == [
        ("GET", "/", 200),
        ("POST", "/form", 200),
        ("PUT", "/u", 204),
        ("HEAD", "/", 404),
    ]
    assert not tap.is_blind


@pytest.mark.shows("RELAY-TAP-001")
def test_the_end_of_the_stream_ends_a_body_that_ends_by_it() -> None:
    tap = Tap(DEFAULT_LIMITS)
    tap.receive_up(GET, Instant(1.0))
    tap.receive_down(b"HTTP/1.1 200 OK\r\n\r\nabc", Instant(2.0))
    assert tap.poll_seen() == []
    tap.on_down_end(Instant(3.0))
    assert facts(tap.poll_seen()) == [("GET", "/", 200)]
    tap.on_down_end(Instant(4.0))
    assert tap.poll_seen() == []


@pytest.mark.shows("RELAY-TAP-002")
def test_the_tap_is_blind_after_a_101() -> None:
    tap = Tap(DEFAULT_LIMITS)
    tap.receive_up(UPGRADE, Instant(1.0))
    tap.receive_down(SWITCHED + b"\x81\x00", Instant(1.0))
    assert facts(tap.poll_seen()) == [("GET", "/ws", 101)]
    assert tap.is_blind
    tap.receive_up(b"\x81\x00", Instant(1.0))
    tap.receive_down(b"\x81\x00", Instant(1.0))
    assert tap.poll_seen() == []


@pytest.mark.shows("RELAY-TAP-002")
@pytest.mark.parametrize(
    ("up", "down"),
    [
        (b"nonsense\r\n\r\n", b""),
        (b"GET / HTTP/1.1\nHost: a\n\n", b""),
        (UPLOAD.replace(b"3\r\n", b"x\r\n"), b""),
        (GET, b"nonsense\r\n\r\n"),
        (GET, b"a\nb"),
        (GET, CHUNKED.replace(b"3\r\n", b"x\r\n")),
        (b"", HELLO),
        (GET * 65, b""),
    ],
)
def test_the_tap_gives_up_at_what_it_cannot_follow(up: bytes, down: bytes) -> None:
    tap = Tap(DEFAULT_LIMITS)
    tap.receive_up(up, Instant(1.0))
    tap.receive_down(down, Instant(1.0))
    assert tap.is_blind
    assert tap.poll_seen() == []


@pytest.mark.shows("RELAY-TAP-002", "RELAY-GUARD-001")
@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=12))
def test_no_bytes_upset_the_tap(steps: list[tuple[bool, bytes]]) -> None:
    tap = Tap(DEFAULT_LIMITS)
    for is_up, data in steps:
        (tap.receive_up if is_up else tap.receive_down)(data, Instant(1.0))
    tap.on_down_end(Instant(2.0))
    assert len(tap.poll_seen()) <= 1
