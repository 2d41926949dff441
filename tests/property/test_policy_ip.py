"""Addresses and blocks beside Python's own `ipaddress`: the same members, one reading per address, nothing raises."""

import ipaddress
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.policy.ip import (
    Block,
    Ip,
    NotABlock,
    block_from,
    block_of,
    block_text,
    ip_of,
    ip_text,
    is_within,
    key_of,
)

V4: Final = st.ip_addresses(v=4).map(str)
V6: Final = st.ip_addresses(v=6).map(str)
SHORT: Final = st.integers(0, 2**32 - 1)
LONG: Final = st.one_of(st.integers(0, 2**128 - 1), SHORT, SHORT.map(lambda bits: bits | 0xFFFF << 32))


def ip(text: str) -> Ip:
    found = ip_of(text)
    assert found is not None
    return found


def block(text: str) -> Block:
    found = block_of(text)
    assert isinstance(found, Success), error_of(found)
    return value_of(found)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    is_v4 = draw(st.booleans())
    width = 32 if is_v4 else 128
    length = draw(st.integers(0, width))
    bits = draw(SHORT if is_v4 else LONG) >> (width - length) << (width - length)
    found = block_from(bits, length, is_v4=is_v4)
    assert found is not None
    return found


@pytest.mark.shows("POLICY-LIST-003")
@given(SHORT)
def test_an_ipv4_address_has_one_reading_in_both_clothes(bits: int) -> None:
    text = str(ipaddress.IPv4Address(bits))
    assert (
        ip(text) == ip(f"::ffff:{text}") == ip(f"::FFFF:{bits >> 16:x}:{bits & 0xFFFF:x}") == Ip(is_v4=True, bits=bits)
    )
    assert ip_text(ip(text)) == text
    assert key_of(ip(text)) == bits


@given(LONG)
def test_an_address_reads_back(bits: int) -> None:
    found = ip(str(ipaddress.IPv6Address(bits)))
    assert ip(ip_text(found)) == found
    assert ip(str(ipaddress.IPv6Address(bits)) + "%eth0") == found


@pytest.mark.shows("POLICY-RATE-005")
@given(LONG, st.integers(0, 2**64 - 1), SHORT)
def test_the_key_is_the_64_of_an_ipv6_address_and_never_that_of_another_family(bits: int, low: int, short: int) -> None:
    if bits >> 64:
        one, other = Ip(is_v4=False, bits=bits), Ip(is_v4=False, bits=bits >> 64 << 64 | low)
        assert key_of(one) == key_of(other)
        assert key_of(one) != key_of(Ip(is_v4=False, bits=bits ^ 1 << 64))
    assert key_of(Ip(is_v4=False, bits=bits)) != key_of(Ip(is_v4=True, bits=short))
    assert key_of(None) not in {key_of(Ip(is_v4=False, bits=bits)), key_of(Ip(is_v4=True, bits=short))}


@pytest.mark.shows("POLICY-LIST-003")
@given(st.lists(blocks(), max_size=6), st.one_of(V4, V6))
@example([], "::ffff:10.1.2.3")
def test_membership_is_that_of_ipaddress(listed: list[Block], text: str) -> None:
    networks = [ipaddress.ip_network(block_text(one), strict=True) for one in listed]
    address = ipaddress.ip_address(text)
    seen = getattr(address, "ipv4_mapped", None) or address
    assert is_within(ip(text), listed) == any(seen in network for network in networks)
    assert not is_within(None, listed)


@given(blocks())
def test_a_block_reads_back(one: Block) -> None:
    assert block(block_text(one)) == one or (not one.is_v4 and one.bits >> 32 == 0xFFFF and one.length >= 96)


@pytest.mark.shows("POLICY-LIST-003")
def test_all_of_ipv6_is_nobody_of_ipv4() -> None:
    assert not is_within(ip("192.0.2.1"), [block("::/0")])
    assert not is_within(ip("::ffff:192.0.2.1"), [block("::/0")])
    assert is_within(ip("2001:db8::1"), [block("::/0")])
    assert is_within(ip("::ffff:192.0.2.1"), [block("0.0.0.0/0")])
    assert block("::ffff:10.0.0.0/104") == block("10.0.0.0/8")


@pytest.mark.shows("POLICY-LIST-004")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8.0",
        "10.0.0.0/255.0.0.0",
        "010.0.0.0/8",
        "10.0.0/8",
        "0x0a000000",
        "10",
        "2001:db8::/129",
        "2001:db8::/\N{ARABIC-INDIC DIGIT ONE}",
        "fe80::1%eth0",
        "::ffff:10.0.0.0/95",
        "localhost",
        "10.0.0.0/8,",
        " 10.0.0.0/8",
    ],
)
def test_what_is_no_block_is_refused(text: str) -> None:
    assert block_of(text) == Failure(NotABlock(text))


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "::1::", ":", "12345::", "1.2.3.4:80", "localhost"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert ip_of(text) is None


@pytest.mark.shows("POLICY-LIST-004")
def test_bits_beyond_the_length_are_refused_as_such() -> None:
    assert block_of("10.0.0.1/8") == Failure(NotABlock("10.0.0.1/8", host_bits=True))
    assert block_of("2001:db8::1/32") == Failure(NotABlock("2001:db8::1/32", host_bits=True))
    assert block("10.0.0.1") == block("10.0.0.1/32")
    assert block_from(-1, 8, is_v4=True) is None
    assert block_from(0, 129, is_v4=False) is None


@given(st.text(max_size=90))
def test_any_text_is_an_address_or_none_and_a_block_or_refused(text: str) -> None:
    found = ip_of(text)
    assert found is None or ip_of(ip_text(found)) == found
    read = block_of(text)
    if isinstance(read, Success):
        assert block_of(block_text(value_of(read))) == read
    else:
        assert len(error_of(read).seen) <= 64
