"""One entry of the audit trail and the hash chain it stands in (AUDIT-CHAIN).

What is hashed, in this order; numbers are big-endian, a text is four bytes of length and its UTF-8:

    `tunnel/audit/1` NUL | digest of the entry before 32 | number 8 | at 8
    | action | subject | account (0 or 16 bytes) | identity | address | key | request | before | after
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.partial import json_string, sha256_digest, storable_text, uint_bytes, utf8_bytes
from tunnel.core.control.act import Act
from tunnel.core.token.token import AccountId

DIGEST_BYTES: Final = 32
CONTEXT: Final = b"tunnel/audit/1\x00"
"""Hashed in front of every entry, so that its digest is that of nothing else."""

WORD_CHARS_MAX: Final = 64
"""An action, an address, a key's public part, a request ID."""
NAME_CHARS_MAX: Final = 320
"""A subject or an identity: an e-mail address has at most 254 characters, an OIDC issuer and subject a few more."""
CHANGE_CHARS_MAX: Final = 16 * 1024
"""What stood before, or after. An account, a key or a plan is a few hundred; a longer one is kept as its digest."""
NUMBER_MAX: Final = (1 << 63) - 1
"""The largest number that both databases hold; a thousand entries a second reach it in 290 million years."""

Plain: TypeAlias = str | int | bool | None
"""What a field of a change may be."""


@final
@dataclass(frozen=True, slots=True)
class AuditFacts:
    """Who did what to whom, from where and when. `before` and `after` are JSON (`change_text`), "" for nothing."""

    act: Act
    action: str
    subject: str
    account: AccountId | None
    before: str
    after: str
    at: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain has got to: the number of its last entry and that entry's digest."""

    number: int
    digest: bytes


GENESIS: Final = ChainHead(0, uint_bytes(0, DIGEST_BYTES))
"""The head of an empty chain."""


@final
@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Facts in their place in the chain. `previous` is the digest of the entry before it; numbers have no gaps."""

    number: int
    facts: AuditFacts
    previous: bytes
    digest: bytes

    @property
    def head(self) -> ChainHead:
        """Where a chain has got to that ends with this entry."""
        return ChainHead(self.number, self.digest)


def next_entry(last: ChainHead, facts: AuditFacts) -> AuditEntry:
    """The entry that follows `last`. Its own `facts` are to be stored: texts in them are cut and cleaned to fit."""
    held = storable_facts(facts)
    number = last.number + 1
    return AuditEntry(number, held, last.digest, digest_of(last.digest, number, held))


def digest_of(previous: bytes, number: int, facts: AuditFacts) -> bytes:
    """The digest that an entry with this number and these storable facts has after `previous`."""
    act = facts.act
    account = b"" if facts.account is None else facts.account
    texts = (act.identity, act.address, act.key, act.request, facts.before, facts.after)
    return sha256_digest(
        b"".join(
            [
                CONTEXT,
                previous,
                uint_bytes(number, 8),
                uint_bytes(facts.at, 8),
                _measured(utf8_bytes(facts.action)),
                _measured(utf8_bytes(facts.subject)),
                _measured(account),
                *[_measured(utf8_bytes(text)) for text in texts],
            ]
        )
    )


def storable_facts(facts: AuditFacts) -> AuditFacts:
    """The facts as every database can hold them and give them back; those that are already so are returned equal."""
    act = facts.act
    return AuditFacts(
        Act(
            storable_text(act.identity, NAME_CHARS_MAX),
            storable_text(act.address, WORD_CHARS_MAX),
            storable_text(act.key, WORD_CHARS_MAX),
            storable_text(act.request, WORD_CHARS_MAX),
        ),
        storable_text(facts.action, WORD_CHARS_MAX),
        storable_text(facts.subject, NAME_CHARS_MAX),
        facts.account,
        _held_change(facts.before),
        _held_change(facts.after),
        UnixSeconds(min(max(facts.at, 0), NUMBER_MAX)),
    )


def change_text(fields: Sequence[tuple[str, Plain]]) -> str:
    """A JSON object of `fields` in their order, without spaces: the one form of what stood before and after."""
    return "{" + ",".join([f"{json_string(name)}:{_plain_text(value)}" for name, value in fields]) + "}"


def _plain_text(value: Plain) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json_string(value) if isinstance(value, str) else str(value)


def _held_change(text: str) -> str:
    """The text, or what identifies it: a change too long to keep can still be compared with a copy."""
    held = storable_text(text, CHANGE_CHARS_MAX)
    if len(text) <= CHANGE_CHARS_MAX:
        return held
    whole = utf8_bytes(text)
    return change_text((("bytes", len(whole)), ("sha256", sha256_digest(whole).hex())))


def _measured(data: bytes) -> bytes:
    return uint_bytes(len(data), 4) + data
