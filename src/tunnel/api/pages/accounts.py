"""Accounts, for an operator: made, changed, suspended and resumed; the way into each of them."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.api.pages.desk import Desk
from tunnel.api.pages.live_sessions import Question
from tunnel.api.pages.visit import NOT_FOUND, Answer, Moved, Page, Visit, trouble_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.account import DEFAULT_PLAN, Account, AccountChange
from tunnel.core.control.page import Page as StorePage
from tunnel.core.control.ttl import TTL_FORMS, ttl_of, ttl_text
from tunnel.core.token.token import ACCOUNT_BYTES, AccountId
from tunnel.store.errors import AlreadyExists, NotFound, describe

_NAME_CHARS_MAX: Final = 100


@final
@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts by name, and the plans there are."""

    accounts: tuple[Account, ...]
    plans: tuple[tuple[str, str], ...]
    older: str
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class OneAccount:
    """One account's settings."""

    account: Account
    plans: tuple[tuple[str, str], ...]
    now: UnixSeconds


async def accounts(desk: Desk, visit: Visit) -> Answer:
    """The list, and the form for a new one."""
    return await _list(desk, visit, {}, 200)


async def _list(desk: Desk, visit: Visit, wrong: dict[str, str], status: int) -> Answer:
    told, plans = await desk.plane.store.accounts(StorePage(visit.query.get("after", ""))), await _plans(desk)
    if not isinstance(told, Success):
        return trouble_of(error_of(told))
    following = value_of(told).next
    older = visit.link("/accounts", after=following) if following else ""
    values = {"name": visit.said("name"), "plan": visit.said("plan") or DEFAULT_PLAN}
    record = Accounts(value_of(told).items, plans, older, visit.now)
    return Page("accounts.html", "Accounts", record, status, wrong, values)


async def _plans(desk: Desk) -> tuple[tuple[str, str], ...]:
    """The plans to choose from; only the default when they cannot be had, which the page's own reading then says."""
    told = await desk.plane.store.plans()
    names = tuple(plan.plan for plan in value_of(told)) if isinstance(told, Success) else (DEFAULT_PLAN,)
    return tuple((name, name) for name in names)


async def create(desk: Desk, visit: Visit) -> Answer:
    """A new account."""
    name = visit.said("name")
    if not name or len(name) > _NAME_CHARS_MAX or not name.isprintable():
        return await _list(desk, visit, {"name": f"One line of 1 to {_NAME_CHARS_MAX} characters."}, 422)
    made = AccountId(desk.plane.entropy.random_bytes(ACCOUNT_BYTES))
    account = Account(
        made, name, visit.now, visit.said("plan") or DEFAULT_PLAN, is_suspended=False, ttl_default=0, ttl_max=0
    )
    created = await desk.plane.store.create_account(account, visit.act, visit.now)
    if not isinstance(created, Success):
        error = error_of(created)
        if isinstance(error, (AlreadyExists, NotFound)):
            return await _list(desk, visit, {"name": describe(error)}, 422)
        return trouble_of(error)
    return Moved(f"/people?account={made.hex()}&done=account-made")


async def account(desk: Desk, visit: Visit) -> Answer:
    """One account's settings."""
    return await _one(desk, visit, {}, 200)


async def _one(desk: Desk, visit: Visit, wrong: dict[str, str], status: int) -> Answer:
    if visit.account is None:
        return NOT_FOUND
    shown, plans = visit.account, await _plans(desk)
    values = {
        "plan": visit.said("plan") or shown.plan,
        "ttl_default": visit.said("ttl_default") or (ttl_text(shown.ttl_default) if shown.ttl_default else ""),
        "ttl_max": visit.said("ttl_max") or (ttl_text(shown.ttl_max) if shown.ttl_max else ""),
    }
    return Page("account.html", shown.name, OneAccount(shown, plans, visit.now), status, wrong, values)


async def change(desk: Desk, visit: Visit) -> Answer:
    """Another plan, other bounds of time."""
    if visit.account is None:
        return NOT_FOUND
    times: dict[str, int] = {}
    wrong: dict[str, str] = {}
    for name in ("ttl_default", "ttl_max"):
        text = visit.said(name)
        seconds = ttl_of(text) if text else 0
        if seconds is None:
            wrong[name] = f"This is not {TTL_FORMS}; empty for no limit."
        times[name] = seconds or 0
    if wrong:
        return await _one(desk, visit, wrong, 422)
    new = AccountChange(plan=visit.said("plan") or None, ttl_default=times["ttl_default"], ttl_max=times["ttl_max"])
    changed = await desk.plane.store.change_account(visit.account.account, new, visit.act, visit.now)
    if not isinstance(changed, Success):
        return trouble_of(error_of(changed))
    return Moved(f"/accounts/one?account={visit.account.account.hex()}&done=account-changed")


async def ask_suspend(_desk: Desk, visit: Visit) -> Answer:
    """The question before an account is suspended."""
    if visit.account is None:
        return NOT_FOUND
    question = Question(
        f"Suspend the account “{visit.account.name}”?",
        "All its sessions end within a second and none begins until it is resumed. Nothing is deleted.",
        "/accounts/suspend",
        "Suspend the account",
        "/accounts/one",
    )
    return Page("confirm.html", "Suspend an account", question)


async def suspend(desk: Desk, visit: Visit) -> Answer:
    """An account suspended."""
    return await _set_suspended(desk, visit, is_suspended=True)


async def resume(desk: Desk, visit: Visit) -> Answer:
    """An account resumed."""
    return await _set_suspended(desk, visit, is_suspended=False)


async def _set_suspended(desk: Desk, visit: Visit, *, is_suspended: bool) -> Answer:
    if visit.account is None:
        return NOT_FOUND
    new = AccountChange(is_suspended=is_suspended)
    changed = await desk.plane.store.change_account(visit.account.account, new, visit.act, visit.now)
    if not isinstance(changed, Success):
        return trouble_of(error_of(changed))
    done = "account-suspended" if is_suspended else "account-resumed"
    return Moved(f"/accounts/one?account={visit.account.account.hex()}&done={done}")
