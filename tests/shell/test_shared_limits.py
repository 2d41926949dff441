"""Streams of tokens, as workers tell each other of them: nothing that is over stays counted or kept."""

import asyncio
from typing import cast

import pytest

from tunnel.core.base.ids import Instant, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.cluster.tally import Used, UseKind
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.observe.events import Event
from tunnel.server.hub import Hub
from tunnel.server.parties import Session
from tunnel.server.shared_limits import SharedLimits

pytestmark = pytest.mark.anyio


class _Nowhere:
    def emit(self, event: Event) -> None:
        """Nobody listens."""


class _Visited:
    """A session, as far as streams are counted."""

    visitors = 5


def hub_of() -> Hub:
    """One that serves nobody."""
    loop = asyncio.get_running_loop()
    return Hub("example.com", {}, DEFAULT_LIMITS, SystemClock(), SystemEntropy(), _Nowhere(), loop, 100)


def token_of(number: int) -> Token:
    """One of many."""
    named = KeyId(bytes(8)), TokenId(number.to_bytes(16, "big")), AccountId(bytes(16))
    kinds = frozenset({EndpointKind.HTTP})
    return Token(*named, NamePattern("*"), kinds, 9, 9, 9, UnixSeconds(0), UnixSeconds(2_000_000_000))


def streams_told(limits: SharedLimits) -> list[Used]:
    """What is said of tokens within the next second."""
    told = [use for _ in range(5) for uses in limits.poll() for use in uses]
    return [use for use in told if use.kind is UseKind.TOKEN]


@pytest.mark.shows("POLICY-WORK-005")
async def test_nothing_is_kept_of_tokens_whose_streams_elsewhere_are_over() -> None:
    hub = hub_of()
    limits = SharedLimits(hub)
    for number in range(1000):
        key = token_of(number).token_id
        limits.learn(2, (Used(UseKind.TOKEN, key, 0, 0, 3),), Instant(0.0))
        limits.learn(3, (Used(UseKind.TOKEN, key, 0, 0, 1),), Instant(0.0))
        assert hub.streams_elsewhere == {key: {2: 3, 3: 1}}
        limits.learn(2, (Used(UseKind.TOKEN, key, 0, 0, 0),), Instant(0.0))
        assert hub.streams_elsewhere == {key: {3: 1}}
        limits.learn(3, (Used(UseKind.TOKEN, key, 0, 0, 0),), Instant(0.0))
        assert hub.streams_elsewhere == {}


@pytest.mark.shows("POLICY-WORK-005")
async def test_streams_that_end_as_a_worker_begins_are_told_to_be_over() -> None:
    hub = hub_of()
    limits, token, session = SharedLimits(hub), token_of(1), _Visited()
    hub.begin(SessionId(1), cast("Session", session), token)
    assert streams_told(limits) == [Used(UseKind.TOKEN, token.token_id, 0, 0, 5)]
    limits.on_worker()
    assert streams_told(limits) == [Used(UseKind.TOKEN, token.token_id, 0, 0, 5)]
    limits.on_worker()
    session.visitors = 0
    assert streams_told(limits) == [Used(UseKind.TOKEN, token.token_id, 0, 0, 0)]
    assert streams_told(limits) == []
