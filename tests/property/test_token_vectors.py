"""The token vectors of `spec/vectors/`, which another implementation can run, hold for this one.

Each case is a whole text with the time of its verification; accepted ones are also encoded again, byte for byte.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final, TypedDict

import pytest

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.token.codec import (
    NO_KEY,
    SEED_AT,
    encode_token,
    key_id_of,
    next_key,
    step_at,
    token_raw,
    token_text,
)
from tunnel.core.token.errors import (
    BadSignature,
    BrokenChain,
    Expired,
    NotYetValid,
    TokenError,
    TokenMalformed,
    UnknownKey,
)
from tunnel.core.token.narrow import Narrowing, narrow_token
from tunnel.core.token.rights import matches, pattern_of
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId, ids_of
from tunnel.core.token.verify import verify_token


class Fields(TypedDict):
    """The fields of an accepted token; bytes in hexadecimal."""

    key_id: str
    token_id: str
    account: str
    pattern: str
    kinds: list[str]
    names_max: int
    streams_max: int
    sessions_max: int
    not_before: int
    expiry: int
    chain: list[str]


class Case(TypedDict):
    """One text; `token` is there when `result` is `accepted`, `seeds` has what somebody could narrow it with."""

    name: str
    text: str
    now: int
    result: str
    token: Fields
    seeds: list[str | None]


class Match(TypedDict):
    """One pattern against one label."""

    pattern: str
    label: str
    matches: bool


class Vectors(TypedDict):
    """The whole file."""

    private_key: str
    public_key: str
    cases: list[Case]
    matches: list[Match]
    patterns: dict[str, list[str]]


FILE: Final = Path(__file__).parents[2] / "spec" / "vectors" / "token-cases.json"
VECTORS: Final[Vectors] = json.loads(FILE.read_text(encoding="utf-8"))
PUBLIC_KEY: Final = bytes.fromhex(VECTORS["public_key"])
WORDS: Final[dict[type[TokenError], str]] = {
    TokenMalformed: "malformed",
    UnknownKey: "unknown key",
    BadSignature: "bad signature",
    BrokenChain: "broken chain",
    NotYetValid: "not yet valid",
    Expired: "expired",
}


def verdict(text: str, now: int) -> Outcome[Token, TokenError]:
    raw = token_raw(text)
    if not isinstance(raw, Success):
        return raw
    return verify_token(value_of(raw), {key_id_of(PUBLIC_KEY): PUBLIC_KEY}, UnixSeconds(now))


def token_from(fields: Fields) -> Token:
    return Token(
        key_id=KeyId(bytes.fromhex(fields["key_id"])),
        token_id=TokenId(bytes.fromhex(fields["token_id"])),
        account=AccountId(bytes.fromhex(fields["account"])),
        pattern=NamePattern(fields["pattern"]),
        kinds=frozenset(EndpointKind[kind] for kind in fields["kinds"]),
        names_max=fields["names_max"],
        streams_max=fields["streams_max"],
        sessions_max=fields["sessions_max"],
        not_before=UnixSeconds(fields["not_before"]),
        expiry=UnixSeconds(fields["expiry"]),
    )


@pytest.mark.shows("TOKEN-VERIFY-001", "TOKEN-FORM-001", "TOKEN-SIGN-001", "TOKEN-TEXT-002")
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_each_text_has_its_verdict(case: Case) -> None:
    done = verdict(case["text"], case["now"])
    if not isinstance(done, Success):
        assert WORDS[type(error_of(done))] == case["result"]
        return
    assert case["result"] == "accepted"
    token = token_from(case["token"])
    assert replace(value_of(done), ancestors=()) == token
    assert [each.hex() for each in ids_of(value_of(done))] == case["token"]["chain"]
    if len(case["token"]["chain"]) == 1:
        seed = bytes.fromhex(next(iter(case["seeds"]), None) or "") or None
        again = encode_token(token, bytes.fromhex(VECTORS["private_key"]), seed)
        assert isinstance(again, Success)
        assert token_text(value_of(again)) == case["text"]


NARROWED: Final = [case for case in VECTORS["cases"] if len(case["seeds"]) > 1]


@pytest.mark.shows("TOKEN-CHAIN-001", "TOKEN-CHAIN-004")
@pytest.mark.parametrize("case", NARROWED, ids=lambda case: str(case["name"]))
def test_each_narrowed_text_can_be_made_from_the_one_before(case: Case) -> None:
    """The rights of the last step, asked for by the holder of the step before it, give the same text again."""
    done = token_raw(case["text"])
    assert isinstance(done, Success)
    raw, seeds = value_of(done), case["seeds"]
    for step, seed in enumerate(seeds):
        assert next_key(raw, step) == (NO_KEY if seed is None else public_key_of(bytes.fromhex(seed)))
    steps = len(seeds) - 1
    parent = raw[: step_at(steps)].ljust(SEED_AT, b"\0") + bytes.fromhex(seeds[-2] or "")
    token = token_from(case["token"])
    asked = Narrowing(
        token.pattern,
        token.kinds,
        token.names_max,
        token.streams_max,
        token.sessions_max,
        token.not_before,
        token.expiry,
    )
    last = seeds[-1]
    assert narrow_token(parent, asked, None if last is None else bytes.fromhex(last)) == Success(raw)


@pytest.mark.shows("TOKEN-VERIFY-001")
def test_every_verdict_has_a_vector() -> None:
    assert {case["result"] for case in VECTORS["cases"]} == {*WORDS.values(), "accepted"}


@pytest.mark.shows("TOKEN-NAME-001", "TOKEN-NAME-002")
def test_patterns_and_matches() -> None:
    for text in VECTORS["patterns"]["accepted"]:
        assert pattern_of(text) == Success(text)
    for text in VECTORS["patterns"]["refused"]:
        assert not isinstance(pattern_of(text), Success)
    for match in VECTORS["matches"]:
        assert matches(NamePattern(match["pattern"]), Label(match["label"])) is match["matches"]
