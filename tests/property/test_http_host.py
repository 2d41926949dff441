"""A Host has one canonical spelling or is refused: generated hosts, the owners' disputes of B12, and every bad form."""

import ipaddress

import pytest
from http_support import hosts
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.outcome import Failure, Success
from tunnel.core.http.errors import BadHost
from tunnel.core.http.host import canonical_host


@pytest.mark.shows("HTTP-HOST-003", "HTTP-HOST-004")
@given(host=hosts)
@settings(max_examples=300, deadline=None)
def test_every_spelling_of_a_name_is_one_host(host: str) -> None:
    name = host.partition(":")[0].removesuffix(".").lower()
    assert canonical_host(host.encode()) == Success(name)
    assert canonical_host(host.upper().encode()) == Success(name)
    assert canonical_host(name.encode()) == Success(name)


@pytest.mark.bug("B12", "C12")
@pytest.mark.shows("HTTP-HOST-004")
@pytest.mark.parametrize(
    "spelling",
    [
        "shop.example",
        "SHOP.example",
        "shop.Example.",
        "shop.example:443",
        "Shop.Example.:80",
        "shop.example:1",
    ],
)
def test_case_trailing_dot_and_port_do_not_make_another_owner(spelling: str) -> None:
    assert canonical_host(spelling.encode()) == Success("shop.example")


@pytest.mark.bug("B12")
@pytest.mark.shows("HTTP-HOST-004")
@pytest.mark.parametrize(
    ("spelling", "host"),
    [
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("my_shop.example", "my_shop.example"),
        ("my-shop.a", "my-shop.a"),
    ],
)
def test_punycode_and_underscores_are_names_of_their_own(spelling: str, host: str) -> None:
    assert canonical_host(spelling.encode()) == Success(host)


@pytest.mark.bug("C12")
@pytest.mark.shows("HTTP-HOST-003", "HTTP-HOST-005")
@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        ".a",
        "a..b",
        "a..",
        "a,b",
        "a, b",
        "a b",
        "user@a",
        "user:pw@a",
        "a:",
        "a:0",
        "a:00",
        "a:080",
        "a:65536",
        "a:70000",
        "a:100000",
        "a:+80",
        "a:8 0",
        "a:80:80",
        ":80",
        "a/b",
        "http://a",
        "a?b",
        "a#b",
        "a%41",
        "a\\b",
        "a;b",
        "a!",
        "*",
        "*.example",
        "[::1",
        "::1",
        "[]",
        "[::1]x",
        "[::1]:0",
        "[::1]:70000",
        "[v1.a]",
        "[fe80::1%25eth0]",
        "[127.0.0.1]",
        "b\xfccher.example",
        "a" * 64,
        "a." * 150 + "b",
    ],
)
def test_anything_else_is_refused(value: str) -> None:
    raw = value.encode("latin-1")
    assert canonical_host(raw) == Failure(BadHost(raw[:64]))


@pytest.mark.shows("HTTP-HOST-005")
@given(port=st.integers(0, 99_999))
@settings(max_examples=100, deadline=None)
def test_ports_are_1_to_65535(port: int) -> None:
    assert isinstance(canonical_host(f"a:{port}".encode()), Success) is (1 <= port <= 65535)


@pytest.mark.bug("C12")
@pytest.mark.shows("HTTP-HOST-003")
@given(
    text=st.one_of(
        st.ip_addresses(v=6).map(str),
        st.ip_addresses(v=6).map(lambda address: ipaddress.IPv6Address(address).exploded),
        st.text("0123456789abcdefABCDEF:.", max_size=24),
        st.lists(st.sampled_from(["::", ":", "1", "ab", "12345", "1.2.3.4", "256.1.1.1"]), max_size=12).map("".join),
    )
)
@settings(max_examples=500, deadline=None)
def test_an_address_in_brackets_is_what_the_standard_library_takes_for_one(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        expected = False
    else:
        expected = True
    outcome = canonical_host(f"[{text}]:8080".encode())
    assert isinstance(outcome, Success) is expected
    if expected:
        assert outcome == Success(f"[{text.lower()}]")


@given(value=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_never_raise(value: bytes) -> None:
    outcome = canonical_host(value)
    assert isinstance(outcome, Success | Failure)
