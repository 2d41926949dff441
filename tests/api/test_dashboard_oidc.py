"""Signing in with an OpenID Connect provider, against a real one on loopback that checks its client and can lie."""

import asyncio
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider

from tunnel.api.pages import oidc
from tunnel.api.pages.oidc import (
    FLOW_SECONDS,
    FLOWS_MAX,
    Begun,
    FlowUnknown,
    OidcClient,
    OidcError,
    Person,
    ProviderAway,
    ProviderRefused,
    TokenUnfit,
    describe,
)
from tunnel.api.pages.settings import OidcSettings
from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.drive.clock import SystemClock

NOW: Final = Instant(1000.0)
BACK: Final = "http://127.0.0.1:7480/sign-in/back"


def client_of(provider: OidcProvider) -> OidcClient:
    return OidcClient(OidcSettings(provider.issuer, CLIENT, SECRET))


async def begun(client: OidcClient, now: Instant = NOW) -> Begun:
    started = await client.begin(BACK, now)
    assert isinstance(started, Success), started
    return value_of(started)


async def came_back(url: str) -> dict[str, str]:
    """What the provider's redirect brings to us, as a browser would follow it."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == BACK
    return dict(parse_qsl(back.query))


async def signed_in(
    provider: OidcProvider, *, later: float = 0.0, change: dict[str, str] | None = None
) -> Success[Person] | Failure[OidcError]:
    client = client_of(provider)
    start = await begun(client)
    answer = await came_back(start.url) | (change or {})
    return await client.finish(start.cookie, answer, Instant(NOW + later), SystemClock().unix())


def error_with(provider: OidcProvider, fault: str) -> OidcError:
    provider.fault = fault
    ended = asyncio.run(signed_in(provider))
    assert isinstance(ended, Failure), fault
    assert describe(error_of(ended)).endswith((".", "key."))
    return error_of(ended)


@pytest.mark.shows("DASH-OIDC-001", "DASH-OIDC-004")
def test_a_person_is_known_by_issuer_and_subject_and_a_verified_address() -> None:
    with OidcProvider() as provider:
        ended = asyncio.run(signed_in(provider))
        assert isinstance(ended, Success), ended
        assert value_of(ended) == Person((f"{provider.issuer}|248289761001", "ada@example.com"))


@pytest.mark.shows("DASH-OIDC-004")
@pytest.mark.parametrize("verified", [False, "true", None, 1])
def test_an_address_that_was_not_verified_is_nobody(verified: object) -> None:
    with OidcProvider() as provider:
        provider.person["email_verified"] = verified
        ended = asyncio.run(signed_in(provider))
        assert isinstance(ended, Success)
        assert value_of(ended).identities == (f"{provider.issuer}|248289761001",)


@pytest.mark.shows("DASH-OIDC-001")
def test_every_sign_in_has_a_challenge_a_state_and_a_nonce_of_its_own() -> None:
    async def three() -> list[dict[str, str]]:
        client = client_of(provider)
        return [dict(parse_qsl(urlsplit((await begun(client)).url).query)) for _ in range(3)]

    with OidcProvider() as provider:
        asked = asyncio.run(three())
    for name in ("state", "nonce", "code_challenge"):
        assert len({each[name] for each in asked}) == 3
        assert all(len(each[name]) >= 43 for each in asked)
    # What the provider's own URL had in its query stays there.
    assert {each["code_challenge_method"] for each in asked} == {"S256"}
    assert {each["tenant"] for each in asked} == {"1"}


@pytest.mark.shows("DASH-OIDC-003")
@pytest.mark.parametrize(
    "fault",
    [
        "issuer",
        "audience",
        "second audience",
        "expired",
        "nonce",
        "nobody",
        "hmac",
        "unsigned",
        "signature",
        "no token",
    ],
)
def test_a_token_that_is_not_what_was_asked_for_signs_nobody_in(fault: str) -> None:
    with OidcProvider() as provider:
        assert isinstance(error_with(provider, fault), TokenUnfit)


@pytest.mark.shows("DASH-OIDC-005")
@pytest.mark.parametrize("fault", ["another issuer", "plain http elsewhere", "no URLs", "not JSON", "too long"])
def test_a_provider_that_answers_badly_ends_the_sign_in_before_it_begins(fault: str) -> None:
    with OidcProvider() as provider:
        provider.fault = fault
        started = asyncio.run(client_of(provider).begin(BACK, NOW))
        assert isinstance(started, Failure)
        assert isinstance(error_of(started), ProviderAway)
        assert "/authorize" not in provider.asked


@pytest.mark.shows("DASH-OIDC-005")
def test_a_provider_that_is_not_there_is_a_value() -> None:
    with OidcProvider() as gone:
        client = client_of(gone)
    started = asyncio.run(client.begin(BACK, NOW))
    assert isinstance(started, Failure)
    assert "again" in describe(error_of(started))


@pytest.mark.shows("DASH-OIDC-002")
def test_an_answer_is_good_once_in_time_for_its_own_browser() -> None:
    async def try_all() -> list[Success[Person] | Failure[OidcError]]:
        client = client_of(provider)
        start = await begun(client)
        answer = await came_back(start.url)
        unix = UnixSeconds(SystemClock().unix())
        return [
            await client.finish("another browser", answer, NOW, unix),
            await client.finish("", answer, NOW, unix),
            await client.finish(start.cookie, answer, NOW, unix),
            await client.finish(start.cookie, answer, NOW, unix),
        ]

    with OidcProvider() as provider:
        tried = asyncio.run(try_all())
        assert [isinstance(each, Success) for each in tried] == [False, False, True, False]
        assert all(isinstance(error_of(each), FlowUnknown) for each in tried if isinstance(each, Failure))
        for late in (asyncio.run(signed_in(provider, later=FLOW_SECONDS + 1)),):
            assert late == Failure(FlowUnknown())
        assert asyncio.run(signed_in(provider, change={"state": "another"})) == Failure(FlowUnknown())
        assert asyncio.run(signed_in(provider, change={"iss": "http://127.0.0.1:1"})) == Failure(FlowUnknown())
        assert asyncio.run(signed_in(provider, change={"code": "made up"})) == Failure(ProviderRefused("invalid_grant"))


@pytest.mark.shows("DASH-OIDC-002", "DASH-OIDC-005")
def test_a_person_who_is_refused_there_is_told_here() -> None:
    with OidcProvider() as provider:
        assert error_with(provider, "refused") == ProviderRefused("access_denied")
        assert isinstance(error_with(provider, "issuer of the answer"), FlowUnknown)


@pytest.mark.shows("DASH-OIDC-006")
def test_sign_ins_that_nobody_finishes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FLOWS_MAX >= 100
    monkeypatch.setattr(oidc, "FLOWS_MAX", 3)

    async def flood() -> list[bool]:
        client = client_of(provider)
        first = await begun(client)
        rest = [await begun(client) for _ in range(3)]
        unix = SystemClock().unix()
        ended = [await client.finish(each.cookie, await came_back(each.url), NOW, unix) for each in (first, *rest)]
        return [isinstance(each, Success) for each in ended]

    with OidcProvider() as provider:
        assert asyncio.run(flood()) == [False, True, True, True]


def test_the_secret_is_not_in_what_is_shown() -> None:
    assert SECRET not in repr(OidcSettings("https://id.example", CLIENT, SECRET))
