"""A message of the provider, read as strictly as anything else that strangers can send us (BILL-HOOK)."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

from stripe import SignatureVerificationError, WebhookSignature

from tunnel.core.base.outcome import Failure, Outcome, Success

TOLERANCE_SECONDS: Final = 300
"""A signature that is older is not taken: somebody may have kept the message."""
_ID_CHARS_MAX: Final = 255
_SIGNATURE_CHARS_MAX: Final = 2048


@final
class MessageFault(Enum):
    """Why a message is not taken; the value is a sentence."""

    SIGNATURE = "The Stripe-Signature does not fit the body, the secret and the time."
    NOT_JSON = "The body is not JSON."
    NOT_AN_EVENT = "The body is no event: id, type and data.object are expected."


@final
@dataclass(frozen=True, slots=True)
class Message:
    """News of a customer; `customer` is "" when the message is about nothing that we follow."""

    event: str
    kind: str
    customer: str


def read_message(body: bytes, signature: str, secret: str) -> Outcome[Message, MessageFault]:
    """The message, if the provider signed it in the last minutes."""
    if len(signature) > _SIGNATURE_CHARS_MAX or not signature.isascii():  # the package compares no other characters
        return Failure(MessageFault.SIGNATURE)
    try:
        text = body.decode("utf-8")
        WebhookSignature.verify_header(text, signature, secret, TOLERANCE_SECONDS)
    except (SignatureVerificationError, ValueError):
        return Failure(MessageFault.SIGNATURE)
    return message_of(text)


def message_of(text: str) -> Outcome[Message, MessageFault]:
    """The message that the text is; its signature has been looked at."""
    try:
        told: object = json.loads(text)
    except (ValueError, RecursionError):
        return Failure(MessageFault.NOT_JSON)
    if not isinstance(told, dict):
        return Failure(MessageFault.NOT_AN_EVENT)
    event, kind, data = told.get("id"), told.get("type"), told.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    if not _is_id(event) or not _is_id(kind) or not isinstance(about, dict):
        return Failure(MessageFault.NOT_AN_EVENT)
    if not str(kind).startswith(("customer.", "invoice.", "checkout.session.")):
        return Success(Message(str(event), str(kind), ""))
    customer = about.get("id") if about.get("object") == "customer" else about.get("customer")
    if customer is None:
        return Success(Message(str(event), str(kind), ""))
    if not _is_id(customer):
        return Failure(MessageFault.NOT_AN_EVENT)
    return Success(Message(str(event), str(kind), str(customer)))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _ID_CHARS_MAX and value.isascii() and value.isprintable()
