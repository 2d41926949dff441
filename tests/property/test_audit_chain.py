"""The chain of the audit trail: every fact counts, texts come back as they were stored, checkpoints sign all they say.

Facts are drawn with texts of any characters, NUL and lone surrogates among them; the digest is compared with one that
is put together here by the words of spec/audit.md.
"""

import dataclasses
import json
from hashlib import sha256
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_holds, checkpoint_of
from tunnel.core.audit.entry import (
    CHANGE_CHARS_MAX,
    GENESIS,
    NAME_CHARS_MAX,
    NUMBER_MAX,
    WORD_CHARS_MAX,
    AuditEntry,
    AuditFacts,
    ChainHead,
    Plain,
    change_text,
    next_entry,
    storable_facts,
)
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.act import Act
from tunnel.core.token.token import AccountId

KEY: Final = bytes(range(32))
ANY_TEXT: Final = st.text(st.characters(codec=None, exclude_categories=()), max_size=80)
DIGESTS: Final = st.binary(min_size=32, max_size=32)
PLAIN: Final = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), 1 << 63), st.text())


@st.composite
def facts(draw: st.DrawFn) -> AuditFacts:
    return AuditFacts(
        Act(draw(ANY_TEXT), draw(ANY_TEXT), draw(ANY_TEXT), draw(ANY_TEXT)),
        draw(ANY_TEXT),
        draw(ANY_TEXT),
        draw(st.none() | st.binary(min_size=16, max_size=16).map(AccountId)),
        draw(ANY_TEXT),
        draw(ANY_TEXT),
        UnixSeconds(draw(st.integers(0, NUMBER_MAX))),
    )


def by_the_words(entry: AuditEntry) -> bytes:
    """The digest as the specification words it."""
    act, held = entry.facts.act, entry.facts
    parts = [held.action, held.subject, held.account, act.identity, act.address, act.key, act.request, held.before]
    hashed = b"tunnel/audit/1\0" + entry.previous + entry.number.to_bytes(8, "big") + held.at.to_bytes(8, "big")
    for part in [*parts, held.after]:
        data = part.encode() if isinstance(part, str) else part or b""
        hashed += len(data).to_bytes(4, "big") + data
    return sha256(hashed).digest()


@pytest.mark.shows("AUDIT-CHAIN-001", "AUDIT-CHAIN-002")
@given(st.lists(facts(), min_size=1, max_size=5))
def test_a_chain_has_the_numbers_and_digests_of_the_specification(several: list[AuditFacts]) -> None:
    head = GENESIS
    for number, one in enumerate(several, 1):
        entry = next_entry(head, one)
        assert (entry.number, entry.previous) == (number, head.digest)
        assert entry.digest == by_the_words(entry)
        head = entry.head
    assert ChainHead(0, bytes(32)) == GENESIS


def texts_moved(one: AuditFacts) -> list[AuditFacts]:
    """Facts in which a text stands next to where it stood: what a digest without lengths would take for the same."""
    act = one.act
    return [
        dataclasses.replace(one, action=one.subject, subject=one.action),
        dataclasses.replace(one, action=one.action + one.subject, subject=""),
        dataclasses.replace(one, before=one.after, after=one.before),
        dataclasses.replace(one, act=dataclasses.replace(act, identity=act.address, address=act.identity)),
        dataclasses.replace(one, act=dataclasses.replace(act, key=act.key + act.request, request="")),
        dataclasses.replace(one, account=None if one.account else AccountId(bytes(16))),
        dataclasses.replace(one, at=UnixSeconds(one.at ^ 1)),
    ]


@pytest.mark.shows("AUDIT-CHAIN-003")
@given(facts(), facts(), DIGESTS, DIGESTS, st.integers(0, NUMBER_MAX - 2))
def test_entries_that_differ_have_different_digests(
    one: AuditFacts, other: AuditFacts, head: bytes, other_head: bytes, number: int
) -> None:
    entry = next_entry(ChainHead(number, head), one)
    for changed in [other, *texts_moved(one)]:
        again = next_entry(ChainHead(number, head), changed)
        assert (again.digest == entry.digest) == (storable_facts(changed) == storable_facts(one))
    assert next_entry(ChainHead(number + 1, head), one).digest != entry.digest
    assert (next_entry(ChainHead(number, other_head), one).digest == entry.digest) == (head == other_head)


@pytest.mark.shows("AUDIT-CHAIN-004")
@given(facts())
@example(AuditFacts(Act("\x00", "\ud800", "é\udfff", ""), "a" * 65, "b" * 321, None, "", "", UnixSeconds(0)))
def test_facts_are_stored_as_they_come_back(one: AuditFacts) -> None:
    held = next_entry(GENESIS, one).facts
    assert storable_facts(held) == held
    texts = [held.action, held.subject, held.before, held.after]
    texts += [held.act.identity, held.act.address, held.act.key, held.act.request]
    for text in texts:
        assert "\x00" not in text
        assert text.encode().decode() == text
    assert len(held.action) <= WORD_CHARS_MAX
    assert len(held.subject) <= NAME_CHARS_MAX


@pytest.mark.shows("AUDIT-CHAIN-004")
@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_a_change_too_long_to_keep_is_kept_as_its_digest(character: str) -> None:
    fits = character * CHANGE_CHARS_MAX
    act = Act("", "", "", "")
    held = storable_facts(AuditFacts(act, "", "", None, fits, fits + character, UnixSeconds(-1)))
    whole = (fits + character).encode()
    assert held.before == fits
    assert json.loads(held.after) == {"bytes": len(whole), "sha256": sha256(whole).hexdigest()}
    assert held.at == 0


@pytest.mark.shows("AUDIT-CHAIN-005")
@given(st.dictionaries(st.text(), PLAIN, max_size=5))
def test_a_change_is_one_json_object(fields: dict[str, Plain]) -> None:
    text = change_text(list(fields.items()))
    assert json.loads(text) == fields
    assert text == json.dumps(fields, separators=(",", ":"))


def changed_checkpoints(point: Checkpoint, bit: int) -> list[Checkpoint]:
    """The checkpoint with one bit of each of its fields turned."""

    def turned(data: bytes) -> bytes:
        at = bit % (8 * len(data))
        return bytes(byte ^ (1 << at % 8 if place == at // 8 else 0) for place, byte in enumerate(data))

    return [
        dataclasses.replace(point, number=point.number ^ (1 << bit % 63)),
        dataclasses.replace(point, before=point.before ^ (1 << bit % 63)),
        dataclasses.replace(point, at=UnixSeconds(point.at ^ (1 << bit % 63))),
        dataclasses.replace(point, digest=turned(point.digest)),
        dataclasses.replace(point, key=turned(point.key)),
        dataclasses.replace(point, signature=turned(point.signature)),
    ]


@pytest.mark.shows("AUDIT-POINT-001", "AUDIT-POINT-002")
@given(DIGESTS, st.integers(1, NUMBER_MAX), st.integers(0, NUMBER_MAX), st.integers(0, NUMBER_MAX), st.integers(0, 511))
def test_a_checkpoint_signs_all_that_it_says(digest: bytes, number: int, before: int, at: int, bit: int) -> None:
    point = checkpoint_of(ChainHead(number, digest), before, UnixSeconds(at), KEY)
    assert point is not None
    assert checkpoint_holds(point)
    assert (point.number, point.digest, point.before, point.at) == (number, digest, before, at)
    assert not any(checkpoint_holds(changed) for changed in changed_checkpoints(point, bit))


@pytest.mark.shows("AUDIT-POINT-001")
def test_a_checkpoint_is_that_of_the_specification() -> None:
    point = checkpoint_of(ChainHead(7, b"\x11" * 32), 3, UnixSeconds(1_795_370_000), KEY)
    assert point is not None
    private = Ed25519PrivateKey.from_private_bytes(KEY)
    signed = b"tunnel/audit-checkpoint/1\0" + (7).to_bytes(8, "big") + b"\x11" * 32 + (3).to_bytes(8, "big")
    signed += (1_795_370_000).to_bytes(8, "big")
    assert point.signature == private.sign(signed)
    assert checkpoint_of(ChainHead(7, b"\x11" * 32), 3, UnixSeconds(0), KEY[1:]) is None
