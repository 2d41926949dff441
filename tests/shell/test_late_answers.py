"""A session whose registry answers late, as a worker's does: what was told meanwhile holds all the same."""

import asyncio
from time import monotonic
from typing import Final

import pytest
from tests.support.cluster_world import PRIVATE, raw_token

from tunnel.core.base.ids import EndpointId, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.base.problem import AGENT_OFFLINE
from tunnel.core.directory.directory import UNTOLD, Directory
from tunnel.core.link.codec import encode_message
from tunnel.core.link.messages import LINK_VERSION, Expose, Hello, Keep
from tunnel.core.link.preface import StreamPreface
from tunnel.core.route.granting import claim_of
from tunnel.core.route.table import Lease
from tunnel.core.token.codec import decode_token, key_id_of
from tunnel.core.token.token import AccountId, EndpointKind, Token
from tunnel.drive.address import Address
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.observe.events import Event
from tunnel.server.hub import Hub
from tunnel.server.registry import Asker
from tunnel.server.session import AgentSession

pytestmark = pytest.mark.anyio

DEMO: Final = Label("demo")
RAW: Final = raw_token(1)
ASKED: Final = Expose(EndpointId(1), EndpointKind.HTTP, DEMO, Keep())
TAKEN: Final = Directory(1, UnixSeconds(1), names={DEMO: AccountId(b"another account.")})


class _Late:
    """A registry whose answers the test gives, and a sink that nobody reads."""

    def emit(self, event: Event) -> None:
        """Nothing."""

    def open(self, asker: Asker, token: Token, hello: Hello) -> None:
        """Later."""

    def expose(self, session: SessionId, asker: Asker, token: Token, asked: Expose) -> None:
        """Later."""

    def withdraw(self, lease: Lease) -> None:
        """Later."""

    def drop(self, session: SessionId) -> None:
        """Later."""

    def learn(self, directory: Directory) -> None:
        """It decides by another one."""

    def note_health(self, lease: Lease, *, is_up: bool) -> None:
        """Nothing."""


class _Visitor:
    """Reads a stream."""

    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Nothing."""

    def on_stream_end(self, now: Instant) -> None:
        """Nothing."""

    def on_stream_reset(self, now: Instant) -> None:
        """Nothing."""

    def on_stream_writable(self, now: Instant) -> None:
        """Nothing."""


def asking() -> tuple[Hub, AgentSession, Lease]:
    """An agent that has asked for a name, and the lease that it is to get."""
    public, late, now = public_key_of(PRIVATE) or b"", _Late(), Instant(monotonic())
    hub = Hub(
        "example.com",
        {key_id_of(public): public},
        DEFAULT_LIMITS,
        SystemClock(),
        SystemEntropy(),
        late,
        asyncio.get_running_loop(),
        100,
    )
    hub.registry = late
    decoded = decode_token(RAW)
    assert isinstance(decoded, Success)
    session = AgentSession(hub, Address("192.0.2.1", 40000), now)
    hub.admit_link(session, "192.0.2.1")
    session.on_stream_data(encode_message(Hello(LINK_VERSION, bytes(16), RAW, "test")), now)
    hub.table.open_session(SessionId(1), value_of(decoded), bytes(16))
    session.on_opened(SessionId(1), None, now)
    session.on_stream_data(encode_message(ASKED), now)
    claimed = hub.table.claim(claim_of(ASKED, DEMO, SessionId(1), value_of(decoded), "192.0.2.1:40000"), now)
    assert isinstance(claimed, Success)
    return hub, session, value_of(claimed).lease


@pytest.mark.shows("GATE-NAME-001", "GATE-NAME-003")
@pytest.mark.parametrize("told", [UNTOLD, TAKEN])
async def test_a_grant_that_was_overtaken_by_a_directory_is_given_back(told: Directory) -> None:
    hub, session, lease = asking()
    now = Instant(monotonic())
    hub.learn(told, now)
    assert session.on_granted(lease, now) is (told is UNTOLD)
    assert session.is_needed is (told is UNTOLD)
    session.abort_session()


@pytest.mark.shows("GATE-NAME-003", "TOKEN-EXPOSE-003")
async def test_nobody_is_let_in_under_a_lease_that_was_given_up_and_is_not_taken_down_yet() -> None:
    hub, session, lease = asking()
    now = Instant(monotonic())
    assert session.on_granted(lease, now)
    preface = StreamPreface(EndpointId(1), "192.0.2.9", 1, "192.0.2.8", 80)
    assert isinstance(session.open_for(lease, preface, _Visitor()), Success)
    hub.learn(TAKEN, now)
    assert hub.table.is_current(lease)
    refused = session.open_for(lease, preface, _Visitor())
    assert not isinstance(refused, Success)
    assert error_of(refused) == AGENT_OFFLINE
    session.abort_session()
