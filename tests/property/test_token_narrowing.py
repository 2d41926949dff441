"""Narrowing a token: nothing is ever added, no step is ever undone, and what is narrowed still counts for its parents.

A small lattice of rights is walked whole: each token in it is narrowed to each other, and what comes out is compared
with the rights themselves, asked one question at a time. Then the attacks: bytes are altered, cut, moved and spliced by
somebody who holds narrowed tokens, and secrets of their own, but not the one secret that each attack would need.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of, signature_of
from tunnel.core.directory.decisions import may_open
from tunnel.core.directory.directory import Directory
from tunnel.core.token.block import rights_bytes
from tunnel.core.token.codec import (
    MINTED_BYTES,
    NO_KEY,
    SEED_AT,
    STEP_BYTES,
    decode_chain,
    decode_token,
    encode_token,
    key_id_of,
    next_key,
    step_at,
    step_signed_part,
)
from tunnel.core.token.errors import BrokenChain, PartUnfit, Sealed, TokenMalformed, TokenPart, WouldWiden
from tunnel.core.token.explain import describe, explain_raw
from tunnel.core.token.narrow import Narrowing, narrow_token
from tunnel.core.token.rights import covers, matches, permits
from tunnel.core.token.token import (
    STEPS_MAX,
    TOKEN_BYTES,
    AccountId,
    Bound,
    EndpointKind,
    NamePattern,
    Token,
    TokenId,
    bounds_of,
    ids_of,
)
from tunnel.core.token.verify import verify_token

SERVER_KEY: Final = bytes(range(32))
SERVER_PUBLIC: Final = public_key_of(SERVER_KEY) or b""
KEYS: Final[dict[bytes, bytes]] = {key_id_of(SERVER_PUBLIC): SERVER_PUBLIC}
SEEDS: Final = [bytes((200 * number + 7 * at + 3) & 0xFF for at in range(32)) for number in range(1, 6)]
HTTP: Final = EndpointKind.HTTP
NOW: Final = UnixSeconds(150)

MINTED: Final = Token(
    key_id=key_id_of(SERVER_PUBLIC),
    token_id=TokenId(b"T" * 16),
    account=AccountId(b"A" * 16),
    pattern=NamePattern("*"),
    kinds=frozenset(EndpointKind),
    names_max=9,
    streams_max=9,
    sessions_max=9,
    not_before=UnixSeconds(100),
    expiry=UnixSeconds(200),
)


def minted(token: Token = MINTED, seed: bytes | None = SEEDS[0]) -> bytes:
    made = encode_token(token, SERVER_KEY, seed)
    assert isinstance(made, Success)
    return value_of(made)


def narrowed(raw: bytes, asked: Narrowing, seed: bytes | None) -> bytes:
    made = narrow_token(raw, asked, seed)
    assert isinstance(made, Success)
    return value_of(made)


def believed(raw: bytes, now: int = NOW) -> Token:
    verified = verify_token(raw, KEYS, UnixSeconds(now))
    assert isinstance(verified, Success), error_of(verified)
    return value_of(verified)


ONE: Final = narrowed(minted(), Narrowing(pattern=NamePattern("a-*")), SEEDS[1])
TWO: Final = narrowed(ONE, Narrowing(names_max=2), SEEDS[2])
THREE: Final = narrowed(TWO, Narrowing(pattern=NamePattern("a-b"), kinds=frozenset({HTTP})), SEEDS[3])


def block(raw: bytes, step: int) -> bytes:
    return raw[step_at(step) : step_at(step + 1)]


def with_blocks(raw: bytes, *blocks: bytes, seed: bytes) -> bytes:
    """The minted block of `raw`, then these, then as many empty ones as there is room for, then a secret."""
    steps = b"".join(blocks)
    return raw[:MINTED_BYTES] + steps + bytes(STEPS_MAX * STEP_BYTES - len(steps)) + seed


# Names.

LETTERS: Final = "ab-"


def labels(longest: int) -> Iterator[str]:
    for length in range(1, longest + 1):
        for letters in product(LETTERS, repeat=length):
            text = "".join(letters)
            if text == text.strip("-"):
                yield text


@pytest.mark.shows("TOKEN-NAME-003")
def test_a_pattern_covers_another_exactly_when_it_allows_every_label_of_it() -> None:
    """All pairs of patterns over two letters and the hyphen, against all labels up to two characters longer."""
    short = list(labels(2))
    patterns = [NamePattern(text) for name in short for text in (name, f"*-{name}", f"{name}-*")]
    patterns.append(NamePattern("*"))
    universe = [Label(text) for text in labels(6)]
    allowed = {pattern: {label for label in universe if matches(pattern, label)} for pattern in patterns}
    wrong = [
        (outer, inner)
        for outer, inner in product(patterns, patterns)
        if covers(outer, inner) != (allowed[inner] <= allowed[outer])
    ]
    assert not wrong


@pytest.mark.shows("TOKEN-NAME-003")
@given(st.data())
def test_what_a_covered_pattern_allows_is_allowed(data: st.DataObject) -> None:
    names = st.from_regex(r"[ab]([ab-]{0,4}[ab])?", fullmatch=True)
    pattern = names.flatmap(lambda name: st.sampled_from([name, "*", f"*-{name}", f"{name}-*"]))
    outer, inner = NamePattern(data.draw(pattern)), NamePattern(data.draw(pattern))
    label = Label(data.draw(names))
    if covers(outer, inner) and matches(inner, label):
        assert matches(outer, label)


# The lattice.

PATTERNS: Final = [NamePattern(text) for text in ("*", "a-*", "a-b-*", "*-b", "a-b", "b")]
KIND_SETS: Final = [frozenset({HTTP}), frozenset({EndpointKind.TCP}), frozenset({HTTP, EndpointKind.TCP})]
TIMES: Final = [(100, 200), (100, 150), (150, 200), (120, 130), (90, 200), (100, 201)]
ASKED: Final = [
    (kind, Label(name), UnixSeconds(now))
    for kind in EndpointKind
    for name in ("a", "b", "a-b", "a-x", "a-b-c", "x-b")
    for now in (90, 100, 125, 149, 150, 199, 200)
]


def rights(token: Token) -> frozenset[tuple[EndpointKind, Label, UnixSeconds]]:
    """Everything that the token allows of what is asked here."""
    return frozenset(each for each in ASKED if isinstance(permits(token, *each), Success))


@pytest.mark.shows("TOKEN-CHAIN-001", "TOKEN-CHAIN-002")
@pytest.mark.parametrize("outer_times", TIMES[:4])
@pytest.mark.parametrize("outer_pattern", PATTERNS)
def test_narrowing_never_adds_a_right(outer_pattern: NamePattern, outer_times: tuple[int, int]) -> None:
    """Every token of the lattice is asked to become every other: it does so exactly when that has no right more."""
    since, until = outer_times
    for outer_kinds in KIND_SETS:
        outer = replace(
            MINTED,
            pattern=outer_pattern,
            kinds=outer_kinds,
            not_before=UnixSeconds(since),
            expiry=UnixSeconds(until),
        )
        raw, may = minted(outer), rights(outer)
        for pattern, kinds, (begin, end) in product(PATTERNS, KIND_SETS, TIMES):
            asked = Narrowing(pattern, kinds, not_before=UnixSeconds(begin), expiry=UnixSeconds(end))
            wanted = replace(
                outer, pattern=pattern, kinds=kinds, not_before=UnixSeconds(begin), expiry=UnixSeconds(end)
            )
            made = narrow_token(raw, asked, None)
            adds = not (covers(outer_pattern, pattern) and kinds <= outer_kinds and since <= begin < end <= until)
            assert isinstance(made, Failure) == adds
            if isinstance(made, Success):
                decoded = decode_token(value_of(made))
                assert isinstance(decoded, Success)
                assert rights(value_of(decoded)) == rights(wanted) <= may


@st.composite
def narrowings(draw: st.DrawFn) -> Narrowing:
    limits = st.none() | st.integers(0, 10)
    return Narrowing(
        pattern=draw(st.none() | st.sampled_from(PATTERNS)),
        kinds=draw(st.none() | st.sampled_from([*KIND_SETS, frozenset[EndpointKind]()])),
        names_max=draw(limits),
        streams_max=draw(limits),
        sessions_max=draw(limits),
        not_before=draw(st.none() | st.integers(95, 160).map(UnixSeconds)),
        expiry=draw(st.none() | st.integers(140, 205).map(UnixSeconds)),
    )


@pytest.mark.shows("TOKEN-CHAIN-001", "TOKEN-CHAIN-002", "TOKEN-CHAIN-003", "TOKEN-FORM-001")
@given(st.lists(narrowings(), min_size=1, max_size=5))
def test_any_chain_of_narrowings_only_takes_away(chain: list[Narrowing]) -> None:
    """Whatever is asked, in any order, even of a narrowed token: each token made is believed and has no right more."""
    raw, token = minted(), MINTED
    for number, asked in enumerate(chain):
        made = narrow_token(raw, asked, SEEDS[number % len(SEEDS)])
        if isinstance(made, Success):
            raw = value_of(made)
            assert len(raw) == TOKEN_BYTES
            decoded = decode_token(raw)
            assert isinstance(decoded, Success)
            inner = value_of(decoded)
            assert believed(raw, inner.not_before) == inner
            assert rights(inner) <= rights(token)
            assert inner.ancestors == bounds_of(token)
            limits = [(bound.names_max, bound.streams_max, bound.sessions_max) for bound in bounds_of(inner)]
            assert limits == sorted(limits, reverse=True)
            assert inner.account == MINTED.account
            token = inner
    assert len(token.ancestors) <= STEPS_MAX


@pytest.mark.shows("TOKEN-CHAIN-002")
@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (Narrowing(pattern=NamePattern("*")), WouldWiden(TokenPart.PATTERN)),
        (Narrowing(pattern=NamePattern("b")), WouldWiden(TokenPart.PATTERN)),
        (Narrowing(names_max=10), WouldWiden(TokenPart.LIMITS)),
        (Narrowing(streams_max=10), WouldWiden(TokenPart.LIMITS)),
        (Narrowing(sessions_max=10), WouldWiden(TokenPart.LIMITS)),
        (Narrowing(not_before=UnixSeconds(99)), WouldWiden(TokenPart.TIMES)),
        (Narrowing(expiry=UnixSeconds(201)), WouldWiden(TokenPart.TIMES)),
        (Narrowing(names_max=0), PartUnfit(TokenPart.LIMITS)),
        (Narrowing(kinds=frozenset()), PartUnfit(TokenPart.KINDS)),
        (Narrowing(pattern=NamePattern("A")), PartUnfit(TokenPart.PATTERN)),
        (Narrowing(expiry=UnixSeconds(100)), PartUnfit(TokenPart.TIMES)),
    ],
)
def test_what_would_add_a_right_is_refused_and_never_clamped(asked: Narrowing, error: WouldWiden | PartUnfit) -> None:
    assert narrow_token(ONE, asked, SEEDS[2]) == Failure(error)


@pytest.mark.shows("TOKEN-CHAIN-002")
def test_a_kind_that_was_given_up_does_not_come_back() -> None:
    only_http = narrowed(minted(), Narrowing(kinds=frozenset({HTTP})), SEEDS[1])
    every = Narrowing(kinds=frozenset(EndpointKind))
    assert narrow_token(only_http, every, SEEDS[2]) == Failure(WouldWiden(TokenPart.KINDS))


@pytest.mark.shows("TOKEN-CHAIN-003")
def test_after_the_last_step_and_after_sealing_nobody_narrows() -> None:
    assert next_key(THREE, 3) == NO_KEY == THREE[SEED_AT:]
    assert narrow_token(THREE, Narrowing(), SEEDS[4]) == Failure(Sealed(3))
    assert narrow_token(minted(seed=None), Narrowing(), SEEDS[4]) == Failure(Sealed(0))
    assert narrow_token(narrowed(ONE, Narrowing(), None), Narrowing(), SEEDS[4]) == Failure(Sealed(2))


def test_what_is_no_token_or_lacks_its_secret_is_not_narrowed() -> None:
    assert narrow_token(b"", Narrowing(), None) == Failure(TokenMalformed(TokenPart.LENGTH, 0))
    assert narrow_token(ONE[:SEED_AT] + SEEDS[0], Narrowing(), None) == Failure(BrokenChain(2))
    assert narrow_token(ONE, Narrowing(), b"short") == Failure(PartUnfit(TokenPart.SEED))


# Attacks.


def forged_step(raw: bytes, step: int, rights_of: Token, *, signer: bytes, seed: bytes) -> bytes:
    """`raw` with a step that was not checked by `narrow_token`, signed with `signer`; then the token ends."""
    at = step_at(step)
    body = raw[:at] + rights_bytes(rights_of) + (public_key_of(seed) or b"")
    signature = signature_of(signer, step_signed_part(body, at)) or b""
    return (body + signature).ljust(SEED_AT, b"\0") + seed


@pytest.mark.shows("TOKEN-CHAIN-004")
@given(st.sampled_from([ONE, TWO, THREE]), st.integers(0, TOKEN_BYTES * 8 - 1))
def test_no_single_bit_of_a_narrowed_token_can_change(raw: bytes, bit: int) -> None:
    damaged = bytearray(raw)
    damaged[bit >> 3] ^= 1 << (bit & 7)
    assert isinstance(verify_token(bytes(damaged), KEYS, NOW), Failure)


@pytest.mark.shows("TOKEN-CHAIN-004")
def test_no_step_can_be_taken_back() -> None:
    """Who holds the third token cuts steps off, and offers every secret that they have, and the one they were given."""
    secrets = [THREE[SEED_AT:], TWO[SEED_AT:], SEEDS[4]]
    for secret in [THREE[SEED_AT:], SEEDS[4]]:
        cut = [with_blocks(THREE, seed=secret), with_blocks(THREE, block(THREE, 1), seed=secret)]
        for raw in cut:
            assert isinstance(verify_token(raw, KEYS, NOW), Failure)
    # From the second token, whose secret goes one step on, there is no way back to the first either.
    for secret in secrets:
        assert verify_token(with_blocks(TWO, block(TWO, 1), seed=secret), KEYS, NOW) == Failure(BrokenChain(2))
        assert verify_token(with_blocks(TWO, seed=secret), KEYS, NOW) == Failure(BrokenChain(1))
    assert believed(with_blocks(TWO, block(TWO, 1), seed=SEEDS[1])) == believed(ONE)  # the one secret that would do


@pytest.mark.shows("TOKEN-CHAIN-004")
def test_no_step_can_be_left_out_or_moved() -> None:
    blocks = [block(THREE, step) for step in (1, 2, 3)]
    orders = [order for size in (1, 2, 3) for order in permutations(blocks, size) if order != tuple(blocks)]
    for order in orders:
        for secret in (NO_KEY, *SEEDS):
            raw = with_blocks(THREE, *order, seed=secret)
            is_prefix = list(order) == blocks[: len(order)] and secret == SEEDS[len(order)]
            assert isinstance(verify_token(raw, KEYS, NOW), Success) == is_prefix


@pytest.mark.shows("TOKEN-CHAIN-004")
def test_steps_of_two_tokens_do_not_mix() -> None:
    """Not even when both were made with the same secrets: each step is signed over all that stands before it."""
    other = minted(replace(MINTED, token_id=TokenId(b"U" * 16)))
    spliced = with_blocks(other, block(ONE, 1), seed=SEEDS[1])
    assert verify_token(spliced, KEYS, NOW) == Failure(BrokenChain(1))
    sibling = narrowed(minted(), Narrowing(pattern=NamePattern("b")), SEEDS[1])
    crossed = with_blocks(TWO, block(sibling, 1), block(TWO, 2), seed=SEEDS[2])
    assert isinstance(verify_token(crossed, KEYS, NOW), Failure)


@pytest.mark.shows("TOKEN-CHAIN-002", "TOKEN-CHAIN-004")
@pytest.mark.parametrize(
    "wider",
    [
        replace(MINTED, pattern=NamePattern("*")),
        replace(MINTED, pattern=NamePattern("a-*"), names_max=10),
        replace(MINTED, pattern=NamePattern("a-*"), expiry=UnixSeconds(201)),
    ],
)
def test_a_step_that_adds_a_right_is_refused_whoever_signed_it(wider: Token) -> None:
    """Signed rightly, with the secret that the holder has: the form itself refuses it."""
    raw = forged_step(ONE, 2, wider, signer=SEEDS[1], seed=SEEDS[2])
    assert verify_token(raw, KEYS, NOW) == Failure(TokenMalformed(TokenPart.WIDER, 2))


@pytest.mark.shows("TOKEN-CHAIN-004")
@pytest.mark.parametrize("signer", [SEEDS[0], SEEDS[2], SEEDS[4], SERVER_KEY])
def test_a_step_signed_by_another_key_is_refused(signer: bytes) -> None:
    """Also by the parent's, and by the server's own: a step is the holder's word."""
    token = replace(MINTED, pattern=NamePattern("a-*"), names_max=1)
    raw = forged_step(ONE, 2, token, signer=signer, seed=SEEDS[2])
    assert verify_token(raw, KEYS, NOW) == Failure(BrokenChain(2))


@pytest.mark.shows("TOKEN-CHAIN-003")
def test_what_stands_behind_a_sealed_block_or_a_gap_is_refused() -> None:
    token = replace(MINTED, pattern=NamePattern("a-b"), names_max=1)
    for step, raw in ((1, minted(seed=None)), (3, narrowed(ONE, Narrowing(), None)), (3, ONE)):
        forged = forged_step(raw, step, token, signer=NO_KEY, seed=SEEDS[2])
        assert decode_token(forged) == Failure(TokenMalformed(TokenPart.STEPS, step))


@pytest.mark.shows("TOKEN-CHAIN-003")
def test_the_last_step_names_nobody_to_go_on() -> None:
    token = replace(MINTED, pattern=NamePattern("a-b"), names_max=1)
    raw = forged_step(TWO, 3, token, signer=SEEDS[2], seed=SEEDS[3])
    assert verify_token(raw, KEYS, NOW) == Failure(TokenMalformed(TokenPart.STEPS, 3))


@pytest.mark.shows("TOKEN-CHAIN-005")
def test_a_stranger_costs_one_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are looked at only behind a block of the server's own; and never more than there is room for."""
    asked: list[bytes] = []

    class Counted:
        @staticmethod
        def from_public_bytes(key: bytes) -> Ed25519PublicKey:
            asked.append(key)
            return Ed25519PublicKey.from_public_bytes(key)

    monkeypatch.setattr("tunnel.core.base.partial.Ed25519PublicKey", Counted)
    forged = THREE[:159] + bytes(64) + THREE[MINTED_BYTES:]
    assert isinstance(verify_token(forged, KEYS, NOW), Failure)
    assert asked == [SERVER_PUBLIC]
    asked.clear()
    assert isinstance(verify_token(THREE, KEYS, NOW), Success)
    assert len(asked) == 1 + STEPS_MAX


# Identity.


@pytest.mark.shows("TOKEN-CHAIN-006")
def test_each_step_has_an_id_and_knows_those_before_it() -> None:
    ids = [believed(raw).token_id for raw in (minted(), ONE, TWO, THREE)]
    assert ids[0] == MINTED.token_id
    assert len(set(ids)) == 4
    assert ids_of(believed(THREE)) == tuple(ids)
    assert all(len(each) == 16 for each in ids)
    chain = decode_chain(THREE)
    assert isinstance(chain, Success)
    assert [*value_of(chain).before, value_of(chain).token] == [believed(raw) for raw in (minted(), ONE, TWO, THREE)]


@pytest.mark.shows("TOKEN-CHAIN-006", "TOKEN-MINT-005")
def test_revoking_any_of_a_chain_revokes_what_follows_and_nothing_before() -> None:
    chain = [believed(raw) for raw in (minted(), ONE, TWO, THREE)]
    sibling = believed(narrowed(minted(), Narrowing(), SEEDS[3]))
    for number, revoked in enumerate(chain):
        directory = Directory(revoked=frozenset({revoked.token_id}))
        served = [isinstance(may_open(directory, token), Success) for token in chain]
        assert served == [step < number for step in range(4)]
        assert isinstance(may_open(directory, sibling), Success) == (number > 0)


@pytest.mark.shows("TOKEN-CHAIN-006")
def test_two_equal_narrowings_are_two_tokens_when_their_secrets_differ() -> None:
    twins = [believed(narrowed(minted(), Narrowing(names_max=1), seed)).token_id for seed in (SEEDS[1], SEEDS[2])]
    assert twins[0] != twins[1]
    assert bounds_of(believed(ONE))[0] == Bound(MINTED.token_id, 9, 9, 9)


# Words.


@pytest.mark.shows("TOKEN-WORDS-003")
def test_an_explanation_shows_the_chain() -> None:
    ids = [each.hex() for each in ids_of(believed(THREE))]
    nines, times = "9 names; 9 links; 9 streams", "from 1970-01-01 00:01:40 UTC; until 1970-01-01 00:03:20 UTC"
    lines = explain_raw(THREE, NOW)
    assert isinstance(lines, Success)
    assert value_of(lines) == [
        "Allows HTTP endpoints under the name `a-b`.",
        "At once: 2 names, 9 links, 9 streams; the server's own limits apply too.",
        "Valid from 1970-01-01 00:01:40 UTC until 1970-01-01 00:03:20 UTC: expires in 50 seconds.",
        f"Token {ids[3]} of account {'41' * 16}, signed by key {MINTED.key_id.hex()}.",
        f"Minted as token {ids[0]}: HTTP, TCP, TLS; any one name; {nines}; {times}.",
        f"Narrowed, step 1, to token {ids[1]}: any name that begins with `a-`.",
        f"Narrowed, step 2, to token {ids[2]}: 2 names.",
        f"Narrowed, step 3, to token {ids[3]}: HTTP; the name `a-b`.",
        "It is sealed: nobody can narrow it.",
        "The signature was not checked; only a server that knows the key can do that.",
    ]


@pytest.mark.shows("TOKEN-WORDS-003")
def test_an_explanation_says_how_often_it_can_be_narrowed() -> None:
    told = [explain_raw(raw, NOW) for raw in (minted(), TWO, narrowed(ONE, Narrowing(), None))]
    assert [value_of(each)[-2] for each in told if isinstance(each, Success)] == [
        "Its holder can narrow it 3 more times, without the server.",
        "Its holder can narrow it 1 more time, without the server.",
        "It is sealed: nobody can narrow it.",
    ]
    last = told[2]
    assert isinstance(last, Success)
    assert value_of(last)[6].endswith(": all as before.")
    assert explain_raw(b"", NOW) == Failure(TokenMalformed(TokenPart.LENGTH, 0))


@pytest.mark.shows("TOKEN-WORDS-002")
def test_no_words_hold_a_byte_of_a_secret() -> None:
    said = ""
    for raw in (minted(), ONE, TWO, THREE):
        lines = explain_raw(raw, NOW)
        assert isinstance(lines, Success)
        said += "".join(value_of(lines)) + repr(believed(raw)) + repr(decode_chain(raw))
        for cut in (raw[:-1], raw[:SEED_AT] + SEEDS[4]):
            verified = verify_token(cut, KEYS, NOW)
            assert isinstance(verified, Failure)
            said += repr(verified) + describe(error_of(verified))
    for seed in SEEDS[:3]:
        assert not [at for at in range(28) if seed[at : at + 4].hex() in said or repr(seed[at : at + 4])[2:-1] in said]
