"""Who a visitor is behind a proxy: what trusted proxies say, from the right, and nothing that a visitor writes.

The judgement is a function of values, tried with lists that are forged in every way; then the real door, and the real
dashboard behind a proxy that is played by the test.
"""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.api_world import OURS, api_world
from tests.support.dashboard import Reader, served

from tunnel.api.pages.desk import TRIES_MINUTE_MAX
from tunnel.api.proxied import Visitor, is_forwarded, visitor_of
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.control.page import Page
from tunnel.core.policy.ip import Block, block_of
from tunnel.store.port import AuditFilter

PROXY = "10.0.0.5"
VISITOR = "203.0.113.9"


def blocks(*texts: str) -> tuple[Block, ...]:
    """The blocks of these texts."""
    made = [block_of(text) for text in texts]
    return tuple(value_of(each) for each in made if isinstance(each, Success))


PIECES = ("for=", '"', "\\", ";", ",", " ", "10.0.0.1", VISITOR, "[::1]", ":80", "proto=https")
TRUSTED = blocks("10.0.0.0/8", "fd00::/8", "127.0.0.0/8")


def fields(**told: str) -> list[tuple[bytes, bytes]]:
    """Fields as a server gives them; `_` stands for `-`."""
    return [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in told.items()]


@pytest.mark.shows("API-PROXY-001", "API-PROXY-002")
@pytest.mark.parametrize(
    ("told", "address", "scheme"),
    [
        ({}, PROXY, "http"),
        ({"x_forwarded_for": VISITOR}, VISITOR, "http"),
        ({"x_forwarded_for": f"1.2.3.4, {VISITOR}"}, VISITOR, "http"),
        ({"x_forwarded_for": f"1.2.3.4, {VISITOR}, 10.9.9.9, fd00::1"}, VISITOR, "http"),
        ({"x_forwarded_for": f"{VISITOR}:4711"}, VISITOR, "http"),
        ({"x_forwarded_for": "[2001:DB8::0:1]:80"}, "2001:db8::1", "http"),
        ({"x_forwarded_for": f"::ffff:{VISITOR}"}, VISITOR, "http"),
        ({"x_forwarded_for": "10.1.1.1, 10.2.2.2"}, "10.1.1.1", "http"),
        ({"x_forwarded_for": f"{VISITOR}, unknown"}, PROXY, "http"),
        ({"x_forwarded_for": f"{VISITOR}, , 10.2.2.2"}, "10.2.2.2", "http"),
        ({"x_forwarded_for": ""}, PROXY, "http"),
        ({"x_forwarded_for": VISITOR, "x_forwarded_proto": "https"}, VISITOR, "https"),
        ({"x_forwarded_for": VISITOR, "x_forwarded_proto": " HTTPS "}, VISITOR, "https"),
        ({"x_forwarded_for": VISITOR, "x_forwarded_proto": "javascript"}, VISITOR, "http"),
        ({"x_forwarded_for": VISITOR, "x_forwarded_proto": "https, http"}, VISITOR, "http"),
        ({"x_forwarded_proto": "https"}, PROXY, "https"),
        ({"forwarded": f"for={VISITOR};proto=https;by=10.0.0.5"}, VISITOR, "https"),
        ({"forwarded": f'for=1.2.3.4, For="{VISITOR}:99";Proto=https'}, VISITOR, "https"),
        ({"forwarded": 'proto=http;for="[2001:db8::1]:4711" , for=10.3.3.3'}, "2001:db8::1", "http"),
        ({"forwarded": f'for="\\{VISITOR}"'}, VISITOR, "http"),
        ({"forwarded": f"for={VISITOR}, for=_hidden"}, PROXY, "http"),
        ({"forwarded": f"for={VISITOR}, by=10.0.0.1"}, PROXY, "http"),
        ({"forwarded": f'for={VISITOR};ext="a, for=1.1.1.1'}, PROXY, "http"),
        ({"forwarded": f"for={VISITOR},"}, PROXY, "http"),
        ({"forwarded": f"for={VISITOR};proto=https", "x_forwarded_for": VISITOR}, VISITOR, "https"),
        ({"forwarded": "for=1.2.3.4;proto=https", "x_forwarded_for": VISITOR}, PROXY, "http"),
    ],
)
def test_the_rightmost_stranger_that_proxies_name_is_the_visitor(
    told: dict[str, str], address: str, scheme: str
) -> None:
    assert visitor_of(PROXY, fields(**told), TRUSTED) == Visitor(address, scheme)


@pytest.mark.shows("API-PROXY-001")
@pytest.mark.parametrize("peer", ["198.51.100.1", "::1", "", "nonsense"])
def test_who_is_no_trusted_proxy_says_nothing_about_itself(peer: str) -> None:
    told = fields(x_forwarded_for=VISITOR, x_forwarded_proto="https", forwarded=f"for={VISITOR};proto=https")
    assert visitor_of(peer, told, TRUSTED) == Visitor(peer, "http")
    assert visitor_of(PROXY, told, ()) == Visitor(PROXY, "http")


@pytest.mark.shows("API-PROXY-001")
@given(
    forged=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60), times=st.integers(0, 3)
)
def test_whatever_a_visitor_writes_before_it_the_proxy_is_believed(forged: str, times: int) -> None:
    """As a proxy leaves it: the visitor's own fields first, then its word in the same field or in one more."""
    own = [(b"x-forwarded-for", forged.encode("latin-1"))] * times
    apart = [*own, (b"x-forwarded-for", VISITOR.encode())]
    joined = fields(x_forwarded_for=f"{forged}, {VISITOR}")
    for told in (apart, joined):
        assert visitor_of(PROXY, told, TRUSTED) == Visitor(VISITOR, "http")


@pytest.mark.shows("API-PROXY-001")
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"x-forwarded-for", b"forwarded", b"x-forwarded-proto", b"via"]),
            st.one_of(
                st.binary(max_size=40),
                st.lists(st.sampled_from(PIECES)).map(lambda parts: "".join(parts).encode()),
            ),
        ),
        max_size=6,
    )
)
def test_any_fields_name_the_proxy_or_an_address_that_stands_in_them(told: list[tuple[bytes, bytes]]) -> None:
    found = visitor_of(PROXY, told, TRUSTED)
    assert found.scheme in {"http", "https"}
    assert isinstance(block_of(found.address), Success)
    assert is_forwarded(told) == bool(told)


@pytest.mark.anyio
@pytest.mark.shows("API-PROXY-001", "API-PROXY-003")
async def test_the_audit_trail_names_the_visitor_and_a_key_guessed_by_one_holds_up_no_other(tmp_path: Path) -> None:
    async with api_world(tmp_path, proxies=TRUSTED) as world:
        key, forged = await world.key(OURS), f"1.1.1.1, {VISITOR}"
        made = await world.ask("PUT", f"/accounts/{OURS.hex()}/names/app", key, {}, {"X-Forwarded-For": forged})
        assert made.status_code == 201
        page = await world.plane.store.audit_page(AuditFilter(action="name."), Page())
        assert isinstance(page, Success)
        assert [entry.facts.act.address for entry in value_of(page).items] == [VISITOR]
        wrong, fresh = "tnlk_k_aaaaaaaaaaaaaaaa_" + "A" * 43, await world.key(OURS)
        guesses = [await world.ask("GET", "/me", wrong, headers={"X-Forwarded-For": forged}) for _ in range(21)]
        assert [each.status_code for each in guesses] == [401] * 20 + [429]
        assert (await world.ask("GET", "/me", fresh, headers={"X-Forwarded-For": forged})).status_code == 429
        assert (await world.ask("GET", "/me", fresh, headers={"X-Forwarded-For": "203.0.113.10"})).status_code == 200


@pytest.mark.shows("API-PROXY-003")
def test_who_mistypes_behind_a_proxy_keeps_nobody_else_out(tmp_path: Path) -> None:
    with served(tmp_path, proxies=TRUSTED) as world:
        guesser, honest = Reader(world), Reader(world)
        guesser.client.headers["x-forwarded-for"] = VISITOR
        statuses = [guesser.sign_in_with("wrong").status_code for _ in range(TRIES_MINUTE_MAX + 1)]
        assert statuses == [401] * TRIES_MINUTE_MAX + [429]
        honest.client.headers["x-forwarded-for"] = f"{VISITOR}, 203.0.113.10"
        assert honest.sign_in_with(world.keys["owner"]).status_code == 303


@pytest.mark.shows("API-PROXY-002", "DASH-COOKIE-001")
def test_behind_tls_cookies_are_secure_and_forms_come_from_https(tmp_path: Path) -> None:
    with served(tmp_path, proxies=TRUSTED) as world:
        https = {"accept": "text/html", "x-forwarded-proto": "https", "x-forwarded-for": VISITOR}
        with httpx.Client(base_url=world.url, headers=https, trust_env=False) as client:
            told = client.get("/sign-in").headers["set-cookie"]
        assert told.startswith("__Host-tunnel_form=")
        assert told.endswith("; Secure")
        told = httpx.get(f"{world.url}/sign-in", headers={"accept": "text/html"}, trust_env=False).headers["set-cookie"]
        assert told.startswith("tunnel_form=")


@pytest.mark.anyio
@pytest.mark.shows("OBS-METRICS-004")
@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto"])
async def test_metrics_that_are_asked_for_through_a_proxy_need_a_key(tmp_path: Path, name: str) -> None:
    """Trusted or not: whoever comes by one is not this machine, where the proxy may well run."""
    async with api_world(tmp_path, proxies=TRUSTED) as world:
        assert (await world.ask("GET", "//metrics")).status_code == 200
        trace = {name: "127.0.0.1"}
        assert (await world.ask("GET", "//metrics", headers=trace)).status_code == 401
        assert (await world.ask("GET", "//metrics", await world.key(OURS), headers=trace)).status_code == 403
        assert (await world.ask("GET", "//metrics", await world.key(None), headers=trace)).status_code == 200
