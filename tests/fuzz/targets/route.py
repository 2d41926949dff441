"""Fuzz targets of the route part: names have one spelling, and no order of calls gives a name two owners."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tunnel.core.base.ids import EndpointId, Epoch, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.link.messages import Keep
from tunnel.core.route.errors import describe as describe_claim
from tunnel.core.route.name import describe, label_of, name_in_zone, random_label
from tunnel.core.route.table import Claim, Lease, RouteTable
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId

ZONE: Final = "tunnel.example"
LIMITS: Final = replace(DEFAULT_LIMITS, offline_names_max=2, sessions_per_token_max=3)
NAMES: Final = [Label("a"), Label("b"), Label("c")]
TOKENS: Final = [
    Token(
        KeyId(bytes(8)),
        TokenId(bytes([number]) * 16),
        AccountId(bytes([number >> 1]) * 16),
        NamePattern("*"),
        frozenset({EndpointKind.HTTP}),
        2,
        1,
        9,
        UnixSeconds(0),
        UnixSeconds(1),
    )
    for number in range(3)
]


def fuzz_name(data: bytes) -> None:
    """Any text as a label and as a host; what is accepted is its own spelling."""
    text = data.decode("utf-8", "surrogateescape")
    label = label_of(text)
    if isinstance(label, Success):
        assert label_of(value_of(label)) == label == label_of(text.upper())
        assert name_in_zone(f"{text}.{ZONE}", ZONE) == label
    else:
        assert describe(error_of(label))
        assert not isinstance(name_in_zone(f"{text}.{ZONE}", ZONE), Success)
    found = name_in_zone(text, ZONE)
    assert not isinstance(found, Success) or f"{value_of(found)}.{ZONE}" == text.lower()
    assert isinstance(label_of(random_label(data)), Success)


class _Play:
    """A table and what it has said so far."""

    def __init__(self) -> None:
        self.table = RouteTable(LIMITS)
        self.now = Instant(0.0)
        self.tokens: list[Token] = []
        self.past: list[Lease] = []

    def step(self, action: int, choice: int) -> None:
        if action == 0:
            self.open(choice)
        elif action == 1 and self.tokens:
            self.claim(choice)
        elif action == 2:
            for lease in self.table.drop_session(SessionId(choice), self.now):
                assert not self.table.is_current(lease)
        elif action == 3 and self.past:
            lease = self.past[choice % len(self.past)]
            was_current = self.table.is_current(lease)
            assert (self.table.withdraw(lease.name, lease.epoch) is lease) == was_current
        elif action == 4:
            assert self.table.withdraw(NAMES[choice % 3], Epoch(0)) is None
        else:
            self.now = Instant(self.now + choice)

    def open(self, choice: int) -> None:
        token = TOKENS[choice % 3]
        session = SessionId(len(self.tokens))
        self.tokens.append(token)
        done = self.table.open_session(session, token, bytes([choice >> 4]))
        if isinstance(done, Success):
            retired = value_of(done).retired
            assert retired is None or (retired < session and self.tokens[retired] is token)
        else:
            assert describe_claim(error_of(done))

    def claim(self, choice: int) -> None:
        session = choice % len(self.tokens)
        name, token = NAMES[(choice >> 4) % 3], self.tokens[session]
        asked = Claim(name, SessionId(session), EndpointId(1), EndpointKind.HTTP, token, Keep(), "")
        before = self.table.find(asked.name, self.now)
        done = self.table.claim(asked, self.now)
        if not isinstance(done, Success):
            assert describe_claim(error_of(done))
            assert self.table.find(asked.name, self.now) is before
            return
        lease, fenced = value_of(done).lease, value_of(done).fenced
        assert fenced == ((before,) if isinstance(before, Lease) else ())
        assert all(old.token_id == lease.token_id for old in fenced)
        assert all(lease.epoch > old.epoch for old in self.past)
        self.past.append(lease)


def fuzz_route_table(data: bytes) -> None:
    """Pairs of bytes as actions on a table; at most one lease of each name is ever current."""
    play = _Play()
    for at in range(0, min(len(data), 400) - 1, 2):
        play.step(data[at], data[at + 1])
        current = [lease.name for lease in play.past if play.table.is_current(lease)]
        assert sorted(current) == [lease.name for lease in play.table.leases()]
        assert len(set(current)) == len(current)
        assert play.table.offline_count() <= LIMITS.offline_names_max


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"name": fuzz_name, "route_table": fuzz_route_table}
