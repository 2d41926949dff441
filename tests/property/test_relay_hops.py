"""Where the seconds of an exchange went: each hop by example, and their sum under any order of events.

The clock is a number. `relay_harness.check_hops` holds the sum against every report of every test of the relay, those
of the machine that calls anything in any order among them.
"""

from typing import Final

import pytest
from tests.support.relay_harness import GET, HELLO, POST, UPGRADE, World, pool_of

from tunnel.core.link.preface import StreamReply

BEGUN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
SWITCHED: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def hops(world: World) -> tuple[float, float, float, float]:
    """Edge, link, local and body of the last exchange."""
    last = world.reports[-1].hops
    return last.edge, last.link, last.local, last.body


@pytest.mark.shows("OBS-HOP-001", "OBS-HOP-002")
def test_each_hop_has_its_seconds() -> None:
    world = World().visitor(GET).tick(0.5).reply(StreamReply.CONNECTED).tick(1.0).local(BEGUN).tick(2.0).local(b"world")
    assert world.outcomes == ["ok"]
    assert hops(world) == (0.0, 0.5, 1.0, 2.0)
    assert world.reports[0].seconds == 3.5


@pytest.mark.shows("OBS-HOP-003")
def test_a_stream_used_before_has_no_seconds_of_the_link() -> None:
    world = World().visitor(GET).tick(0.5).local(HELLO).tick(4.0).visitor(GET).tick(1.0).local(HELLO)
    assert len(world.streams) == 1
    assert hops(world) == (0.0, 0.0, 1.0, 0.0)


@pytest.mark.shows("OBS-HOP-003")
def test_an_attempt_that_failed_is_of_the_edge() -> None:
    world = World(table=pool_of(2)).visitor(GET).tick(0.5).reply(StreamReply.REFUSED).tick(1.0).local(HELLO)
    assert world.outcomes == ["ok"]
    assert hops(world) == (0.5, 1.0, 0.0, 0.0)


@pytest.mark.shows("OBS-HOP-003")
def test_a_stream_that_was_closed_under_a_request_is_an_attempt_that_failed() -> None:
    world = World().visitor(GET).local(HELLO).visitor(GET).tick(0.5).local_fin().tick(1.0).local(HELLO)
    assert len(world.streams) == 2
    assert hops(world) == (0.5, 1.0, 0.0, 0.0)


@pytest.mark.shows("OBS-HOP-002")
def test_what_ends_early_ends_where_it_was() -> None:
    unknown = World().visitor(GET.replace(b"app.", b"nobody."))
    assert hops(unknown) == (0.0, 0.0, 0.0, 0.0)
    refused = World().visitor(GET).tick(0.5).reply(StreamReply.REFUSED)
    assert hops(refused) == (0.0, 0.5, 0.0, 0.0)
    silent = World().visitor(GET).reply(StreamReply.CONNECTED).tick(0.5).stream_reset()
    assert hops(silent) == (0.0, 0.0, 0.5, 0.0)
    cut_off = World().visitor(GET).local(BEGUN).tick(0.5).stream_reset()
    assert hops(cut_off) == (0.0, 0.0, 0.0, 0.5)


@pytest.mark.shows("OBS-HOP-001")
def test_the_body_of_a_request_is_sent_while_the_local_service_is_waited_for() -> None:
    world = World().visitor(POST).tick(0.5).reply(StreamReply.CONNECTED).tick(1.0).visitor(b"12345").tick(2.0)
    world.local(HELLO)
    assert hops(world) == (0.0, 0.5, 3.0, 0.0)


@pytest.mark.shows("OBS-HOP-001")
def test_an_upgraded_connection_is_a_body() -> None:
    world = World().visitor(UPGRADE).tick(0.5).local(SWITCHED).tick(60.0).visitor_lost()
    assert world.outcomes == ["ok"]
    assert hops(world) == (0.0, 0.5, 0.0, 60.0)
