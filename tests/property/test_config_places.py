"""Addresses, targets, zones and host headers: what is accepted round-trips, what is not is refused and described."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.agent.settings import LocalService
from tunnel.cli.places import BadText, domain_of, host_header_of, listener_of, peer_of, target_of
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.link.messages import Authority, Keep, Rewrite, Value
from tunnel.drive.address import Address

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).filter(lambda n: not n.replace(".", "").isdigit())
HOSTS = NAMES | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
PORTS = st.integers(1, 65_535)


@given(HOSTS, st.integers(0, 65_535))
@settings(max_examples=200, deadline=None)
def test_an_address_written_is_the_address_read(host: str, port: int) -> None:
    read = listener_of(str(Address(host, port)))
    assert isinstance(read, Success)
    assert value_of(read) == Address(host, port)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_what_is_accepted_as_an_address_writes_itself_back(text: str) -> None:
    read = listener_of(text)
    if isinstance(read, Success):
        address = value_of(read)
        again = listener_of(str(address))
        assert isinstance(again, Success)
        assert value_of(again) == address
        assert 0 <= address.port <= 65_535


@pytest.mark.parametrize(
    "text",
    ["", ":", "8080", ":8080", "host", "host:", "host:65536", "host:+80", "host: 80", "host:8_0", "ho st:80", "::1:80",
     "[::1]", "[::1]80", "[1.2.3.4]:80", "[x]:80", "1.2.3:80", "1.2.3.999:80", "-a:80", "a/b:80", "u@h:80", "host:٣٠"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    read = listener_of(text)
    assert isinstance(read, Failure)
    assert error_of(read).seen == text


def test_port_0_is_for_listening_only() -> None:
    assert isinstance(listener_of("127.0.0.1:0"), Success)
    assert isinstance(peer_of("127.0.0.1:0"), Failure)
    assert isinstance(target_of("0"), Failure)
    assert isinstance(target_of("host:0"), Failure)


@pytest.mark.shows("OPS-CLI-011")
@given(HOSTS, PORTS, st.sampled_from(["", "http://", "https://", "HTTP://"]))
@settings(max_examples=200, deadline=None)
def test_a_target_names_scheme_host_and_port(host: str, port: int, scheme: str) -> None:
    address = Address(host, port)
    read = target_of(f"{scheme}{address}")
    assert isinstance(read, Success)
    assert value_of(read) == LocalService(address, tls=scheme == "https://")


@pytest.mark.shows("OPS-CLI-011")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3000", LocalService(Address("localhost", 3000))),
        ("http://host", LocalService(Address("host", 80))),
        ("https://host", LocalService(Address("host", 443), tls=True)),
        ("https://[::1]", LocalService(Address("::1", 443), tls=True)),
        ("http://host:3000/", LocalService(Address("host", 3000))),
    ],
)
def test_a_target_may_leave_out_what_is_implied(text: str, wanted: LocalService) -> None:
    read = target_of(text)
    assert isinstance(read, Success)
    assert value_of(read) == wanted


@pytest.mark.shows("OPS-CLI-011")
@pytest.mark.parametrize(
    "text",
    ["", "host", "http://", "https:///", "ftp://host:21", "http://host:3000/path", "http://user@host:3000",
     "host:3000?q", "http://host:3000#f", "http://3000", "99999", "3000 ", "ws://host:1"],
)  # fmt: skip
def test_what_is_no_target_is_refused(text: str) -> None:
    read = target_of(text)
    assert isinstance(read, Failure)
    assert error_of(read) == BadText(text, "a local service: 3000, host:3000, http://host:3000 or https://host:3000")


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_target_or_is_not(text: str) -> None:
    read = target_of(text)
    if isinstance(read, Success):
        address = value_of(read).address
        assert 1 <= address.port <= 65_535
        assert address.host


@given(NAMES)
@settings(max_examples=100, deadline=None)
def test_a_zone_is_read_in_lower_case_and_without_its_final_dot(name: str) -> None:
    for text in (name, name.upper(), f"{name}."):
        read = domain_of(text)
        assert isinstance(read, Success)
        assert value_of(read) == name


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a..b", "-a.com", "a-.com", "a_b.com", "127.0.0.1", "::1", "a.com:80", "*.a.com", "bücher.de",
     "\N{KELVIN SIGN}.com", "a" * 64, ".".join(["a" * 60] * 4)],
)  # fmt: skip
def test_what_is_no_zone_is_refused(text: str) -> None:
    assert isinstance(domain_of(text), Failure)


@pytest.mark.shows("OPS-CLI-016")
@given(host=HOSTS, port=PORTS, tls=st.booleans())
@settings(max_examples=100, deadline=None)
def test_rewrite_is_the_authority_a_browser_would_send(host: str, port: int, *, tls: bool) -> None:
    read = host_header_of("rewrite", LocalService(Address(host, port), tls=tls))
    assert isinstance(read, Success)
    bracketed = f"[{host}]" if ":" in host else host
    implied = port == (443 if tls else 80)
    assert value_of(read) == Rewrite(Authority(bracketed if implied else f"{bracketed}:{port}"))


@pytest.mark.shows("OPS-CLI-016")
def test_other_host_headers() -> None:
    local = LocalService(Address("localhost", 3000))
    kept, given_value, evil = (host_header_of(text, local) for text in ("keep", "app.test:81", "a\r\nX: y"))
    assert isinstance(kept, Success)
    assert value_of(kept) == Keep()
    assert isinstance(given_value, Success)
    assert value_of(given_value) == Value(Authority("app.test:81"))
    assert isinstance(evil, Failure)


@given(st.text(alphabet="0123456789.:[]abcdef%x", max_size=24))
@settings(max_examples=300, deadline=None)
def test_a_host_of_digits_and_dots_is_an_address_or_refused(text: str) -> None:
    """Resolvers read `1.2`, `0x7f.1` or `127.1` as addresses in ways of their own; only the four-part form passes."""
    read = listener_of(f"{text}:80")
    if isinstance(read, Success) and value_of(read).host.replace(".", "").isdigit():
        ipaddress.IPv4Address(value_of(read).host)
