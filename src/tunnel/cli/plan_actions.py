"""What the commands about plans and billing do to the store, and what they answer."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from tunnel.api.billing.payments import Payments
from tunnel.api.billing.settings import KEY_VARIABLE, WEBHOOK_VARIABLE, BillingSettings, billing_settings
from tunnel.cli.account_actions import names_by_id
from tunnel.cli.answers import Answer, Json, Refusal, all_of, day_text, listed, refused, refused_by, refused_for, told
from tunnel.cli.commands import BillingCommand, PlanCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import BadArgument
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import decimal
from tunnel.core.control.account import Account, Plan
from tunnel.core.control.act import Act
from tunnel.core.control.billing import BillingRecord
from tunnel.core.token.token import AccountId
from tunnel.store.errors import NotFound
from tunnel.store.port import Store

_DIGITS_MAX: Final = 18
_NAME_CHARS_MAX: Final = 64
_PLAN_HEAD: Final = ("PLAN", "NAMES", "ENDPOINTS", "REQUESTS/MONTH", "BYTES/MONTH", "REQUESTS/S")
_BILLING_HEAD: Final = ("ACCOUNT", "CUSTOMER", "PLAN", "STATUS", "SEEN")
_CUSTOMER: Final = "the ID of a customer at Stripe, cus_..."


async def plan_answer(command: PlanCommand, store: Store, act: Act, now: UnixSeconds) -> Outcome[Answer, Refusal]:
    """What `tunnel plan` answers."""
    if command.verb == "list":
        read = await store.plans()
        rows = Success(list(value_of(read))) if isinstance(read, Success) else Failure(error_of(read))
        return listed("plans", _PLAN_HEAD, rows, _plan_row, _plan_json)
    if not 0 < len(command.plan) <= _NAME_CHARS_MAX or not command.plan.isprintable():
        return refused_for(BadArgument("PLAN", command.plan, f"1 to {_NAME_CHARS_MAX} printable characters"))
    found = await store.plan(command.plan)
    if not isinstance(found, Success) and not isinstance(error_of(found), NotFound):
        return refused_by(error_of(found))
    before = value_of(found) if isinstance(found, Success) else Plan(command.plan, 0, 0, 0, 0, 0)
    amounts: list[int] = []
    held = (before.names_max, before.endpoints_max, before.requests_month, before.bytes_month, before.requests_second)
    for (flag, text), there in zip(command.amounts, held, strict=True):
        amount = there if text is None else _amount(text)
        if amount is None:
            return refused_for(BadArgument(flag, text or "", "a number; 0 is no limit"))
        amounts.append(amount)
    names, endpoints, requests, size, rate = amounts
    plan = Plan(command.plan, names, endpoints, requests, size, rate)
    return told(await store.set_plan(plan, act, now), _plan_json, f"plan {command.plan} is set")


async def billing_answer(
    command: BillingCommand, store: Store, act: Act, now: UnixSeconds, environment: Mapping[str, str]
) -> Outcome[Answer, Refusal]:
    """What `tunnel billing` answers."""
    if command.verb == "list":
        named = await names_by_id(store)
        if not isinstance(named, Success):
            return refused_by(error_of(named))
        names = value_of(named)
        read = await all_of(store.billings)
        return listed("customers", _BILLING_HEAD, read, lambda each: _billing_row(each, names), _billing_json)
    found = await store.account_named(command.account)
    if not isinstance(found, Success):
        return refused_by(error_of(found))
    account = value_of(found)
    customer = command.customer
    if customer is None:
        made = await _made_customer(account, command.email or "", environment)
        if not isinstance(made, Success):
            return made
        customer = value_of(made)
    elif not customer.startswith("cus_") or not customer.isascii() or not customer.isprintable():
        return refused_for(BadArgument("--customer", customer, _CUSTOMER))
    linked = await store.link_customer(account.account, customer, act, now)
    return told(linked, _billing_json, f"{command.account} is {customer}; its subscriptions decide its plan")


async def _made_customer(account: Account, email: str, environment: Mapping[str, str]) -> Outcome[str, Refusal]:
    """A new customer at Stripe."""
    asked = billing_settings(environment)
    if not isinstance(asked, Success):
        return refused(error_of(asked))
    settings = value_of(asked)
    if settings is None:
        return refused(
            f"--email makes a customer at Stripe: set {KEY_VARIABLE} and {WEBHOOK_VARIABLE}, or give --customer"
        )
    if find_spec("stripe") is None:
        return refused("the package stripe is not installed: pip install 'tunnel[billing]'")
    payments: Payments = _stripe(settings)
    try:
        made = await payments.create_customer(account, email)
    finally:
        await payments.close()
    if isinstance(made, Success):
        return Success(value_of(made))
    return Failure(Refusal(f"Stripe did not make a customer: {error_of(made).detail}", ExitCode.NETWORK))


def _stripe(settings: BillingSettings) -> Payments:
    """Imported here, as it takes half a second."""
    made: Payments = import_module("tunnel.api.billing.stripe_payments").StripePayments(settings)
    return made


def _amount(text: str) -> int | None:
    return decimal(text.encode("ascii", "replace")) if 0 < len(text) <= _DIGITS_MAX else None


def _plan_row(plan: Plan) -> tuple[str, ...]:
    amounts = (plan.names_max, plan.endpoints_max, plan.requests_month, plan.bytes_month, plan.requests_second)
    return (plan.plan, *(str(amount) if amount else "no limit" for amount in amounts))


def _plan_json(plan: Plan) -> Json:
    return {
        "plan": plan.plan,
        "names_max": plan.names_max,
        "endpoints_max": plan.endpoints_max,
        "requests_month": plan.requests_month,
        "bytes_month": plan.bytes_month,
        "requests_second": plan.requests_second,
    }


def _billing_row(record: BillingRecord, names: Mapping[AccountId, str]) -> tuple[str, ...]:
    name = names.get(record.account, record.account.hex())
    return (name, record.customer, record.plan, record.status, day_text(record.synced))


def _billing_json(record: BillingRecord) -> Json:
    return {
        "account": record.account.hex(),
        "customer": record.customer,
        "plan": record.plan,
        "subscription": record.subscription,
        "status": record.status,
        "synced": record.synced,
    }
