"""Upgraded connections: nothing before the 101, every byte after it, each direction ended by itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.relay_harness import CONNECTED, GET, HELLO, SWITCHED, UPGRADE, World, cut, piped, requests

from tunnel.core.base.limits import Limits
from tunnel.core.relay.actions import EndOrigin
from tunnel.core.relay.state import Phase
from tunnel.core.relay.waits import Wait


def upgraded() -> World:
    """A connection that has become a pipe."""
    world = World().visitor(UPGRADE).local(SWITCHED)
    assert world.edge.phase is Phase.UPGRADED
    return world


@pytest.mark.shows("RELAY-UPGRADE-001", "RELAY-UPGRADE-003")
@pytest.mark.bug("C13")
def test_bytes_after_an_upgrade_request_wait_for_the_101() -> None:
    world = World().visitor(UPGRADE + b"\x81\x00early", b"more")
    assert len(requests(world.up)) == 1
    assert world.up.endswith(b"\r\n\r\n")
    world.local(SWITCHED + b"\x81\x00hi")
    assert piped(world.up) == b"\x81\x00earlymore"
    assert piped(bytes(world.seen)) == b"\x81\x00hi"
    assert requests(world.up)[0].one("upgrade") == "websocket"
    assert world.answers()[0].one("upgrade") == "websocket"


@pytest.mark.shows("RELAY-UPGRADE-001")
@pytest.mark.bug("C13")
@pytest.mark.parametrize("status", [b"200 OK", b"426 Upgrade Required", b"403 Forbidden"])
def test_after_a_refusal_what_was_held_is_the_next_request(status: bytes) -> None:
    world = World().visitor(UPGRADE + GET)
    world.local(b"HTTP/1.1 " + status + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n")
    assert world.edge.phase is Phase.EXCHANGE
    world.local(HELLO)
    assert world.outcomes == ["ok", "ok"]
    assert [report.target for report in world.reports] == [b"/ws", b"/"]


@pytest.mark.shows("RELAY-UPGRADE-001")
@pytest.mark.bug("C13")
def test_after_a_refusal_what_was_held_is_never_piped() -> None:
    world = World().visitor(UPGRADE + b"\x81\x05smuggled\r\n\r\n").local(HELLO)
    assert world.statuses == [200, 400]
    assert b"smuggled" not in world.up


@pytest.mark.shows("RELAY-UPGRADE-002")
@pytest.mark.bug("C13", "D")
@pytest.mark.parametrize(
    "request_head",
    [
        GET,
        UPGRADE.replace(b"Connection: Upgrade\r\n", b""),
        UPGRADE.replace(b"websocket", b"other/1"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"websocket", b"h2c"),
    ],
)
def test_a_101_nobody_asked_for_is_502(request_head: bytes) -> None:
    world = World().visitor(request_head).local(SWITCHED)
    assert world.statuses == [502]
    assert world.outcomes == ["local-broke-protocol"]


@pytest.mark.shows("RELAY-UPGRADE-002", "RELAY-UPGRADE-003")
def test_a_101_may_pick_one_of_what_was_offered_in_any_case() -> None:
    world = World().visitor(UPGRADE.replace(b"websocket", b"foo/2, WebSocket")).local(SWITCHED)
    assert world.edge.phase is Phase.UPGRADED
    both = World().visitor(UPGRADE).local(SWITCHED.replace(b"websocket", b"websocket, foo/2"))
    assert both.statuses == [502]


@pytest.mark.shows("RELAY-UPGRADE-005")
@pytest.mark.bug("C13")
@pytest.mark.parametrize("asked", [UPGRADE.replace(b"1.1", b"1.0"), UPGRADE.replace(b"websocket", b"h2c")])
def test_some_upgrades_are_not_forwarded(asked: bytes) -> None:
    world = World().visitor(asked)
    (forwarded,) = requests(world.up)
    assert forwarded.one("upgrade") is None
    assert forwarded.one("connection") is None


@pytest.mark.bug("C13")
def test_an_upgrade_with_content_is_refused() -> None:
    world = World().visitor(UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"))
    assert world.statuses == [400]
    assert not world.streams


@pytest.mark.shows("RELAY-UPGRADE-003", "RELAY-EXCH-002")
@settings(max_examples=40, deadline=None)
@given(up=st.binary(max_size=200), down=st.binary(max_size=200), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_bytes_pass_untouched_however_they_are_cut(up: bytes, down: bytes, cuts: list[int]) -> None:
    world = World().visitor(*cut(UPGRADE + up, cuts))
    for piece in cut(CONNECTED + SWITCHED + down, cuts):
        world.stream_bytes(piece)
    world.visitor(up)
    world.stream_bytes(down)
    assert piped(world.up) == up + up
    assert piped(bytes(world.seen)) == down + down
    world.visitor_lost()
    (report,) = world.reports
    assert (report.outcome, report.bytes_up, report.bytes_down) == ("ok", 2 * len(up), 2 * len(down))
    assert report.status == 101


@pytest.mark.shows("RELAY-UPGRADE-004")
@pytest.mark.bug("B7")
def test_a_visitor_that_ends_may_still_listen() -> None:
    world = upgraded().visitor(b"last words").visitor_fin()
    assert world.streams[0].up_ended
    world.local(b"answer", b" and more")
    assert piped(bytes(world.seen)) == b"answer and more"
    world.local_fin()
    assert world.visitor_ended
    assert world.streams[0].was_ended()
    assert world.ending() == "gentle"
    assert world.outcomes == ["ok"]


@pytest.mark.shows("RELAY-UPGRADE-004")
@pytest.mark.bug("B7")
def test_a_local_service_that_ends_may_still_listen() -> None:
    world = upgraded().local(b"bye").local_fin()
    assert world.visitor_ended
    assert world.ending() == "open"
    world.visitor(b"one more")
    assert piped(world.up) == b"one more"
    world.stream_bytes(b"after its end")
    world.local_fin()
    assert piped(bytes(world.seen)) == b"bye"
    world.visitor_fin()
    assert world.edge.is_closed
    assert world.streams[0].was_ended()
    assert world.outcomes == ["ok"]


@pytest.mark.shows("RELAY-UPGRADE-004")
@pytest.mark.bug("B7")
def test_an_end_before_the_101_is_passed_on_after_it() -> None:
    world = World().visitor(UPGRADE + b"words").visitor_fin()
    assert not any(isinstance(action, EndOrigin) for action in world.actions)
    world.local(SWITCHED)
    assert piped(world.up) == b"words"
    assert sum(isinstance(action, EndOrigin) for action in world.actions) == 1


@pytest.mark.shows("RELAY-CUT-001")
def test_a_pipe_that_breaks_is_reset() -> None:
    world = upgraded().stream_reset()
    assert world.ending() == "abort"
    assert world.outcomes == ["local-closed-early"]
    gone = upgraded()
    gone.table.drop_session(gone.streams[0].lease.session, gone.now)
    assert gone.stream_reset().outcomes == ["link-lost"]
    left = upgraded().local_fin().visitor_lost()
    assert left.streams[0].was_reset()
    assert left.outcomes == ["ok"]


@pytest.mark.shows("RELAY-LIMIT-001")
@pytest.mark.bug("C13")
def test_what_waits_for_a_101_is_bounded() -> None:
    limits = Limits(ahead_bytes_max=1000)
    world = World(limits).visitor(UPGRADE, b"x" * 1000)
    full = [world.edge.is_full, world.visitor(b"y").edge.is_full]
    assert world.edge.held_bytes == 1001
    full.append(world.local(SWITCHED).edge.is_full)
    assert full == [False, True, False]
    assert piped(world.up) == b"x" * 1000 + b"y"


@pytest.mark.shows("RELAY-LIMIT-001")
def test_one_that_sends_on_when_told_to_wait_is_dropped() -> None:
    world = World(Limits(ahead_bytes_max=10)).visitor(UPGRADE, b"x" * 11)
    world.edge.receive_visitor(b"z", world.now)
    world.pump()
    assert world.ending() == "abort"
    assert world.outcomes == ["visitor-flooded"]
    assert world.edge.held_bytes == 0


@pytest.mark.shows("RELAY-TIME-001")
def test_a_silent_pipe_is_ended_by_its_limit() -> None:
    world = upgraded()
    assert world.edge.waits_for is Wait.UPGRADED
    world.tick(3000.0).visitor(b"ping").tick(3000.0).local(b"pong").tick(3599.0)
    assert world.ending() == "open"
    world.tick(2.0)
    assert world.outcomes == ["idle"]
    assert world.ending() == "abort"
