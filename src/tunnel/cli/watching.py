"""`tunnel who-holds` and `tunnel sessions`: what a running server knows, and two orders that it takes."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio

from tunnel.cli.commands import SessionsCommand, WatchCommand, WhoHoldsCommand
from tunnel.cli.databases import database_asked
from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import BadArgument, Problem
from tunnel.cli.report import refuse, say
from tunnel.cli.words import printable
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.route.name import label_of
from tunnel.core.token.moments import count_text, duration_text, moment_text
from tunnel.core.token.token import AccountId
from tunnel.drive.feed import Answer, FeedClient
from tunnel.store.errors import NotFound
from tunnel.store.open import is_missing, open_store
from tunnel.store.port import Store

_A_NAME: Final = "a name: a-z, 0-9 and inner hyphens"
_A_SESSION: Final = "the number of a session, as `tunnel sessions` lists them"
_SHORT: Final = 8
"""Characters of an ID in a table: enough to tell two apart, and the whole stands in --output json."""


def run_watch(command: WatchCommand, environment: Mapping[str, str]) -> ExitCode:
    """Carry the command out."""
    return who_holds(command, environment) if isinstance(command, WhoHoldsCommand) else sessions(command)


def who_holds(command: WhoHoldsCommand, environment: Mapping[str, str]) -> ExitCode:
    """Say who holds a name now, who did lately, and whose it is by reservation."""
    label = label_of(command.name)
    database = database_asked(command.database, environment, None)
    problems: list[Problem] = [] if isinstance(database, Success) else [error_of(database)]
    if not isinstance(label, Success):
        problems.append(BadArgument("NAME", command.name, _A_NAME))
    if problems or not isinstance(label, Success) or not isinstance(database, Success):
        return refuse(tuple(problems))
    return anyio.run(_who_holds, command, value_of(label), value_of(database))


async def _who_holds(command: WhoHoldsCommand, name: Label, database: str) -> ExitCode:
    now, state = UnixSeconds(int(time.time())), Path(command.state)
    asked = await FeedClient(state).ask("holder", name=name)
    store = await _store(database, state, now)
    try:
        told = value_of(asked) if isinstance(asked, Success) else await _remembered(store, name)
        if told is None:
            say("tunnel: no server answers on this state directory, and the database cannot be used now")
            return ExitCode.NETWORK
        if not isinstance(asked, Success):
            say(f"tunnel: {printable(error_of(asked))}; this is what the database last heard")
        accounts = {key: await _account_name(store, key) for key in _accounts_in(told)}
    finally:
        if store is not None:
            await store.close()
    if command.is_json:
        told.pop("ok", None)
        print(json.dumps({**told, "accounts": accounts}))
    else:
        print("\n".join(printable(line) for line in holder_lines(name, told, accounts, now)))
    return ExitCode.OK


def holder_lines(name: str, told: Answer, accounts: Mapping[str, str], now: UnixSeconds) -> list[str]:
    """What `who-holds` says, a line each."""
    items = _items(told)
    reserved = str(told.get("reserved", ""))
    agents = f"`{name}` is held by {count_text(len(items), 'link')}" if items else f"nobody answers for `{name}` now"
    by = f"it is reserved by {_account(reserved, accounts)}" if reserved else "it is reserved by nobody"
    lines = [f"{agents}; {by}."]
    for item in items:
        lines += [
            "",
            f"  account    {_account(str(item.get('account', '')), accounts)}",
            f"  token      {item.get('token', 'unknown')}",
            f"  address    {item.get('peer')}, linked to host {item.get('host')}",
            f"  session    {item.get('session')}, epoch {item.get('epoch')}, since {_moment(item, 'since')}",
            f"  heartbeat  {_ago(item, now)}",
            f"  lapses     {_moment(item, 'lapses')}, unless more is heard before",
        ]
    offline = told.get("offline")
    if isinstance(offline, dict):
        owner = _account(str(offline.get("account", "")), accounts)
        gone = {str(key): value for key, value in offline.items()}
        lines.append(f"Its last agent, of {owner}, left at {_moment(gone, 'since')};")
        lines.append(f"until {_moment(gone, 'lapses')} only that account may take it.")
    return lines


def sessions(command: SessionsCommand) -> ExitCode:
    """List the sessions of a running server, or end or move one of them."""
    orders = [(word, text) for word, text in (("kick", command.kick), ("drain", command.drain)) if text is not None]
    for word, text in orders:
        if not text.isdecimal():
            return refuse((BadArgument(f"--{word}", text, _A_SESSION),))
    return anyio.run(_sessions, command, orders)


async def _sessions(command: SessionsCommand, orders: list[tuple[str, str]]) -> ExitCode:
    feed = FeedClient(Path(command.state))
    for word, text in orders:
        done = await feed.ask(word, session=int(text), reason=command.reason)
        if not isinstance(done, Success):
            return _away(done)
        if not value_of(done).get("count"):
            say(f"tunnel: there is no session {text}; `tunnel sessions --state {command.state}` lists them")
            return ExitCode.UNCHANGED
        print(f"session {text} was {'ended' if word == 'kick' else 'asked to move'}")
    if orders:
        return ExitCode.OK
    asked = await feed.ask("sessions")
    if not isinstance(asked, Success):
        return _away(asked)
    told = value_of(asked)
    if command.is_json:
        print(json.dumps(_items(told)))
    else:
        health = await feed.ask("health")
        known = directory_line(value_of(health)) if isinstance(health, Success) else ""
        lines = [*session_lines(told, UnixSeconds(int(time.time()))), known]
        print("\n".join(printable(line) for line in lines if line))
    return ExitCode.OK


def session_lines(told: Answer, now: UnixSeconds) -> list[str]:
    """The sessions as a table of 80 columns."""
    items = _items(told)
    if not items:
        return ["no agent is linked to this server"]
    lines = [f"{'SESSION':>7}  {'ACCOUNT':8}  {'ADDRESS':21}  {'SINCE':10}  {'STREAMS':>7}  NAMES"]
    for item in sorted(items, key=lambda item: _number(item, "session")):
        names = item.get("names")
        shown = ", ".join(str(name) for name in names) if isinstance(names, list) else ""
        since = duration_text(now - _number(item, "since"))
        lines.append(
            f"{_number(item, 'session'):>7}  {str(item.get('account'))[:_SHORT]:8}  {item.get('peer')!s:21}  "
            f"{since:10}  {_number(item, 'streams'):>7}  {shown}"
        )
    return lines


def directory_line(health: Answer) -> str:
    """What the server knows of accounts, and how old that is."""
    found = health.get("directory")
    facts = {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
    if _number(facts, "made_at") == 0:
        return "no directory: tokens alone decide, and nothing is revoked or reserved here"
    known = [
        count_text(_number(facts, "revoked"), "revoked token"),
        count_text(_number(facts, "names"), "reserved name"),
        count_text(_number(facts, "accounts"), "account"),
    ]
    trouble = str(facts.get("trouble", ""))
    age = duration_text(_number(facts, "age_seconds"))
    return f"directory {_number(facts, 'number')}, {age} old: {', '.join(known)}{trouble and f'; {trouble}'}"


def _away(asked: Failure[str]) -> ExitCode:
    say(f"tunnel: {printable(error_of(asked))}; is the state directory the one of `tunnel server --state DIR`?")
    return ExitCode.NETWORK


async def _store(database: str, state: Path, now: UnixSeconds) -> Store | None:
    """The store, if there is one: to ask who holds a name makes none."""
    if is_missing(database, state):
        return None
    opened = await open_store(database, state, now)
    return value_of(opened) if isinstance(opened, Success) else None


async def _remembered(store: Store | None, name: Label) -> Answer | None:
    """What the database last heard of a name; None when it cannot be asked."""
    if store is None:
        return {}
    leases, owner = await store.leases_of(name), await store.name_holder(name)
    if not isinstance(leases, Success) or not (isinstance(owner, Success) or isinstance(error_of(owner), NotFound)):
        return None
    items = [
        {
            "account": lease.account.hex(),
            "peer": lease.peer,
            "host": lease.host,
            "session": lease.session,
            "epoch": lease.epoch,
            "since": lease.since,
            "heartbeat": lease.heartbeat,
            "lapses": lease.lapses,
        }
        for lease in value_of(leases)
    ]
    return {
        "name": name,
        "items": items,
        "reserved": value_of(owner).account.hex() if isinstance(owner, Success) else "",
    }


async def _account_name(store: Store | None, account: str) -> str:
    """The name that people gave an account, "" where none is known."""
    if store is None:
        return ""
    found = await store.account(AccountId(bytes.fromhex(account)))
    return value_of(found).name if isinstance(found, Success) else ""


def _accounts_in(told: Answer) -> set[str]:
    offline = told.get("offline")
    gone = str(offline.get("account", "")) if isinstance(offline, dict) else ""
    named = {str(item.get("account", "")) for item in _items(told)}
    return (named | {gone, str(told.get("reserved", ""))}) - {""}


def _items(told: Answer) -> list[Answer]:
    items = told.get("items")
    held = items if isinstance(items, list) else []
    return [{str(key): value for key, value in item.items()} for item in held if isinstance(item, dict)]


def _account(account: str, accounts: Mapping[str, str]) -> str:
    name = accounts.get(account, "")
    return f"account {name} ({account})" if name else f"account {account}"


def _number(item: Answer, key: str) -> int:
    value = item.get(key)
    return value if isinstance(value, int) else 0


def _moment(item: Answer, key: str) -> str:
    return moment_text(UnixSeconds(_number(item, key)))


def _ago(item: Answer, now: UnixSeconds) -> str:
    return f"{duration_text(now - _number(item, 'heartbeat'))} ago"
