"""What the commands about accounts, their people and their names do to the store, and what they answer."""

import hashlib
from collections.abc import Sequence
from typing import Final

from tunnel.cli.answers import Answer, Json, Refusal, all_of, day_text, listed, refused, refused_by, refused_for, told
from tunnel.cli.commands import DEFAULT_ACCOUNT, AccountCommand, MemberCommand, NameCommand
from tunnel.cli.problems import BadArgument
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.control.account import DEFAULT_PLAN, Account, AccountChange, Member
from tunnel.core.control.act import Act
from tunnel.core.control.name import NameRecord
from tunnel.core.control.roles import role_of
from tunnel.core.control.ttl import TTL_FORMS, ttl_of, ttl_text
from tunnel.core.route.name import label_of
from tunnel.core.token.token import AccountId
from tunnel.store.errors import AlreadyExists, NotFound, StoreError
from tunnel.store.port import Store

NAME_CHARS_MAX: Final = 64
_NAMES: Final = f"an account name: 1 to {NAME_CHARS_MAX} printable characters without spaces around them"
_LABELS: Final = "a name: a-z, 0-9 and inner hyphens, at most 63"


def account_id_of(name: str) -> AccountId:
    """The ID of an account that is made by name: the same on every machine, so that what was minted apart meets."""
    return AccountId(hashlib.sha256(b"tunnel/account\0" + name.encode("utf-8", "replace")).digest()[:16])


async def account_for(name: str, store: Store, act: Act, now: UnixSeconds) -> Outcome[Account, Refusal]:
    """The account of this name; the default one is made on first use, since everybody starts without any."""
    found = await store.account_named(name)
    if isinstance(found, Success):
        return Success(value_of(found))
    if not isinstance(error_of(found), NotFound):
        return refused_by(error_of(found))
    if name != DEFAULT_ACCOUNT:
        return refused(f"there is no account {name!r}; make it with `tunnel account create`")
    made = await store.create_account(_account(name, 0, 0, DEFAULT_PLAN, now), act, now)
    if not isinstance(made, Success) and isinstance(error_of(made), AlreadyExists):  # another command was as quick
        made = await store.account_named(name)
    return Success(value_of(made)) if isinstance(made, Success) else refused_by(error_of(made))


async def account_answer(command: AccountCommand, store: Store, act: Act, now: UnixSeconds) -> Outcome[Answer, Refusal]:
    """What `tunnel account` answers."""
    if command.verb == "list":
        read = await all_of(store.accounts)
        return listed("accounts", _ACCOUNT_HEAD, read, _account_row, _account_json)
    lives = _lives(command)
    if not isinstance(lives, Success):
        return lives
    default, longest = value_of(lives)
    if command.verb == "create":
        return await _created(command, store, act, now, (default or 0, longest or 0))
    found = await store.account_named(command.name)
    if not isinstance(found, Success):
        return refused_by(error_of(found))
    account = value_of(found)
    change = {
        "show": None,
        "change": AccountChange(plan=command.plan, ttl_default=default, ttl_max=longest),
        "suspend": AccountChange(is_suspended=True),
        "resume": AccountChange(is_suspended=False),
    }[command.verb]
    if change is None:
        return await _shown(account, store)
    changed = await store.change_account(account.account, change, act, now)
    if not isinstance(changed, Success):
        return refused_by(error_of(changed))
    return Success(Answer(tuple(_account_lines(value_of(changed))), _account_json(value_of(changed))))


async def member_answer(command: MemberCommand, store: Store, act: Act, now: UnixSeconds) -> Outcome[Answer, Refusal]:
    """What `tunnel member` answers."""
    found = await account_for(command.account, store, act, now)
    if not isinstance(found, Success):
        return found
    account = value_of(found).account
    if command.verb == "list":
        read = await all_of(lambda page: store.members(account, page))
        return listed("members", ("IDENTITY", "ROLE", "SINCE"), read, _member_row, _member_json)
    if command.verb == "remove":
        return told(await store.remove_member(account, command.identity, act, now), _member_json, "removed")
    role = role_of(command.role)
    identity = command.identity
    if role is None or not identity or not identity.isprintable() or identity != identity.strip():
        return refused_for(BadArgument("IDENTITY", identity, "an e-mail address, or ISSUER|SUBJECT"))
    member = Member(account, identity, role, now)
    return told(await store.add_member(member, act, now), _member_json, f"{role.value} of {command.account}")


async def name_answer(command: NameCommand, store: Store, act: Act, now: UnixSeconds) -> Outcome[Answer, Refusal]:
    """What `tunnel name` answers."""
    whose: Account | None = None
    if command.account is not None:
        found = await account_for(command.account, store, act, now)
        if not isinstance(found, Success):
            return found
        whose = value_of(found)
    if command.verb == "list":
        return await _names(whose, store)
    label = label_of(command.name)
    if not isinstance(label, Success):
        return refused_for(BadArgument("NAME", command.name, _LABELS))
    if command.verb == "release":
        holder = None if whose is None else whose.account
        return told(await store.release_name(value_of(label), holder, act, now), _name_json, "free for anybody")
    if whose is None:
        return refused("name reserve needs --account")
    record = NameRecord(value_of(label), whose.account, now, command.note)
    return told(await store.reserve_name(record, act, now), _name_json, f"reserved for {command.account}")


async def names_by_id(store: Store) -> Outcome[dict[AccountId, str], StoreError]:
    """What each account is called."""
    read = await all_of(store.accounts)
    if not isinstance(read, Success):
        return read
    return Success({account.account: account.name for account in value_of(read)})


_ACCOUNT_HEAD: Final = ("ACCOUNT", "STATE", "PLAN", "LIFE", "LONGEST", "CREATED")


def _account(name: str, default: int, longest: int, plan: str, now: UnixSeconds) -> Account:
    return Account(account_id_of(name), name, now, plan, is_suspended=False, ttl_default=default, ttl_max=longest)


async def _created(
    command: AccountCommand, store: Store, act: Act, now: UnixSeconds, lives: tuple[int, int]
) -> Outcome[Answer, Refusal]:
    name = command.name
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable() or name != name.strip():
        return refused_for(BadArgument("NAME", name, _NAMES))
    made = await store.create_account(_account(name, *lives, command.plan or DEFAULT_PLAN, now), act, now)
    if not isinstance(made, Success):
        return refused_by(error_of(made))
    return Success(Answer(tuple(_account_lines(value_of(made))), _account_json(value_of(made))))


async def _shown(account: Account, store: Store) -> Outcome[Answer, Refusal]:
    people = await all_of(lambda page: store.members(account.account, page))
    names = await all_of(lambda page: store.names(account.account, page))
    if not isinstance(people, Success):
        return refused_by(error_of(people))
    if not isinstance(names, Success):
        return refused_by(error_of(names))
    lines = [
        *_account_lines(account),
        *[f"{member.role.value}: {member.identity}" for member in value_of(people)],
        *[f"name: {name.name}" for name in value_of(names)],
    ]
    data: dict[str, Json] = {
        **_account_json(account),
        "members": [_member_json(member) for member in value_of(people)],
        "names": [str(name.name) for name in value_of(names)],
    }
    return Success(Answer(tuple(lines), data))


async def _names(whose: Account | None, store: Store) -> Outcome[Answer, Refusal]:
    called = await names_by_id(store)
    if not isinstance(called, Success):
        return refused_by(error_of(called))
    names = value_of(called)
    read = await all_of(lambda page: store.names(None if whose is None else whose.account, page))

    def row(name: NameRecord) -> Sequence[str]:
        return (name.name, names.get(name.account, name.account.hex()), day_text(name.reserved), name.note)

    return listed("names", ("NAME", "ACCOUNT", "SINCE", "NOTE"), read, row, _name_json)


def _lives(command: AccountCommand) -> Outcome[tuple[int | None, int | None], Refusal]:
    """The two lives that were asked for: None where nothing was said, 0 for `none`."""
    seconds: list[int | None] = []
    for flag, text in (("--ttl-default", command.ttl_default), ("--ttl-max", command.ttl_max)):
        life = 0 if text == "none" else ttl_of(text or "")
        if text is not None and life is None:
            return refused_for(BadArgument(flag, text, f"{TTL_FORMS}, or none"))
        seconds.append(None if text is None else life)
    default, longest = seconds
    if default is not None and longest is not None and 0 < longest < default:
        return refused("--ttl-default: it is more than --ttl-max; nothing could live that long")
    return Success((default, longest))


def _state(account: Account) -> str:
    return "suspended" if account.is_suspended else "active"


def _account_lines(account: Account) -> list[str]:
    return [
        f"account {account.name} ({account.account.hex()}), {_state(account)}, plan {account.plan}",
        f"tokens live {ttl_text(account.ttl_default)} by default, {ttl_text(account.ttl_max)} at most",
    ]


def _account_row(account: Account) -> Sequence[str]:
    lives = (ttl_text(account.ttl_default), ttl_text(account.ttl_max))
    return (account.name, _state(account), account.plan, *lives, day_text(account.created))


def _account_json(account: Account) -> dict[str, Json]:
    return {
        "account": account.account.hex(),
        "name": account.name,
        "is_suspended": account.is_suspended,
        "plan": account.plan,
        "ttl_default": account.ttl_default,
        "ttl_max": account.ttl_max,
        "created": account.created,
    }


def _member_row(member: Member) -> Sequence[str]:
    return (member.identity, member.role.value, day_text(member.added))


def _member_json(member: Member) -> Json:
    return {"identity": member.identity, "role": member.role.value, "added": member.added}


def _name_json(name: NameRecord) -> Json:
    return {"name": name.name, "account": name.account.hex(), "reserved": name.reserved, "note": name.note}
