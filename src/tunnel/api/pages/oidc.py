"""Sign-in with an OpenID Connect provider: the code flow with PKCE, state and nonce (DASH-OIDC, ADR 0076).

authlib writes the authorization request and judges the claims, joserfc checks the signature, httpx carries. Whatever a
provider or a browser sends becomes a value; what is being signed in is kept here, bounded, and used up by one answer.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final
from urllib.parse import urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tunnel.api.pages.cookies import digest_of, new_id
from tunnel.api.pages.settings import OidcSettings
from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "Ed25519")
"""Signatures by a private key only: an HMAC or `none` would let whoever knows the public part sign."""
FLOW_SECONDS: Final = 600
"""Long enough for a password and a second factor."""
FLOWS_MAX: Final = 1000
"""Anybody may begin one; beyond this the oldest is forgotten, so that they cost a bounded amount of memory."""
DISCOVERY_SECONDS: Final = 3600
ANSWER_BYTES_MAX: Final = 256 * 1024
PATIENCE_SECONDS: Final = 10.0
LEEWAY_SECONDS: Final = 60
"""How far the provider's clock may be from ours."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@final
@dataclass(frozen=True, slots=True)
class ProviderAway:
    """The provider did not answer, or not as a provider does."""

    detail: str


@final
@dataclass(frozen=True, slots=True)
class ProviderRefused:
    """The provider said no: to the person, or to the code."""

    error: str


@final
@dataclass(frozen=True, slots=True)
class FlowUnknown:
    """The answer belongs to no sign-in that this browser began in the last minutes, or is used already."""


@final
@dataclass(frozen=True, slots=True)
class TokenUnfit:
    """The identity token is not what this sign-in asked for; nobody is signed in by it."""

    detail: str


OidcError: TypeAlias = ProviderAway | ProviderRefused | FlowUnknown | TokenUnfit


@final
@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and the value of its flow cookie."""

    url: str
    cookie: str


@final
@dataclass(frozen=True, slots=True)
class Person:
    """Who the provider says it is: under these identities a member may be known, the surest first."""

    identities: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class _Flow:
    state: str
    nonce: str
    verifier: str
    redirect: str
    until: Instant


@final
@dataclass(frozen=True, slots=True)
class _Provider:
    authorization: str
    token: str
    keys: str
    until: Instant


@final
class OidcClient:
    """All sign-ins with one provider; holds no connection between two of them."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings: Final = settings
        self._flows: dict[bytes, _Flow] = {}
        self._provider: _Provider | None = None

    async def begin(self, redirect: str, now: Instant) -> Outcome[Begun, ProviderAway]:
        """A new sign-in that ends at `redirect`, within `FLOW_SECONDS`."""
        provider = await self._discovered(now)
        if not isinstance(provider, Success):
            return provider
        flow = _Flow(new_id(), new_id(), new_id(), redirect, Instant(now + FLOW_SECONDS))
        cookie = new_id()
        self._keep(digest_of(cookie), flow, now)
        url = prepare_grant_uri(
            value_of(provider).authorization,
            client_id=self._settings.client_id,
            response_type="code",
            redirect_uri=redirect,
            scope="openid email",
            state=flow.state,
            nonce=flow.nonce,
            code_challenge=create_s256_code_challenge(flow.verifier),
            code_challenge_method="S256",
        )
        return Success(Begun(str(url), cookie))

    async def finish(
        self, cookie: str, answer: Mapping[str, str], now: Instant, unix: UnixSeconds
    ) -> Outcome[Person, OidcError]:
        """Who came back with this answer in the query; each sign-in ends with the first answer to it."""
        flow = self._flows.pop(digest_of(cookie), None)
        if flow is None or now > flow.until or not hmac.compare_digest(flow.state.encode(), _text(answer, "state")):
            return Failure(FlowUnknown())
        # RFC 9207: an answer that names another issuer is somebody else's (mix-up).
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            return Failure(FlowUnknown())
        if "error" in answer or "code" not in answer:
            return Failure(ProviderRefused(answer.get("error", "no code")[:100]))
        provider = await self._discovered(now)
        if not isinstance(provider, Success):
            return provider
        told = await self._exchanged(value_of(provider), flow, answer["code"])
        if not isinstance(told, Success):
            return told
        keys = await self._fetched(value_of(provider).keys)
        if not isinstance(keys, Success):
            return keys
        return self._judged(value_of(told), value_of(keys), flow, unix)

    def _keep(self, key: bytes, flow: _Flow, now: Instant) -> None:
        for old in [known for known, held in self._flows.items() if now > held.until]:
            del self._flows[old]
        if len(self._flows) >= FLOWS_MAX:
            del self._flows[next(iter(self._flows))]
        self._flows[key] = flow

    async def _discovered(self, now: Instant) -> Outcome[_Provider, ProviderAway]:
        if self._provider is not None and now <= self._provider.until:
            return Success(self._provider)
        issuer = self._settings.issuer
        told = await self._fetched(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if not isinstance(told, Success):
            return told
        found = value_of(told)
        urls = [found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        texts = [url for url in urls if isinstance(url, str) and _is_safe(url)]
        # OpenID Connect Discovery 1.0 section 4.3: another issuer's description is no description of this one.
        if found.get("issuer") != issuer or len(texts) != len(urls):
            return Failure(ProviderAway(f"{issuer} names another issuer, or URLs without https"))
        self._provider = _Provider(texts[0], texts[1], texts[2], Instant(now + DISCOVERY_SECONDS))
        return Success(self._provider)

    async def _exchanged(self, provider: _Provider, flow: _Flow, code: str) -> Outcome[str, OidcError]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect,
            "client_id": self._settings.client_id,
            "code_verifier": flow.verifier,
        }
        secret = self._settings.client_secret
        told = await self._fetched(provider.token, form | ({"client_secret": secret} if secret else {}))
        if not isinstance(told, Success):
            return told
        found = value_of(told)
        if "error" in found:
            return Failure(ProviderRefused(str(found["error"])[:100]))
        token = found.get("id_token")
        return Success(token) if isinstance(token, str) else Failure(TokenUnfit("there is no identity token"))

    async def _fetched(self, url: str, form: dict[str, str] | None = None) -> Outcome[dict[str, object], ProviderAway]:
        """The JSON object at `url`; redirects are not followed, so that no other host gets our secret."""
        try:
            async with (
                httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client,
                client.stream("GET" if form is None else "POST", url, data=form) as answer,
            ):
                raw = bytearray()
                async for piece in answer.aiter_bytes():
                    raw += piece
                    if len(raw) > ANSWER_BYTES_MAX:
                        return Failure(ProviderAway(f"the answer of {url} is longer than {ANSWER_BYTES_MAX} bytes"))
        except (httpx.HTTPError, httpx.InvalidURL) as cause:
            return Failure(ProviderAway(f"{url}: {type(cause).__name__}"))
        return _object(url, bytes(raw))

    def _judged(
        self, token: str, keys: dict[str, object], flow: _Flow, unix: UnixSeconds
    ) -> Outcome[Person, TokenUnfit]:
        try:
            read = jwt.decode(token, _key_set(keys), algorithms=list(ALGORITHMS))
            claims = CodeIDToken(
                read.claims,
                read.header,
                options={
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                params={"nonce": flow.nonce, "client_id": self._settings.client_id},
            )
            claims.validate(now=unix, leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as cause:
            # What a hostile token can make of a library is any of these; its text may repeat the token.
            return Failure(TokenUnfit(type(cause).__name__))
        subject, mail = read.claims.get("sub"), read.claims.get("email")
        if not isinstance(subject, str) or not subject:
            return Failure(TokenUnfit("it names nobody"))
        found = [f"{self._settings.issuer}|{subject}"]
        # An address that the provider did not verify is what somebody typed.
        if isinstance(mail, str) and mail and read.claims.get("email_verified") is True:
            found.append(mail.lower())
        return Success(Person(tuple(found)))


def describe(error: OidcError) -> str:
    """What happened and what to do, for the person at the sign-in page."""
    if isinstance(error, ProviderAway):
        return "The sign-in provider does not answer as it should. Try again, or sign in with an API key."
    if isinstance(error, ProviderRefused):
        return f"The sign-in provider said no ({error.error}). Try again, or ask whoever runs it."
    if isinstance(error, FlowUnknown):
        return "This sign-in was begun elsewhere, too long ago, or used already. Begin again."
    return "The sign-in provider vouched for something else than was asked. Nobody was signed in; tell the operator."


def _text(answer: Mapping[str, str], name: str) -> bytes:
    return answer.get(name, "").encode("utf-8", "replace")


def _is_safe(url: str) -> bool:
    """Whether what is sent there stays between us and the provider: https, or this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and (parts.hostname or "") in _LOOPBACK)


def _key_set(keys: dict[str, object]) -> KeySet:
    held = keys.get("keys")
    return KeySet.import_key_set(
        {"keys": [key for key in held if isinstance(key, dict)] if isinstance(held, list) else []}
    )


def _object(url: str, raw: bytes) -> Outcome[dict[str, object], ProviderAway]:
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError):
        return Failure(ProviderAway(f"{url} answered with something that is not JSON"))
    return Success(told) if isinstance(told, dict) else Failure(ProviderAway(f"{url} answered with no JSON object"))
