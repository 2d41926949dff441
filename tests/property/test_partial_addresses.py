"""The total forms that policies and the PROXY protocol need agree with Python where Python has an answer."""

import base64
import ipaddress
import math
import zlib
from collections import OrderedDict
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base import partial

WRITTEN: Final = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.text("0123456789abcdef.:%/", max_size=20),
    st.text(),
)


@given(WRITTEN)
@example("010.0.0.1")
@example("::1%eth0")
@example("::ffff:192.0.2.1")
@example("1.2.3.4/24")
@example("")
def test_addresses_are_those_of_ipaddress(text: str) -> None:
    try:
        short: int | None = int(ipaddress.IPv4Address(text))
    except ValueError:
        short = None
    try:
        long: int | None = int(ipaddress.IPv6Address(text.partition("%")[0]))
    except ValueError:
        long = None
    assert partial.ipv4_number(text) == short
    assert partial.ipv6_number(text) == long


@given(st.integers(-(2**130), 2**130))
def test_any_number_is_written_as_the_address_of_its_low_bits(number: int) -> None:
    assert partial.ipv4_number(partial.ipv4_text(number)) == number % 2**32
    assert partial.ipv6_number(partial.ipv6_text(number)) == number % 2**128


@given(st.integers(-3, 140), st.integers(-3, 140))
def test_a_mask_has_as_many_bits_set_in_front_as_asked_for(width: int, length: int) -> None:
    bits = min(max(width, 0), 128)
    expected = "1" * min(max(length, 0), bits)
    assert f"{partial.prefix_mask(width, length):0{bits}b}"[:bits] == (expected + "0" * (bits - len(expected)))


@given(st.floats())
@example(math.nan)
@example(math.inf)
@example(1e300)
def test_microseconds_never_raise_and_are_exact_for_what_a_clock_says(seconds: float) -> None:
    found = partial.whole_microseconds(seconds)
    if math.isfinite(seconds) and abs(seconds) < 1e15:
        assert found == int(seconds * 1e6)
    else:
        assert found == 0


@given(st.binary(max_size=40))
@example(b"QQ==")
@example(b"QQ")
@example(b"Q Q=")
@example(b"QQ==\n")
def test_base64_is_strict(data: bytes) -> None:
    try:
        expected: bytes | None = base64.b64decode(data, validate=True)
    except ValueError:
        expected = None
    assert partial.base64_bytes(data) == expected
    assert partial.base64_bytes(base64.b64encode(data)) == data


@given(st.binary(), st.binary())
def test_secrets_are_the_same_when_they_are_equal(one: bytes, other: bytes) -> None:
    assert partial.is_same_secret(one, other) == (one == other)
    assert partial.is_same_secret(one, bytes(one))


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc32c_has_the_published_values(data: bytes, crc: int) -> None:
    """RFC 3720 section B.4."""
    assert partial.crc32c(data) == crc


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30))
def test_the_oldest_is_whoever_was_touched_first(touches: list[tuple[bool, int]]) -> None:
    items: OrderedDict[int, int] = OrderedDict()
    order: list[int] = []
    for is_new, key in touches:
        if is_new and key not in items:
            items[key] = -key
            order.append(key)
        else:
            partial.make_latest(items, key)
            if key in order:
                order.remove(key)
                order.append(key)
    for key in order:
        assert partial.pop_oldest(items) == -key
    assert partial.pop_oldest(items) is None


@given(st.binary(max_size=60))
def test_crc32_is_that_of_zlib(data: bytes) -> None:
    assert partial.crc32(data) == zlib.crc32(data)
    assert partial.crc32(b"123456789") == 0xCBF43926
