"""How the control process learns that it bills, and with which secrets: files, named by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success, value_of

KEY_VARIABLE: Final = "TUNNEL_STRIPE_KEY_FILE"
WEBHOOK_VARIABLE: Final = "TUNNEL_STRIPE_WEBHOOK_FILE"
API_VARIABLE: Final = "TUNNEL_STRIPE_API"
STRIPE_API: Final = "https://api.stripe.com"
_SECRET_CHARS_MAX: Final = 512


@final
@dataclass(frozen=True, slots=True)
class BillingSettings:
    """The secret key, the secret that signs webhooks, and where Stripe is."""

    key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    api: str = STRIPE_API


def billing_settings(environment: Mapping[str, str]) -> Outcome[BillingSettings | None, str]:
    """What the environment says; None when it names no key, and the sentence to say when it is wrong."""
    named = environment.get(KEY_VARIABLE, "")
    if not named:
        return Success(None)
    key = _secret(KEY_VARIABLE, named)
    if not isinstance(key, Success):
        return key
    signs = environment.get(WEBHOOK_VARIABLE, "")
    if not signs:
        return Failure(f"{KEY_VARIABLE} is set; set {WEBHOOK_VARIABLE}, too, to the file with the webhook's whsec_...")
    secret = _secret(WEBHOOK_VARIABLE, signs)
    if not isinstance(secret, Success):
        return secret
    api = environment.get(API_VARIABLE, "") or STRIPE_API
    if not api.startswith(("https://", "http://127.0.0.1:", "http://[::1]:")):
        return Failure(f"{API_VARIABLE} is `{api[:100]}`; it has to begin with https://, or be on this machine")
    return Success(BillingSettings(value_of(key), value_of(secret), api.rstrip("/")))


def _secret(variable: str, named: str) -> Outcome[str, str]:
    """The one line of a file."""
    try:
        text = Path(named).read_text(encoding="ascii").strip()
    except OSError as cause:
        return Failure(f"{variable}: {named}: {cause.strerror or cause}")
    except UnicodeError:
        return Failure(f"{variable}: {named}: a secret is one line of ASCII")
    if not text or len(text) > _SECRET_CHARS_MAX or not text.isprintable() or " " in text:
        return Failure(f"{variable}: {named}: a secret is one line of ASCII without spaces")
    return Success(text)
