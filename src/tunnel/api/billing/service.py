"""The service that bills: usage is told to the provider, and every customer is looked at now and then (BILL-METER)."""

from typing import Final

import anyio

from tunnel.api.billing.payments import ProviderAway, ProviderRefused
from tunnel.api.billing.syncing import SyncError, Syncing
from tunnel.api.board import Board
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.billing import Meter, MeterReport
from tunnel.core.control.page import PAGE_ROWS_MAX, Page
from tunnel.store.errors import NotFound
from tunnel.store.errors import describe as describe_store

SERVICE: Final = "billing"
LOOK_SECONDS: Final = 60.0
SYNC_SECONDS: Final = 3600.0
"""Every customer is looked at this often, as a message may have been lost, or two of them crossed between servers."""
_REPORTS_AT_ONCE: Final = 100
_METERS: Final = " and ".join(meter.value for meter in Meter)


async def run(syncing: Syncing, board: Board) -> None:
    """Report and look, for ever; how it stands is on the board."""
    synced_at = syncing.clock.now()
    while True:
        done = await report_usage(syncing)
        if isinstance(done, Success) and syncing.clock.now() - synced_at >= SYNC_SECONDS:
            synced_at = syncing.clock.now()
            done = await sync_all(syncing)
        if isinstance(done, Success):
            board.note(SERVICE, "up to date", is_ready=True)
        else:
            board.note(SERVICE, describe(error_of(done)), is_ready=False)
        await anyio.sleep(LOOK_SECONDS)


async def report_usage(syncing: Syncing) -> Outcome[int, SyncError]:
    """How many reports the provider took: all that are written down, or up to the first trouble.

    Each was written down before it is sent, with an identifier that the provider counts once, and is removed after:
    killed in between, it is sent again alike. One that is refused for good stays, and stands in nobody else's way.
    """
    settled = await _settle(syncing)
    if not isinstance(settled, Success):
        return settled
    taken, after = 0, ""
    refused: ProviderRefused | None = None
    while True:
        due = await syncing.store.due_reports(after, _REPORTS_AT_ONCE)
        if not isinstance(due, Success):
            return due
        for report in value_of(due):
            sent = await _send(syncing, report)
            if isinstance(sent, Success):
                taken += 1
                continue
            trouble = error_of(sent)
            if not isinstance(trouble, ProviderRefused):
                return sent
            refused = trouble
        if len(value_of(due)) < _REPORTS_AT_ONCE:
            return Success(taken) if refused is None else Failure(refused)
        after = value_of(due)[-1].identifier


async def sync_all(syncing: Syncing) -> Outcome[int, SyncError]:
    """How many customers were looked at: all; one whose price names no plan of ours stands in nobody's way."""
    page, looked = Page(limit=PAGE_ROWS_MAX), 0
    missing: NotFound | None = None
    while True:
        found = await syncing.store.billings(page)
        if not isinstance(found, Success):
            return found
        for record in value_of(found).items:
            done = await syncing.sync(record.customer, "", "billing")
            if isinstance(done, Success):
                looked += 1
                continue
            trouble = error_of(done)
            if not isinstance(trouble, NotFound):
                return done
            missing = trouble
        following = value_of(found).next
        if following is None:
            return Success(looked) if missing is None else Failure(missing)
        page = Page(following, PAGE_ROWS_MAX)


def describe(trouble: SyncError) -> str:
    """What stands in the way."""
    if isinstance(trouble, ProviderAway):
        return f"Stripe cannot be asked now: {trouble.detail}"
    if isinstance(trouble, ProviderRefused):
        return f"Stripe refuses: {trouble.detail}; look at the meters {_METERS} and at the customer there"
    return describe_store(trouble)


async def _settle(syncing: Syncing) -> Outcome[None, SyncError]:
    """Write down all usage that is over and unreported."""
    while True:
        settled = await syncing.store.settle_usage(syncing.clock.unix())
        if not isinstance(settled, Success):
            return settled
        if value_of(settled) == 0:
            return Success(None)


async def _send(syncing: Syncing, report: MeterReport) -> Outcome[None, SyncError]:
    sent = await syncing.payments.report(report)
    return await syncing.store.note_reported((report.identifier,)) if isinstance(sent, Success) else sent
