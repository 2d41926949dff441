"""What may be minted for an account: decided once, from values, for everything that mints.

Any account and any wish is compared with the rules said plainly; and times to live are read back as they are written.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.control.account import DEFAULT_PLAN, Account
from tunnel.core.control.minting import (
    LABEL_CHARS_MAX,
    SKEW_SECONDS,
    TTL_DEFAULT,
    LabelUnfit,
    LimitOutside,
    MintAsked,
    MintRefused,
    NameOfAnother,
    NoKind,
    Suspended,
    TtlOutside,
    decide_mint,
    describe,
    name_of,
    record_of,
    token_of,
)
from tunnel.core.control.ttl import TTL_SECONDS_MAX, ttl_of, ttl_text
from tunnel.core.token.codec import encode_token, key_id_of
from tunnel.core.token.errors import BadPattern
from tunnel.core.token.token import LIMIT_MAX, AccountId, EndpointKind, TokenId

KEY: Final = bytes(range(32))
OURS: Final = AccountId(b"A" * 16)
THEIRS: Final = AccountId(b"B" * 16)
NOW: Final = UnixSeconds(1_790_000_000)
ACCOUNT: Final = Account(OURS, "acme", NOW, DEFAULT_PLAN, is_suspended=False, ttl_default=0, ttl_max=0)
HTTP: Final = frozenset({EndpointKind.HTTP})
ASKED: Final = MintAsked("demo", HTTP)


def life(account: Account, asked: MintAsked) -> int | MintRefused:
    done = decide_mint(account, asked, None, DEFAULT_LIMITS, NOW)
    return value_of(done).expiry - NOW if isinstance(done, Success) else error_of(done)


@pytest.mark.shows("TOKEN-MINT-002")
@pytest.mark.parametrize(
    ("default", "longest", "asked", "expected"),
    [
        (0, 0, None, TTL_DEFAULT),
        (600, 0, None, 600),
        (600, 300, None, 300),
        (0, 300, None, 300),
        (0, 300, 300, 300),
        (0, 300, 301, TtlOutside(301, 300)),
        (600, 3600, 3600, 3600),
        (0, 0, TTL_SECONDS_MAX, TTL_SECONDS_MAX),
        (0, 0, TTL_SECONDS_MAX + 1, TtlOutside(TTL_SECONDS_MAX + 1, TTL_SECONDS_MAX)),
        (0, 0, 0, TtlOutside(0, TTL_SECONDS_MAX)),
        (0, 0, -1, TtlOutside(-1, TTL_SECONDS_MAX)),
    ],
)
def test_how_long_a_token_lives(default: int, longest: int, asked: int | None, expected: int | TtlOutside) -> None:
    account = replace(ACCOUNT, ttl_default=default, ttl_max=longest)
    assert life(account, replace(ASKED, ttl_seconds=asked)) == expected


@pytest.mark.shows("TOKEN-MINT-002")
@given(
    st.integers(0, 2 * TTL_SECONDS_MAX),
    st.integers(0, TTL_SECONDS_MAX),
    st.none() | st.integers(-5, TTL_SECONDS_MAX * 2),
)
def test_no_token_outlives_what_its_account_allows(default: int, longest: int, asked: int | None) -> None:
    lives = life(replace(ACCOUNT, ttl_default=default, ttl_max=longest), replace(ASKED, ttl_seconds=asked))
    if isinstance(lives, int):
        assert 1 <= lives <= (longest or TTL_SECONDS_MAX)
        assert asked is None or lives == asked
    else:
        assert isinstance(lives, TtlOutside)


@pytest.mark.shows("TOKEN-MINT-001", "TOKEN-MINT-003")
@pytest.mark.parametrize(
    ("account", "asked", "holder", "error"),
    [
        (replace(ACCOUNT, is_suspended=True), ASKED, None, Suspended("acme")),
        (ACCOUNT, replace(ASKED, pattern="a_b"), None, BadPattern("a_b")),
        (ACCOUNT, replace(ASKED, kinds=frozenset()), None, NoKind()),
        (ACCOUNT, replace(ASKED, names_max=0), None, LimitOutside("names", 0, LIMIT_MAX)),
        (ACCOUNT, replace(ASKED, streams_max=65536), None, LimitOutside("streams", 65536, LIMIT_MAX)),
        (ACCOUNT, replace(ASKED, sessions_max=-1), None, LimitOutside("sessions", -1, LIMIT_MAX)),
        (ACCOUNT, replace(ASKED, label="x" * 101), None, LabelUnfit(LABEL_CHARS_MAX + 1)),
        (ACCOUNT, replace(ASKED, label="two\nlines"), None, LabelUnfit(9)),
        (ACCOUNT, replace(ASKED, pattern="Demo"), THEIRS, NameOfAnother("demo")),
    ],
)
def test_what_is_not_minted(account: Account, asked: MintAsked, holder: AccountId | None, error: MintRefused) -> None:
    assert decide_mint(account, asked, holder, DEFAULT_LIMITS, NOW) == Failure(error)


@pytest.mark.shows("TOKEN-MINT-001")
def test_a_mint_says_all_that_the_token_and_its_record_say() -> None:
    asked = replace(ASKED, pattern="Team-*", names_max=3, label="for the build")
    done = decide_mint(ACCOUNT, asked, OURS, DEFAULT_LIMITS, NOW)
    assert isinstance(done, Success)
    token = token_of(value_of(done), key_id_of(public_key_of(KEY) or b""), TokenId(b"T" * 16))
    assert (token.pattern, token.kinds, token.names_max) == ("team-*", HTTP, 3)
    assert token.streams_max == DEFAULT_LIMITS.streams_per_session_max
    assert token.sessions_max == DEFAULT_LIMITS.sessions_per_token_max
    assert (token.not_before, token.expiry) == (NOW - SKEW_SECONDS, NOW + TTL_DEFAULT)
    record = record_of(token, "for the build", "ops@example.com", NOW)
    assert (record.token, record.account, record.pattern) == (token.token_id, OURS, "team-*")
    assert (record.label, record.minted_by, record.created) == ("for the build", "ops@example.com", NOW)
    assert (record.names_max, record.expiry, record.revoked) == (3, token.expiry, None)


@given(
    st.sampled_from(["a", "*", "team-*", "*-x"]),
    st.frozensets(st.sampled_from(EndpointKind), min_size=1),
    *[st.none() | st.integers(1, LIMIT_MAX)] * 3,
    st.integers(0, 253_402_300_799 - TTL_SECONDS_MAX),
)
def test_whatever_may_be_minted_fits_a_token(
    pattern: str,
    kinds: frozenset[EndpointKind],
    names: int | None,
    streams: int | None,
    sessions: int | None,
    now: int,
) -> None:
    asked = MintAsked(pattern, kinds, None, names, streams, sessions)
    done = decide_mint(ACCOUNT, asked, None, DEFAULT_LIMITS, UnixSeconds(now))
    assert isinstance(done, Success)
    token = token_of(value_of(done), key_id_of(public_key_of(KEY) or b""), TokenId(b"T" * 16))
    assert isinstance(encode_token(token, KEY), Success)


@pytest.mark.shows("TOKEN-MINT-003")
def test_only_a_pattern_of_one_name_is_somebodys() -> None:
    assert [name_of(text) for text in ("Demo", "*", "a-*", "*-a", "a_b")] == ["demo", None, None, None, None]


REFUSALS: Final[list[MintRefused]] = [
    Suspended("acme"),
    TtlOutside(301, 300),
    NoKind(),
    LimitOutside("names", 0, 9),
    LabelUnfit(101),
    NameOfAnother("demo"),
    BadPattern("a_b"),
]


def test_every_refusal_has_a_sentence_of_its_own() -> None:
    said = [describe(error) for error in REFUSALS]
    assert len(set(said)) == len(REFUSALS)
    assert all(sentence.endswith(".") for sentence in said)
    assert "5m" in said[1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15m", 900), ("2h", 7200), ("7d", 604_800), ("3650d", TTL_SECONDS_MAX), ("3651d", None)]
    + [(text, None) for text in ("", "0s", "5", "5w", "-5m", " 5m", "5m ", "5M", "1h30m", "é", "05m", "9999999999s")],
)
def test_times_to_live_as_people_write_them(text: str, seconds: int | None) -> None:
    assert ttl_of(text) == seconds


@given(st.integers(1, TTL_SECONDS_MAX))
def test_a_time_to_live_reads_back(seconds: int) -> None:
    assert ttl_of(ttl_text(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_time_to_live_or_not(text: str) -> None:
    seconds = ttl_of(text)
    assert seconds is None or 1 <= seconds <= TTL_SECONDS_MAX


def test_no_time_is_none() -> None:
    assert ttl_text(0) == "none"
