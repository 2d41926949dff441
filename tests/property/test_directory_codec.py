"""A directory's bytes: what was written is read, one encoding per value, and damage at any bit is found."""

from dataclasses import replace

import pytest
from directory_support import ACCOUNTS, DIRECTORIES, NAMES, TOKENS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.base.partial import sha256_digest, uint_bytes
from tunnel.core.directory.codec import MAGIC, Reading, decode_directory, encode_directory, read_beside
from tunnel.core.directory.directory import ACCOUNTS_MAX, COUNT_MAX, UNTOLD, AccountFacts, Directory, Quota
from tunnel.core.directory.errors import Damaged, NotADirectory, Part, TooLarge, describe
from tunnel.core.token.token import AccountId, TokenId

FULL = Directory(
    7,
    UnixSeconds(8),
    UnixSeconds(9),
    frozenset(TOKENS),
    dict.fromkeys(NAMES, ACCOUNTS[1]),
    {account: AccountFacts(account, is_suspended=True, quota=Quota(1, 2, 3, 4)) for account in ACCOUNTS},
)


def encoded(directory: Directory) -> bytes:
    done = encode_directory(directory)
    assert isinstance(done, Success)
    return value_of(done)


def closed(body: bytes) -> bytes:
    """`body` with a digest that fits: what a faulty writer would write."""
    return body + sha256_digest(body)


def damaged(raw: bytes) -> Part:
    read = decode_directory(raw)
    assert isinstance(read, Failure)
    error = error_of(read)
    assert isinstance(error, Damaged), error
    return error.part


@pytest.mark.shows("GATE-FILE-001")
@given(DIRECTORIES)
@example(UNTOLD)
@example(FULL)
@settings(max_examples=100)
def test_what_was_written_is_read(directory: Directory) -> None:
    read = decode_directory(encoded(directory))
    assert isinstance(read, Success)
    assert value_of(read) == directory
    assert encoded(value_of(read)) == encoded(directory)


@pytest.mark.shows("GATE-FILE-001")
@given(DIRECTORIES)
@settings(max_examples=30)
def test_the_order_in_which_things_were_learnt_is_not_in_the_bytes(directory: Directory) -> None:
    names = dict(reversed(list(directory.names.items())))
    accounts = dict(reversed(list(directory.accounts.items())))
    turned = Directory(directory.number, directory.made_at, directory.month, directory.revoked, names, accounts)
    assert encoded(turned) == encoded(directory)


@pytest.mark.shows("GATE-FILE-002")
def test_damage_at_any_bit_is_found() -> None:
    raw = encoded(FULL)
    for at in range(len(raw)):
        for bit in range(8):
            bent = raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]
            assert isinstance(decode_directory(bent), Failure), (at, bit)


@pytest.mark.shows("GATE-FILE-002")
def test_a_cut_at_any_byte_is_found_and_so_is_what_was_added() -> None:
    raw = encoded(FULL)
    for end in range(len(raw)):
        assert isinstance(decode_directory(raw[:end]), Failure), end
    assert isinstance(decode_directory(raw + b"\0"), Failure)


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_arbitrary_bytes_are_refused_in_order(data: bytes) -> None:
    for raw in (data, MAGIC + data, closed(MAGIC + data)):
        read = decode_directory(raw)
        if isinstance(read, Success):
            assert encoded(value_of(read)) == raw
        else:
            assert describe(error_of(read)).endswith(".")


def test_what_no_writer_of_ours_writes_is_refused_by_name() -> None:
    def body(counts: tuple[int, int, int], lists: bytes, number: int = 1) -> bytes:
        head = MAGIC + uint_bytes(number, 8) + uint_bytes(1, 8) + uint_bytes(0, 8)
        return closed(head + b"".join(uint_bytes(count, 4) for count in counts) + lists)

    one, account = bytes(15) + b"\1", bytes(16)
    facts = account + bytes(57)
    assert "this version" in describe(NotADirectory())
    assert decode_directory(b"tnldir2\n" + bytes(90)) == Failure(NotADirectory())
    assert damaged(MAGIC + bytes(60)) is Part.LENGTH
    assert damaged(body((0, 0, 0), b"", number=1 << 63)) is Part.NUMBERS
    assert damaged(body((1, 0, 0), b"")) is Part.LENGTH
    assert damaged(body((2, 0, 0), one + one)) is Part.REVOKED
    assert damaged(body((0, 1, 0), b"\1A" + account)) is Part.NAMES
    assert damaged(body((0, 1, 0), b"\0" + account)) is Part.NAMES
    assert damaged(body((0, 1, 0), b"\1a" + account[1:])) is Part.NAMES
    assert damaged(body((0, 2, 0), (b"\1a" + account) * 2)) is Part.NAMES
    assert damaged(body((0, 1, 0), b"\1a" + account + b"\0")) is Part.NAMES
    assert damaged(body((0, 1, 0), b"")) is Part.NAMES
    assert damaged(body((0, 0, 2), facts + facts)) is Part.ACCOUNTS
    assert damaged(body((0, 0, 1), account + b"\2" + bytes(56))) is Part.ACCOUNTS
    assert damaged(body((0, 0, 1), account + b"\0" + b"\xff" * 8 + bytes(48))) is Part.ACCOUNTS
    many = ACCOUNTS_MAX + 1
    assert decode_directory(body((0, 0, many), b"")) == Failure(TooLarge(Part.ACCOUNTS, many, ACCOUNTS_MAX))


def test_one_too_large_is_not_written() -> None:
    ids = [AccountId(uint_bytes(number, 16)) for number in range(ACCOUNTS_MAX + 1)]
    large = Directory(accounts=dict.fromkeys(ids, AccountFacts(ids[0])))
    done = encode_directory(large)
    assert done == Failure(TooLarge(Part.ACCOUNTS, ACCOUNTS_MAX + 1, ACCOUNTS_MAX))
    assert "100001 accounts" in describe(TooLarge(Part.ACCOUNTS, ACCOUNTS_MAX + 1, ACCOUNTS_MAX))


def test_numbers_beyond_their_fields_are_said_as_the_largest() -> None:
    account = ACCOUNTS[0]
    huge = AccountFacts(account, quota=Quota(1 << 40, 1 << 70, 1 << 70, 1 << 40), requests_used=1 << 70)
    read = decode_directory(encoded(Directory(number=1 << 70, accounts={account: huge})))
    assert isinstance(read, Success)
    told = value_of(read)
    assert told.number == COUNT_MAX
    assert told.accounts[account].quota == Quota((1 << 32) - 1, COUNT_MAX, COUNT_MAX, (1 << 32) - 1)
    assert TokenId(bytes(16)) not in told.revoked


def reading_of(directory: Directory, before: Reading | None = None) -> Reading:
    read = read_beside(encoded(directory), before)
    assert isinstance(read, Success)
    return value_of(read)


@pytest.mark.shows("GATE-FILE-005")
@given(DIRECTORIES, DIRECTORIES)
@example(FULL, UNTOLD)
@example(UNTOLD, FULL)
@example(FULL, FULL)
@settings(max_examples=60)
def test_it_is_read_as_alone_whatever_was_read_before(before: Directory, directory: Directory) -> None:
    alone, beside = reading_of(directory), reading_of(directory, reading_of(before))
    assert beside == alone


@pytest.mark.shows("GATE-FILE-005")
@given(DIRECTORIES, st.integers(0, COUNT_MAX), st.integers(0, COUNT_MAX))
@settings(max_examples=60)
def test_of_one_that_is_only_newer_nothing_is_made_anew(directory: Directory, number: int, made_at: int) -> None:
    first = reading_of(directory)
    second = reading_of(replace(directory, number=number, made_at=UnixSeconds(made_at)), first)
    assert second.is_as(first)
    assert (second.directory.number, second.directory.made_at) == (number, made_at)
    later = reading_of(replace(directory, month=UnixSeconds(min(directory.month + 1, COUNT_MAX))), first)
    assert later.is_as(first) is (directory.month == COUNT_MAX)


@pytest.mark.shows("GATE-FILE-005")
def test_of_accounts_only_those_that_changed_are_made_anew() -> None:
    first = reading_of(FULL)
    one = ACCOUNTS[0]
    used = {**FULL.accounts, one: replace(FULL.accounts[one], requests_used=9)}
    second = reading_of(replace(FULL, accounts=used), first)
    assert not second.is_as(first)
    assert second.directory.accounts == used
    assert second.directory.revoked is first.directory.revoked
    assert second.directory.names is first.directory.names
    others = [account for account in ACCOUNTS if account != one]
    assert all(second.directory.accounts[each] is first.directory.accounts[each] for each in others)


@pytest.mark.shows("GATE-FILE-002")
def test_what_is_wrong_is_found_beside_what_was_right() -> None:
    raw = encoded(FULL)
    first = reading_of(FULL)
    for at in range(0, len(raw), 7):
        bent = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert isinstance(read_beside(bent, first), Failure), at
    fewer = raw[:36] + uint_bytes(len(NAMES) - 1, 4) + raw[40:-32]
    read = read_beside(closed(fewer), first)
    assert isinstance(read, Failure), "as many names as are not said to be there"


MANY = sorted(TokenId(sha256_digest(uint_bytes(number, 2))[:16]) for number in range(1300))


@pytest.mark.shows("GATE-FILE-005")
@given(st.frozensets(st.integers(0, 1299), max_size=5), st.frozensets(st.integers(0, 1299), max_size=5))
@example(frozenset(), frozenset())
@example(frozenset({0}), frozenset({1299}))
@example(frozenset({255, 256, 257}), frozenset({511, 512}))
@example(frozenset(range(1300)), frozenset())
@example(frozenset(), frozenset(range(1300)))
@settings(max_examples=60)
def test_of_many_revoked_tokens_those_that_come_and_go_are_found(before: frozenset[int], after: frozenset[int]) -> None:
    """Each set of numbers is of those that are missing."""
    one, two = (frozenset(MANY[n] for n in range(1300) if n not in missing) for missing in (before, after))
    assert reading_of(Directory(2, revoked=two), reading_of(Directory(1, revoked=one))).directory.revoked == two


@pytest.mark.shows("GATE-FILE-002")
@pytest.mark.parametrize("at", [0, 1, 254, 255, 256, 511, 512, 700, 1298])
def test_revoked_tokens_out_of_order_are_found_beside_those_in_order(at: int) -> None:
    first = reading_of(Directory(1, revoked=frozenset(MANY)))
    raw = encoded(Directory(1, revoked=frozenset(MANY)))
    for pair in ([MANY[at + 1], MANY[at]], [MANY[at], MANY[at]], [MANY[at + 1], MANY[at + 1]]):
        tokens = b"".join([*MANY[:at], *pair, *MANY[at + 2 :]])
        read = read_beside(closed(raw[:44] + tokens), first)
        assert read == Failure(Damaged(Part.REVOKED))
