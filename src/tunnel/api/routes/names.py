"""Reserved names, and who answers for a name."""

from fastapi import APIRouter

from tunnel.api.calls import (
    LIMIT,
    AccountInPath,
    AccountText,
    After,
    Limit,
    Moment,
    NameInPath,
    Next,
    Shape,
    Text,
    ThisCall,
    account_id,
    page_of,
    reading,
    writing,
)
from tunnel.api.problems import ProblemAnswer
from tunnel.api.scoped import ScopedRoute
from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.roles import Scope
from tunnel.core.route.name import describe, label_of
from tunnel.store.errors import NotFound

router = APIRouter(route_class=ScopedRoute, tags=["names"])


class NameOut(Shape):
    """A reserved name: nobody but its account is given it."""

    name: str
    account: AccountText
    reserved: Moment
    note: str


class NameIn(Shape):
    """Why the name is reserved, for people."""

    note: Text = ""


class NamePage(Shape):
    """Reserved names, by name."""

    items: list[NameOut]
    next: Next


class LeaseOut(Shape):
    """Who answered for a name when the data plane last said: which session of an agent, from where, until when."""

    name: str
    account: AccountText
    session: str
    peer: str
    host: str
    epoch: int
    since: Moment
    heartbeat: Moment
    lapses: Moment


class Holder(Shape):
    """Who has a name: by reservation, and by the leases last reported. What is of another account is not shown."""

    name: str
    is_taken: bool
    reservation: NameOut | None
    leases: list[LeaseOut]


class LeasePage(Shape):
    """Leases, by name."""

    items: list[LeaseOut]
    next: Next


@router.get(
    "/accounts/{account}/names",
    response_model=NamePage,
    openapi_extra=reading(Scope.NAME_READ.value),
    operation_id="list_names",
)
async def list_names(
    call: ThisCall, account: AccountInPath, after: After = "", limit: Limit = LIMIT
) -> NamePage | ProblemAnswer:
    """List the names that an account has reserved."""
    found = await call.store.names(account_id(account), page_of(after, limit))
    if not isinstance(found, Success):
        return call.refused_page(error_of(found))
    page = value_of(found)
    return NamePage(items=[_name_out(each) for each in page.items], next=page.next)


@router.put(
    "/accounts/{account}/names/{name}",
    response_model=NameOut,
    status_code=201,
    openapi_extra=writing(Scope.NAME_WRITE.value),
    operation_id="reserve_name",
)
async def reserve_name(
    call: ThisCall, account: AccountInPath, name: NameInPath, asked: NameIn
) -> NameOut | ProblemAnswer:
    """Reserve a name for an account, within its plan."""
    label = label_of(name)
    if not isinstance(label, Success):
        return call.wrong("path.name", describe(error_of(label)))
    record = NameRecord(value_of(label), account_id(account), call.now, asked.note)
    reserved = await call.store.reserve_name(record, call.actor.act, call.now)
    return _name_out(value_of(reserved)) if isinstance(reserved, Success) else call.refused(error_of(reserved))


@router.delete(
    "/accounts/{account}/names/{name}",
    response_model=NameOut,
    openapi_extra=writing(Scope.NAME_WRITE.value),
    operation_id="release_name",
)
async def release_name(call: ThisCall, account: AccountInPath, name: NameInPath) -> NameOut | ProblemAnswer:
    """Give a reserved name up."""
    released = await call.store.release_name(Label(name), account_id(account), call.actor.act, call.now)
    return _name_out(value_of(released)) if isinstance(released, Success) else call.refused(error_of(released))


@router.get(
    "/accounts/{account}/names/{name}/holder",
    response_model=Holder,
    openapi_extra=reading(Scope.NAME_READ.value),
    operation_id="show_holder",
)
async def show_holder(call: ThisCall, account: AccountInPath, name: NameInPath) -> Holder | ProblemAnswer:
    """Say who has a name, as far as this account may know."""
    asking = account_id(account)
    held = await call.store.name_holder(Label(name))
    if not isinstance(held, Success) and not isinstance(error_of(held), NotFound):
        return call.refused(error_of(held))
    leases = await call.store.leases_of(Label(name))
    if not isinstance(leases, Success):
        return call.refused(error_of(leases))
    reservation = value_of(held) if isinstance(held, Success) else None
    shown = [_lease_out(each) for each in value_of(leases) if each.account == asking]
    return Holder(
        name=name,
        is_taken=reservation is not None or bool(value_of(leases)),
        reservation=_name_out(reservation) if reservation is not None and reservation.account == asking else None,
        leases=shown,
    )


@router.get(
    "/accounts/{account}/leases",
    response_model=LeasePage,
    openapi_extra=reading(Scope.NAME_READ.value),
    operation_id="list_leases",
)
async def list_leases(
    call: ThisCall, account: AccountInPath, after: After = "", limit: Limit = LIMIT
) -> LeasePage | ProblemAnswer:
    """List who answered for the names of an account when the data plane last said, on every host."""
    found = await call.store.leases(account_id(account), page_of(after, limit))
    if not isinstance(found, Success):
        return call.refused_page(error_of(found))
    page = value_of(found)
    return LeasePage(items=[_lease_out(each) for each in page.items], next=page.next)


def _name_out(name: NameRecord) -> NameOut:
    return NameOut(name=name.name, account=name.account.hex(), reserved=name.reserved, note=name.note)


def _lease_out(lease: LeaseRecord) -> LeaseOut:
    return LeaseOut(
        name=lease.name,
        account=lease.account.hex(),
        session=lease.session,
        peer=lease.peer,
        host=lease.host,
        epoch=lease.epoch,
        since=lease.since,
        heartbeat=lease.heartbeat,
        lapses=lease.lapses,
    )
