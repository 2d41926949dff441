r"""A directory as bytes, and back: one encoding per value, closed by a digest that finds damage (ADR 0064).

     0  "tnldir1\n" 8 | number 8 | made at 8 | month 8
    32  how many tokens 4, names 4, accounts 4
        revoked tokens, 16 each
        reserved names: length 1, the label, its account 16
        accounts, 73 each: account 16 | suspended 1 | default exposure 8 | longest exposure 8 | endpoints 4 |
            requests a month 8 | bytes a month 8 | requests a second 4 | requests used 8 | bytes used 8
        SHA-256 of all that is before it, 32

Each list rises strictly by its first field. Numbers are big-endian.
"""

import re
from typing import Final, TypeAlias

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import ascii_bytes, ascii_text, sha256_digest, uint_at, uint_bytes, whole_match
from tunnel.core.directory.directory import (
    ACCOUNTS_MAX,
    COUNT_MAX,
    NAMES_MAX,
    REVOKED_MAX,
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
_LABEL: Final = re.compile(rb"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SHORT_MAX: Final = (1 << 32) - 1

Lists: TypeAlias = tuple[frozenset[TokenId], dict[Label, AccountId], dict[AccountId, AccountFacts]]


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
    lists = _lists(raw[_LISTS_AT:end], counts)
    if isinstance(lists, Damaged):
        return Failure(lists)
    revoked, names, accounts = lists
    return Success(Directory(number, UnixSeconds(made_at), UnixSeconds(month), revoked, names, accounts))


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


def _lists(held: bytes, counts: tuple[int, int, int]) -> Lists | Damaged:
    """The three lists that fill `held`: as they were written, says the digest; whether by one of ours is seen here."""
    names_at = counts[0] * TOKEN_ID_BYTES
    accounts_at = len(held) - counts[2] * _ACCOUNT_BYTES
    if not names_at <= accounts_at:
        return Damaged(Part.LENGTH)
    revoked = _revoked(held[:names_at], counts[0])
    if isinstance(revoked, Damaged):
        return revoked
    names = _names(held[names_at:accounts_at], counts[1])
    if isinstance(names, Damaged):
        return names
    accounts = _accounts(held[accounts_at:], counts[2])
    if isinstance(accounts, Damaged):
        return accounts
    return revoked, names, accounts


def _revoked(held: bytes, count: int) -> frozenset[TokenId] | Damaged:
    found: list[TokenId] = []
    before = b""
    for at in range(0, count * TOKEN_ID_BYTES, TOKEN_ID_BYTES):
        token = held[at : at + TOKEN_ID_BYTES]
        if token <= before:
            return Damaged(Part.REVOKED)
        before = token
        found.append(TokenId(token))
    return frozenset(found)


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


def _accounts(held: bytes, count: int) -> dict[AccountId, AccountFacts] | Damaged:
    found: dict[AccountId, AccountFacts] = {}
    before = b""
    for at in range(0, count * _ACCOUNT_BYTES, _ACCOUNT_BYTES):
        facts = _facts(held[at : at + _ACCOUNT_BYTES])
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
