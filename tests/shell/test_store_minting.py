"""Tokens made and taken back over a store: recorded before they are given out, revoked with all that was made of them.

The store is a real one, in a file.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.control.account import DEFAULT_PLAN, Account, AccountChange
from tunnel.core.control.act import BY_SHELL, Act
from tunnel.core.control.minting import MintAsked, NameOfAnother, Suspended
from tunnel.core.control.name import NameRecord
from tunnel.core.control.page import Page
from tunnel.core.token.codec import key_id_of
from tunnel.core.token.errors import KeyUnusable
from tunnel.core.token.narrow import Narrowing, narrow_token
from tunnel.core.token.token import AccountId, EndpointKind, Token, TokenId, ids_of
from tunnel.core.token.verify import verify_token
from tunnel.drive.clock import SystemEntropy
from tunnel.store.errors import NotFound, StoreUnavailable
from tunnel.store.minting import Minted, describe, mint_token, revoke
from tunnel.store.open import open_store
from tunnel.store.port import Store

pytestmark = pytest.mark.anyio

KEY: Final = bytes(range(32))
PUBLIC: Final = public_key_of(KEY) or b""
KEYS: Final[dict[bytes, bytes]] = {key_id_of(PUBLIC): PUBLIC}
OURS: Final = AccountId(b"A" * 16)
THEIRS: Final = AccountId(b"B" * 16)
NOW: Final = UnixSeconds(1_790_000_000)
ACT: Final = Act("operator", "", BY_SHELL, "r1")
ACCOUNT: Final = Account(OURS, "acme", NOW, DEFAULT_PLAN, is_suspended=False, ttl_default=600, ttl_max=3600)
ASKED: Final = MintAsked("demo", frozenset({EndpointKind.HTTP}), label="laptop")


@asynccontextmanager
async def a_store(state: Path) -> AsyncIterator[Store]:
    opened = await open_store("", state, NOW)
    assert isinstance(opened, Success)
    store = value_of(opened)
    try:
        made = await store.create_account(ACCOUNT, ACT, NOW)
        assert isinstance(made, Success)
        other = await store.create_account(replace(ACCOUNT, account=THEIRS, name="other"), ACT, NOW)
        assert isinstance(other, Success)
        yield store
    finally:
        await store.close()


async def minted(store: Store, asked: MintAsked = ASKED) -> Minted:
    made = await mint_token(store, KEY, SystemEntropy(), OURS, asked, ACT, NOW)
    assert isinstance(made, Success), error_of(made)
    return value_of(made)


async def revoked_ids(store: Store) -> set[bytes]:
    facts = await store.directory_facts(NOW)
    assert isinstance(facts, Success)
    return {bytes(each.token) for each in value_of(facts).revoked}


def narrowed(raw: bytes) -> tuple[bytes, Token]:
    made = narrow_token(raw, Narrowing(names_max=1), None)
    assert isinstance(made, Success)
    verified = verify_token(value_of(made), KEYS, NOW)
    assert isinstance(verified, Success)
    return value_of(made), value_of(verified)


@pytest.mark.shows("TOKEN-MINT-001", "TOKEN-MINT-004")
async def test_a_minted_token_is_known_and_holds(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        made = await minted(store)
        assert verify_token(made.raw, KEYS, NOW) == Success(made.token)
        assert made.token.expiry == NOW + 600
        recorded = await store.token(made.token.token_id)
        assert recorded == Success(made.record)
        assert (made.record.minted_by, made.record.label) == ("operator", "laptop")
        assert made.text not in repr(made)
        narrowed(made.raw)  # its holder can


@pytest.mark.shows("TOKEN-MINT-004")
async def test_a_token_that_cannot_be_recorded_is_not_given_out(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.close()
        made = await mint_token(store, KEY, SystemEntropy(), OURS, ASKED, ACT, NOW)
        assert isinstance(made, Failure)
        assert isinstance(error_of(made), StoreUnavailable)
        assert describe(error_of(made)).startswith("The database cannot be used now")


@pytest.mark.shows("TOKEN-MINT-001", "TOKEN-MINT-003")
async def test_what_is_not_minted_leaves_nothing(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        entropy = SystemEntropy()
        nobody = await mint_token(store, KEY, entropy, AccountId(bytes(16)), ASKED, ACT, NOW)
        assert isinstance(nobody, Failure)
        assert isinstance(error_of(nobody), NotFound)
        held = await store.reserve_name(NameRecord(Label("demo"), THEIRS, NOW, ""), ACT, NOW)
        assert isinstance(held, Success)
        taken = await mint_token(store, KEY, entropy, OURS, ASKED, ACT, NOW)
        assert taken == Failure(NameOfAnother("demo"))
        assert describe(NameOfAnother("demo")).startswith("The name `demo` is reserved")
        keyless = await mint_token(store, b"short", entropy, OURS, replace(ASKED, pattern="*"), ACT, NOW)
        assert keyless == Failure(KeyUnusable(5))
        assert describe(KeyUnusable(5)).startswith("The signing key")
        paused = await store.change_account(OURS, AccountChange(is_suspended=True), ACT, NOW)
        assert isinstance(paused, Success)
        refused = await mint_token(store, KEY, entropy, OURS, replace(ASKED, pattern="*"), ACT, NOW)
        assert refused == Failure(Suspended("acme"))
        page = await store.tokens(None, Page())
        assert isinstance(page, Success)
        assert value_of(page).items == ()


@pytest.mark.shows("TOKEN-MINT-005", "TOKEN-CHAIN-006")
async def test_revoking_a_token_is_told_for_it_and_holds_for_what_was_made_of_it(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        made = await minted(store)
        _, child = narrowed(made.raw)
        assert await revoke(store, made.token, ACT, NOW) == Success(None)
        revoked = await revoked_ids(store)
        assert revoked == {bytes(made.token.token_id)}
        assert revoked & {bytes(each) for each in ids_of(child)}


@pytest.mark.shows("TOKEN-MINT-005")
async def test_a_token_narrowed_offline_is_revoked_alone(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        made = await minted(store)
        _, child = narrowed(made.raw)
        assert await revoke(store, child, ACT, NOW) == Success(None)
        assert await revoked_ids(store) == {bytes(child.token_id)}
        stranger = replace(child, account=AccountId(bytes(16)), token_id=TokenId(bytes(16)))
        assert isinstance(await revoke(store, stranger, ACT, NOW), Failure)
        await store.close()
        assert isinstance(await revoke(store, child, ACT, NOW), Failure)
