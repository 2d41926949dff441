"""Tokens and claims for tests of the route table."""

from dataclasses import replace
from typing import Final

from tunnel.core.base.ids import EndpointId, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.link.messages import Keep, Share
from tunnel.core.route.lease import Claim, Claimed
from tunnel.core.route.sessions import Opened
from tunnel.core.route.table import RouteTable
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId

START: Final = Instant(1000.0)
LIMITS: Final = replace(DEFAULT_LIMITS, offline_names_max=3, sessions_per_token_max=3)
DEMO: Final = Label("demo")
LAPSE: Final = LIMITS.lease_lapse_seconds
DAY: Final = LIMITS.offline_remembered_seconds


def token_of(number: int, *, account: int = 1, names_max: int = 9, sessions_max: int = 9) -> Token:
    return Token(
        KeyId(bytes(8)),
        TokenId(bytes([number]) * 16),
        AccountId(bytes([account]) * 16),
        NamePattern("*"),
        frozenset({EndpointKind.HTTP}),
        names_max,
        1024,
        sessions_max,
        UnixSeconds(0),
        UnixSeconds(2_000_000_000),
    )


OURS: Final = token_of(1)
SIBLING: Final = token_of(2)
THEIRS: Final = token_of(3, account=2)


def claim_of(
    session: int,
    token: Token = OURS,
    name: str = DEMO,
    endpoint: int = 1,
    share: Share = Share.ALONE,
    kind: EndpointKind = EndpointKind.HTTP,
) -> Claim:
    return Claim(Label(name), SessionId(session), EndpointId(endpoint), kind, token, Keep(), "192.0.2.1:40000", share)


def opened(
    table: RouteTable, session: int, token: Token = OURS, instance: bytes | None = None, link: int = 0
) -> Opened:
    done = table.open_session(SessionId(session), token, instance or bytes([session]) * 16, link)
    assert isinstance(done, Success)
    return value_of(done)


def claimed(table: RouteTable, asked: Claim, now: Instant = START) -> Claimed:
    done = table.claim(asked, now)
    assert isinstance(done, Success)
    return value_of(done)


def later(seconds: float) -> Instant:
    return Instant(START + seconds)
