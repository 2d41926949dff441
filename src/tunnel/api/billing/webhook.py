"""`POST /billing/webhook`: where the provider says that something changed (BILL-HOOK).

No key is asked for: the signature is the key. 400 for what it did not sign or what is no event, with nothing changed;
503 when we cannot look or write now, so that it sends the message again; 200 for all else, once it is done.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from tunnel.api.actor import request_id_of
from tunnel.api.billing.messages import Message, MessageFault, read_message
from tunnel.api.billing.payments import ProviderAway, ProviderRefused
from tunnel.api.billing.settings import BillingSettings
from tunnel.api.billing.syncing import Syncing
from tunnel.api.problems import ProblemAnswer, problem_of_store
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import Hop, Problem
from tunnel.store.errors import NotFound

BAD_SIGNATURE: Final = Problem(
    "webhook-not-signed", 400, Hop.CONTROL, "The message is not signed as it should be", MessageFault.SIGNATURE.value
)
NOT_AN_EVENT: Final = Problem("webhook-malformed", 400, Hop.CONTROL, "The message is not an event", "")
PROVIDER_AWAY: Final = Problem(
    "provider-away", 503, Hop.CONTROL, "The payment provider does not answer", "Send the message again.", 30
)
PLAN_MISSING: Final = Problem(
    "plan-missing",
    503,
    Hop.CONTROL,
    "A price names a plan that is not there",
    "Make it with `tunnel plan set`; the message will come again.",
    300,
)

Hook = tuple[BillingSettings, Syncing]


def webhook(settings: BillingSettings, syncing: Syncing) -> APIRouter:
    """The route, for an application that bills."""
    router = APIRouter(include_in_schema=False)

    def given() -> Hook:
        return settings, syncing

    @router.post("/billing/webhook", response_model=None)
    async def take(request: Request, hook: Annotated[Hook, Depends(given)]) -> Response:
        """Look again at the customer that the message is about."""
        settings, syncing = hook
        signature = request.headers.getlist("stripe-signature")
        shown = signature[0] if len(signature) == 1 else ""
        read = read_message(await request.body(), shown, settings.webhook_secret)
        request_id = request_id_of(request)
        if not isinstance(read, Success):
            fault = error_of(read)
            problem = BAD_SIGNATURE if fault is MessageFault.SIGNATURE else NOT_AN_EVENT
            return ProblemAnswer(problem, fault.value, request_id)
        return await act_on(value_of(read), syncing, request_id)

    return router


async def act_on(message: Message, syncing: Syncing, request_id: str) -> Response:
    """What a signed message leads to; one that was acted on already, or is about nobody of ours, to nothing."""
    if not message.customer:
        return _done("not followed")
    seen = await syncing.store.has_billing_event(message.event)
    if not isinstance(seen, Success):
        return ProblemAnswer(*problem_of_store(error_of(seen)), request_id)
    if value_of(seen):
        return _done("known")
    known = await syncing.store.billing_of_customer(message.customer)
    if not isinstance(known, Success):
        error = error_of(known)
        unknown = isinstance(error, NotFound)
        return _done("not ours") if unknown else ProblemAnswer(*problem_of_store(error), request_id)
    done = await syncing.sync(message.customer, message.event, request_id)
    if isinstance(done, Success):
        return _done("done")
    trouble = error_of(done)
    if isinstance(trouble, (ProviderAway, ProviderRefused)):
        return ProblemAnswer(PROVIDER_AWAY, "", request_id)
    if isinstance(trouble, NotFound):
        return ProblemAnswer(PLAN_MISSING, "", request_id)
    return ProblemAnswer(*problem_of_store(trouble), request_id)


def _done(word: str) -> Response:
    return JSONResponse({"result": word})
