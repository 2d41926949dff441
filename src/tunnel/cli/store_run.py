"""Runs a command on the store of a state directory; whoever can write there is the operator."""

import asyncio
import os
import pwd
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, assert_never

from tunnel.cli.account_actions import account_answer, member_answer, name_answer
from tunnel.cli.answers import Answer, Refusal, json_text, refused, refused_for
from tunnel.cli.commands import (
    AccountCommand,
    BillingCommand,
    KeyCommand,
    MemberCommand,
    MintCommand,
    NameCommand,
    PlanCommand,
    StoreCommand,
    StorePlace,
    TokenCommand,
)
from tunnel.cli.credential_actions import Bench, key_answer, mint, mint_answer, token_answer
from tunnel.cli.databases import NO_DATABASE, database_asked
from tunnel.cli.exits import ExitCode
from tunnel.cli.plan_actions import billing_answer, plan_answer
from tunnel.cli.report import say
from tunnel.cli.tokens import asked_of, sentences_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.control.act import BY_SHELL, Act
from tunnel.drive import files
from tunnel.store.minting import Minted
from tunnel.store.open import describe, is_missing, open_store
from tunnel.store.port import Store

_REQUEST_BYTES: Final = 8
_READING: Final = frozenset({"list", "show"})
"""What makes nothing: in a directory without a database it was the directory that was mistaken."""


def run_store_command(command: StoreCommand, environment: Mapping[str, str]) -> ExitCode:
    """Do it, say it, and how that went."""
    done = asyncio.run(perform(command, environment))
    if not isinstance(done, Success):
        say(f"tunnel: {error_of(done).sentence}")
        return error_of(done).code
    answer = value_of(done)
    text = json_text(answer.data) if command.place.is_json else "\n".join(answer.lines)
    if text:
        print(text)
    sys.stdout.flush()
    if answer.aside:
        say("\n".join(answer.aside))
    return ExitCode.OK


async def perform(command: StoreCommand, environment: Mapping[str, str]) -> Outcome[Answer, Refusal]:
    """The answer of a command; the store is closed whatever happens."""
    if isinstance(command, MintCommand):
        asked = asked_of(command)
        if not isinstance(asked, Success):  # before anything is made for it
            return refused(sentences_of(error_of(asked)))
    is_reading = not isinstance(command, MintCommand) and command.verb in _READING
    opened = await _opened(command.place, environment, is_reading=is_reading)
    if not isinstance(opened, Success):
        return opened
    store = value_of(opened)
    try:
        return await _answer(command, Bench(store, acting(), _now()), environment)
    finally:
        await store.close()


async def minted_at(command: MintCommand) -> Outcome[Minted, Refusal]:
    """A token from the store of a state directory, for a command that goes on with it."""
    opened = await _opened(command.place, {})
    if not isinstance(opened, Success):
        return opened
    store = value_of(opened)
    try:
        done = await mint(command, Bench(store, acting(), _now()))
        return Success(value_of(done)[0]) if isinstance(done, Success) else done
    finally:
        await store.close()


def acting() -> Act:
    """The operator at this machine's shell."""
    return Act(_login(), "", BY_SHELL, os.urandom(_REQUEST_BYTES).hex())


async def _answer(command: StoreCommand, bench: Bench, environment: Mapping[str, str]) -> Outcome[Answer, Refusal]:
    match command:
        case AccountCommand():
            return await account_answer(command, bench.store, bench.act, bench.now)
        case MemberCommand():
            return await member_answer(command, bench.store, bench.act, bench.now)
        case NameCommand():
            return await name_answer(command, bench.store, bench.act, bench.now)
        case KeyCommand():
            return await key_answer(command, bench)
        case TokenCommand():
            return await token_answer(command, bench)
        case MintCommand():
            return await mint_answer(command, bench)
        case PlanCommand():
            return await plan_answer(command, bench.store, bench.act, bench.now)
        case BillingCommand():
            return await billing_answer(command, bench.store, bench.act, bench.now, environment)
        case _:
            assert_never(command)


async def _opened(
    place: StorePlace, environment: Mapping[str, str], *, is_reading: bool = False
) -> Outcome[Store, Refusal]:
    url = database_asked(place.database, environment, None)
    if not isinstance(url, Success):
        return refused_for(error_of(url))
    if is_reading and is_missing(value_of(url), Path(place.state)):
        return refused(f"--state: {NO_DATABASE.format(place.state)}")
    ready = files.make_directory(Path(place.state))
    if not isinstance(ready, Success):
        return refused(f"--state: {files.describe(error_of(ready))}")
    opened = await open_store(value_of(url), Path(place.state), _now())
    if not isinstance(opened, Success):
        return refused(f"--database: {describe(error_of(opened))}")
    return opened


def _now() -> UnixSeconds:
    return UnixSeconds(int(time.time()))


def _login() -> str:
    """Who is at the shell, as this machine knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
