"""Requests in the clear that are sent to https: the same target, nobody asked, and the connection goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.http.forward import Visitor
from tunnel.core.policy.door import Door
from tunnel.core.policy.rules import Rates, ServerPolicy
from tunnel.core.relay.actions import CloseVisitor, EndVisitor, OpenOrigin, Report, SendVisitor
from tunnel.core.relay.edge import Edge
from tunnel.core.route.table import RouteTable

NOW = Instant(5.0)
TARGETS = st.from_regex(r"/[a-z0-9/?=%._~-]{0,40}", fullmatch=True)


def asked(data: bytes, port: str = ":8443") -> list[object]:
    """What an edge without any agent does with these bytes; its door lets one request a hundred seconds in."""
    rules = ServerPolicy(address=Rates(10, 1))
    limits = DEFAULT_LIMITS
    visitor = Visitor("192.0.2.1", 4000, "http")
    edge = Edge(visitor, RouteTable(limits), "tunnel.test", limits, "p" * 16, NOW, Door(rules, 9), port)
    edge.receive_visitor(data, NOW)
    done: list[object] = []
    while actions := edge.poll_actions(NOW):
        done += actions
    return done


def sent(actions: list[object]) -> bytes:
    """What the visitor is sent."""
    return b"".join(action.data for action in actions if isinstance(action, SendVisitor))


@pytest.mark.shows("RELAY-REDIRECT-001")
@given(target=TARGETS, method=st.sampled_from(["GET", "HEAD", "POST"]), port=st.sampled_from(["", ":8443"]))
def test_the_same_target_is_named_and_nobody_is_asked(target: str, method: str, port: str) -> None:
    request = f"{method} {target} HTTP/1.1\r\nHost: APP.tunnel.test:80\r\nContent-Length: 0\r\n\r\n".encode()
    actions = asked(request * 3, port)
    location = f"\r\nLocation: https://app.tunnel.test{port}{target}\r\n".encode()
    assert sent(actions).count(location) == 3
    assert sent(actions).count(b"HTTP/1.1 308 Permanent Redirect\r\n") == 3
    assert b"Connection: close" not in sent(actions)
    assert [(done.status, done.outcome) for done in actions if isinstance(done, Report)] == [(308, "redirected")] * 3
    assert not any(isinstance(action, (OpenOrigin, CloseVisitor)) for action in actions)


@pytest.mark.shows("RELAY-REDIRECT-001")
def test_a_request_for_no_place_is_sent_to_the_front_page() -> None:
    actions = asked(b"OPTIONS * HTTP/1.1\r\nHost: app.tunnel.test\r\n\r\n")
    assert b"Location: https://app.tunnel.test:8443/\r\n" in sent(actions)


@pytest.mark.shows("RELAY-REDIRECT-001")
def test_a_body_that_is_on_its_way_is_not_waited_for() -> None:
    actions = asked(b"POST /up HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: 9000\r\n\r\nsome")
    assert b"Connection: close\r\n" in sent(actions)
    assert any(isinstance(action, EndVisitor) for action in actions)


def test_a_host_that_is_not_ours_is_sent_nowhere() -> None:
    assert b" 421 " in sent(asked(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n"))
