"""Cookies and forms as text: hardened wherever the browser allows it, and taken only from our own pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.api.pages.cookies import SESSION, digest_of, form_token, is_own_form, new_id, origin_of, set_cookie

HERE = "127.0.0.1:7480"


@pytest.mark.shows("DASH-COOKIE-001")
def test_a_cookie_is_hardened_as_far_as_its_scheme_allows() -> None:
    plain = set_cookie(SESSION, "v", origin_of("", HERE), 60)
    assert plain == "tunnel_session=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
    secure = set_cookie(SESSION, "v", origin_of("https://dash.example.com/", "ignored:1"), 0)
    assert secure == "__Host-tunnel_session=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure"


@pytest.mark.shows("DASH-COOKIE-002")
def test_identifiers_are_fresh_and_their_digest_says_nothing_of_them() -> None:
    made = {new_id() for _ in range(100)}
    assert len(made) == 100
    assert all(len(each) == 43 for each in made)
    assert len({digest_of(each) for each in made}) == 100


@pytest.mark.shows("DASH-FORM-001")
@pytest.mark.parametrize(
    ("url", "seen", "taken"),
    [
        ("", f"http://{HERE}", True),
        ("", f"http://{HERE.upper()}", True),
        ("", f"https://{HERE}", False),
        ("", "http://127.0.0.1:7481", False),
        ("", "null", False),
        ("", "", False),
        ("https://dash.example.com", "https://dash.example.com", True),
        ("https://dash.example.com", f"http://{HERE}", False),
        ("https://dash.example.com", "https://dash.example.com.evil.example", False),
    ],
)
def test_a_form_comes_from_our_own_origin(url: str, seen: str, taken: bool) -> None:  # noqa: FBT001 - a row of a table
    assert is_own_form(origin_of(url, HERE), seen, "token", "token") is taken


@pytest.mark.shows("DASH-FORM-001")
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_form_repeats_its_token(token: str, seen: str) -> None:
    fits = is_own_form(origin_of("", HERE), f"http://{HERE}", form_token(token), seen)
    assert not fits
    assert is_own_form(origin_of("", HERE), f"http://{HERE}", form_token(token), form_token(token))
    assert not is_own_form(origin_of("", HERE), f"http://{HERE}", "", "")
