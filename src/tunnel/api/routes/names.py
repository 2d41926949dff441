"""Reserved names, and who answers for a name."""

from tunnel.api.calls import (
    AccountInPath,
    AccountText,
    AskedPage,
    Listing,
    Moment,
    NameInPath,
    Shape,
    Text,
    ThisCall,
    account_id,
)
from tunnel.api.nouns import CREATED, Noun
from tunnel.api.problems import ProblemAnswer
from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.roles import Scope
from tunnel.core.route.name import describe, label_of
from tunnel.store.errors import NotFound

noun = Noun("names")


class NameOut(Shape):
    """A reserved name: nobody but its account is given it."""

    name: str
    account: AccountText
    reserved: Moment
    note: str


class NameIn(Shape):
    """Why the name is reserved, for people."""

    note: Text = ""


class NamePage(Listing[NameOut]):
    """Reserved names, by name."""


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


class LeasePage(Listing[LeaseOut]):
    """Leases, by name."""


@noun.reads("/accounts/{account}/names", Scope.NAME_READ, NamePage)
async def list_names(call: ThisCall, asked: AskedPage) -> Listing[NameOut] | ProblemAnswer:
    """List the names that an account has reserved."""
    return call.listed(await call.store.names(asked.account, asked.page), _name_out, NamePage)


@noun.writes("PUT", "/accounts/{account}/names/{name}", Scope.NAME_WRITE, NameOut, CREATED)
async def reserve_name(
    call: ThisCall, account: AccountInPath, name: NameInPath, asked: NameIn
) -> NameOut | ProblemAnswer:
    """Reserve a name for an account, within its plan."""
    label = label_of(name)
    if not isinstance(label, Success):
        return call.wrong("path.name", describe(error_of(label)))
    record = NameRecord(value_of(label), account_id(account), call.now, asked.note)
    reserved = await call.keeping(_name_out, CREATED).reserve_name(record, call.actor.act, call.now)
    return call.answered(reserved, _name_out)


@noun.writes("DELETE", "/accounts/{account}/names/{name}", Scope.NAME_WRITE, NameOut)
async def release_name(call: ThisCall, account: AccountInPath, name: NameInPath) -> NameOut | ProblemAnswer:
    """Give a reserved name up."""
    released = await call.keeping(_name_out).release_name(Label(name), account_id(account), call.actor.act, call.now)
    return call.answered(released, _name_out)


@noun.reads("/accounts/{account}/names/{name}/holder", Scope.NAME_READ, Holder)
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
        is_taken=reservation is not None or any(each.lapses > call.now for each in value_of(leases)),
        reservation=_name_out(reservation) if reservation is not None and reservation.account == asking else None,
        leases=shown,
    )


@noun.reads("/accounts/{account}/leases", Scope.NAME_READ, LeasePage)
async def list_leases(call: ThisCall, asked: AskedPage) -> Listing[LeaseOut] | ProblemAnswer:
    """List who answered for the names of an account when the data plane last said, on every host."""
    return call.listed(await call.store.leases(asked.account, asked.page), _lease_out, LeasePage)


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
