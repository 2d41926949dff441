r"""A directory as bytes, and back: one encoding per value, closed by a digest that finds damage (ADR 0064).

     0  "tnldir1\n" 8 | number 8 | made at 8 | month 8
    32  how many tokens 4, names 4, accounts 4
        revoked tokens, 16 each
        reserved names: length 1, the label, its account 16
        accounts, 73 each: account 16 | suspended 1 | default exposure 8 | longest exposure 8 | endpoints 4 |
            requests a month 8 | bytes a month 8 | requests a second 4 | requests used 8 | bytes used 8
        SHA-256 of all that is before it, 32

Each list rises strictly by its first field. Numbers are big-endian.

A process reads a directory each ten seconds, and most of it is what it was (ADR 0097): of the one before it keeps what
tells that a list is the same, and then the list itself is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import ascii_bytes, ascii_text, sha256_digest, uint_at, uint_bytes, whole_match
from tunnel.core.directory.directory import (
    ACCOUNTS_MAX,
    COUNT_MAX,
    NAMES_MAX,
    REVOKED_MAX,
    UNTOLD,
    AccountFacts,
    Directory,
    Quota,
)
from tunnel.core.directory.errors import Damaged, DirectoryError, NotADirectory, Part, TooLarge
from tunnel.core.token.token import ACCOUNT_BYTES, TOKEN_ID_BYTES, AccountId, TokenId

MAGIC: Final = b"tnldir1\n"
DIGEST_BYTES: Final = 32
_LISTS_AT: Final = 44
_ACCOUNT_BYTES: Final = 73
_BLOCK: Final = 256 * TOKEN_ID_BYTES
"""What is compared at a time of two lists of tokens."""
_LABEL: Final = re.compile(rb"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SHORT_MAX: Final = (1 << 32) - 1

Lists: TypeAlias = tuple[frozenset[TokenId], Mapping[Label, AccountId], Mapping[AccountId, AccountFacts]]


@final
@dataclass(frozen=True, slots=True)
class Reading:
    """A directory that was read, and by what the next one is compared with it."""

    directory: Directory
    revoked: bytes
    """The list of revoked tokens itself: usually one more is in the next."""
    names: bytes
    """The digest of the names, and of how many they are."""
    accounts: bytes
    """The list itself: of accounts some change with each directory, as their usage does."""

    def is_as(self, other: "Reading") -> bool:
        """Whether all decisions by the one are as by the other; how new they are may differ."""
        one, two = self.directory, other.directory
        are_same = one.revoked is two.revoked and one.names is two.names and one.accounts is two.accounts
        return are_same and one.month == two.month


_NOTHING: Final = Reading(UNTOLD, b"", b"", b"")


def encode_directory(directory: Directory) -> Outcome[bytes, TooLarge]:
    """The bytes of a directory; numbers beyond their fields are said as the largest that fits."""
    counts = (len(directory.revoked), len(directory.names), len(directory.accounts))
    large = _too_large(counts)
    if large is not None:
        return Failure(large)
    parts = [MAGIC]
    parts += [uint_bytes(min(n, COUNT_MAX), 8) for n in (directory.number, directory.made_at, directory.month)]
    parts += [uint_bytes(count, 4) for count in counts]
    parts += sorted(directory.revoked)
    for name, account in sorted(directory.names.items()):
        label = ascii_bytes(name) or b""
        parts += [uint_bytes(len(label), 1), label, account]
    parts += [_account_bytes(facts) for _, facts in sorted(directory.accounts.items())]
    body = b"".join(parts)
    return Success(body + sha256_digest(body))


def decode_directory(raw: bytes) -> Outcome[Directory, DirectoryError]:
    """The directory that the bytes say: all of it, exactly as it was written, or why not."""
    read = read_beside(raw, None)
    return Success(value_of(read).directory) if isinstance(read, Success) else read


def read_beside(raw: bytes, before: Reading | None) -> Outcome[Reading, DirectoryError]:
    """The same, with every list that is as `before` taken from there."""
    if raw[: len(MAGIC)] != MAGIC:
        return Failure(NotADirectory())
    end = len(raw) - DIGEST_BYTES
    if end < _LISTS_AT:
        return Failure(Damaged(Part.LENGTH))
    if sha256_digest(raw[:end]) != raw[end:]:
        return Failure(Damaged(Part.DIGEST))
    number, made_at, month = uint_at(raw, 8, 8), uint_at(raw, 16, 8), uint_at(raw, 24, 8)
    if max(number, made_at, month) > COUNT_MAX:
        return Failure(Damaged(Part.NUMBERS))
    counts = (uint_at(raw, 32, 4), uint_at(raw, 36, 4), uint_at(raw, 40, 4))
    large = _too_large(counts)
    if large is not None:
        return Failure(large)
    held = raw[_LISTS_AT:end]
    names_at, accounts_at = counts[0] * TOKEN_ID_BYTES, len(held) - counts[2] * _ACCOUNT_BYTES
    if not names_at <= accounts_at:
        return Failure(Damaged(Part.LENGTH))
    parts = (held[:names_at], held[names_at:accounts_at], held[accounts_at:])
    known = before or _NOTHING
    names = sha256_digest(raw[36:40] + parts[1])
    lists = _lists(parts, counts[1], known, names)
    if isinstance(lists, Damaged):
        return Failure(lists)
    revoked, reserved, facts = lists
    directory = Directory(number, UnixSeconds(made_at), UnixSeconds(month), revoked, reserved, facts)
    return Success(Reading(directory, parts[0], names, parts[2]))


def _too_large(counts: tuple[int, int, int]) -> TooLarge | None:
    revoked, names, accounts = counts
    seen = (
        (Part.REVOKED, revoked, REVOKED_MAX),
        (Part.NAMES, names, NAMES_MAX),
        (Part.ACCOUNTS, accounts, ACCOUNTS_MAX),
    )
    for part, count, limit in seen:
        if count > limit:
            return TooLarge(part, count, limit)
    return None


def _lists(parts: tuple[bytes, bytes, bytes], names_count: int, known: Reading, names_digest: bytes) -> Lists | Damaged:
    """The three lists: as they were written, says the digest of all; whether by one of ours is seen here."""
    revoked, names, accounts = known.directory.revoked, known.directory.names, known.directory.accounts
    if parts[0] != known.revoked:
        told = _revoked(parts[0], known)
        if isinstance(told, Damaged):
            return told
        revoked = told
    if names_digest != known.names:
        reserved = _names(parts[1], names_count)
        if isinstance(reserved, Damaged):
            return reserved
        names = reserved
    if parts[2] != known.accounts:
        facts = _accounts(parts[2], known)
        if isinstance(facts, Damaged):
            return facts
        accounts = facts
    return revoked, names, accounts


def _revoked(held: bytes, known: Reading) -> frozenset[TokenId] | Damaged:
    """Of 200,000 only those are looked at that are between what both lists begin with and what both end with."""
    start = _same_at_start(known.revoked, held)
    end = len(held) - _same_at_end(known.revoked[start:], held[start:])
    come = _tokens(held[start:end])
    beside = [*_tokens(held[max(start - TOKEN_ID_BYTES, 0) : start]), *come, *_tokens(held[end : end + TOKEN_ID_BYTES])]
    if len(frozenset(beside)) != len(beside) or sorted(beside) != beside:
        return Damaged(Part.REVOKED)
    gone = _tokens(known.revoked[start : len(known.revoked) - (len(held) - end)])
    return known.directory.revoked.difference(gone).union(come)


def _tokens(held: bytes) -> list[TokenId]:
    return [TokenId(held[at : at + TOKEN_ID_BYTES]) for at in range(0, len(held), TOKEN_ID_BYTES)]


def _same_at_start(one: bytes, two: bytes) -> int:
    """How many bytes at least both begin with, in whole tokens."""
    at, end = 0, min(len(one), len(two))
    while at < end and one[at : at + _BLOCK] == two[at : at + _BLOCK]:
        at += _BLOCK
    return min(at, end)


def _same_at_end(one: bytes, two: bytes) -> int:
    """How many both end with."""
    count, end = 0, min(len(one), len(two))
    while count < end and _before(one, count) == _before(two, count):
        count += _BLOCK
    return min(count, end)


def _before(held: bytes, count: int) -> bytes:
    """The block that ends `count` bytes before the end."""
    end = len(held) - count
    return held[max(end - _BLOCK, 0) : end]


def _names(held: bytes, count: int) -> dict[Label, AccountId] | Damaged:
    found: dict[Label, AccountId] = {}
    before, at = "", 0
    for _ in range(count):
        end = at + 1 + max(uint_at(held, at, 1), 0)
        label, account = held[at + 1 : end], held[end : end + ACCOUNT_BYTES]
        name = ascii_text(label) or ""
        if whole_match(_LABEL, label) is None or len(account) != ACCOUNT_BYTES or name <= before:
            return Damaged(Part.NAMES)
        found[Label(name)] = AccountId(account)
        before, at = name, end + ACCOUNT_BYTES
    return found if at == len(held) else Damaged(Part.NAMES)


def _accounts(held: bytes, known: Reading) -> dict[AccountId, AccountFacts] | Damaged:
    """Those whose bytes are at their place as they were are what they were."""
    found: dict[AccountId, AccountFacts] = {}
    before = b""
    for at in range(0, len(held), _ACCOUNT_BYTES):
        record = held[at : at + _ACCOUNT_BYTES]
        facts = None
        if known.accounts[at : at + _ACCOUNT_BYTES] == record:
            facts = known.directory.accounts.get(AccountId(record[:ACCOUNT_BYTES]))
        facts = facts or _facts(record)
        if facts is None or facts.account <= before:
            return Damaged(Part.ACCOUNTS)
        before = facts.account
        found[facts.account] = facts
    return found


def _facts(held: bytes) -> AccountFacts | None:
    flag = uint_at(held, 16, 1)
    longs = [uint_at(held, at, 8) for at in (17, 25, 37, 45, 57, 65)]
    if flag > 1 or max(longs, default=0) > COUNT_MAX:
        return None
    return AccountFacts(
        account=AccountId(held[:ACCOUNT_BYTES]),
        is_suspended=flag == 1,
        ttl_default=uint_at(held, 17, 8),
        ttl_max=uint_at(held, 25, 8),
        quota=Quota(uint_at(held, 33, 4), uint_at(held, 37, 8), uint_at(held, 45, 8), uint_at(held, 53, 4)),
        requests_used=uint_at(held, 57, 8),
        bytes_used=uint_at(held, 65, 8),
    )


def _account_bytes(facts: AccountFacts) -> bytes:
    quota = facts.quota
    return b"".join(
        [
            facts.account,
            uint_bytes(1 if facts.is_suspended else 0, 1),
            uint_bytes(min(facts.ttl_default, COUNT_MAX), 8),
            uint_bytes(min(facts.ttl_max, COUNT_MAX), 8),
            uint_bytes(min(quota.endpoints_max, _SHORT_MAX), 4),
            uint_bytes(min(quota.requests_month, COUNT_MAX), 8),
            uint_bytes(min(quota.bytes_month, COUNT_MAX), 8),
            uint_bytes(min(quota.requests_second, _SHORT_MAX), 4),
            uint_bytes(min(facts.requests_used, COUNT_MAX), 8),
            uint_bytes(min(facts.bytes_used, COUNT_MAX), 8),
        ]
    )
