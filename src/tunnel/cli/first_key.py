"""The first account and the first key of a demo: what its dashboard shows, and what opens it."""

from pathlib import Path
from typing import Final

from tunnel.cli.account_actions import account_id_of
from tunnel.cli.commands import DEFAULT_ACCOUNT
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.account import DEFAULT_PLAN, Account
from tunnel.core.control.act import BY_SHELL, Act
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.roles import Role, Scope
from tunnel.drive.clock import SystemEntropy
from tunnel.store.errors import AlreadyExists, describe
from tunnel.store.open import describe as describe_open
from tunnel.store.open import open_store

_SHELL: Final = Act("demo", "", BY_SHELL, "")


async def first_key(state: Path, now: UnixSeconds) -> Outcome[str, str]:
    """The text of an operator's key, new in the database of `state`, and beside it the account of the demo's token."""
    opened = await open_store("", state, now)
    if not isinstance(opened, Success):
        return Failure(describe_open(error_of(opened)))
    store = value_of(opened)
    try:
        account = Account(
            account_id_of(DEFAULT_ACCOUNT),
            DEFAULT_ACCOUNT,
            now,
            DEFAULT_PLAN,
            is_suspended=False,
            ttl_default=0,
            ttl_max=0,
        )
        created = await store.create_account(account, _SHELL, now)
        if not isinstance(created, Success) and not isinstance(error_of(created), AlreadyExists):
            return Failure(describe(error_of(created)))
        made = new_key(SystemEntropy().random_bytes(NEW_KEY_BYTES))
        record = KeyRecord(
            made.key,
            None,
            "demo",
            Role.OWNER,
            frozenset({Scope.OPERATE}),
            made.secret_hash,
            now,
            expires=None,
            revoked=None,
            last_used=None,
        )
        minted = await store.mint_key(record, _SHELL, now)
        return Success(made.text) if isinstance(minted, Success) else Failure(describe(error_of(minted)))
    finally:
        await store.close()
