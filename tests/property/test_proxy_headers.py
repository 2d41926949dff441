"""PROXY headers of both versions: what is written reads back, cuts change nothing, what follows is left alone.

Wrong headers are made by hand, one fault each, and by chance; a reader of its own, made of `struct`, checks the writer.
"""

import ipaddress
import json
import struct
from pathlib import Path
from typing import Final, NotRequired, TypedDict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import crc32c
from tunnel.core.proxy.block import SIGNATURE
from tunnel.core.proxy.errors import (
    BlockMalformed,
    BlockTooLong,
    ChecksumWrong,
    LineMalformed,
    NoProxyHeader,
    ProxyError,
    describe,
)
from tunnel.core.proxy.header import ProxyHeader, ProxyVersion
from tunnel.core.proxy.reader import ProxyReader
from tunnel.core.proxy.writer import proxy_header_bytes

V4: Final = st.ip_addresses(v=4).map(str)
V6: Final = st.ip_addresses(v=6).map(str)
PORTS: Final = st.integers(0, 65535)
CUTS: Final = st.lists(st.integers(0, 20), max_size=20)
TCP4: Final = b"\xc0\0\x02\x01\xc6\x33\x64\x02\x9c\x40\x01\xbb"
"""192.0.2.1:40000 to 198.51.100.2:443."""


class Case(TypedDict):
    """Bytes, and what they say, or the error that they are."""

    name: str
    bytes: str
    source: NotRequired[str]
    source_port: NotRequired[int]
    target: NotRequired[str]
    target_port: NotRequired[int]
    is_tls: NotRequired[bool]
    rest: NotRequired[str]
    error: NotRequired[str]


FILE: Final = Path(__file__).parents[2] / "spec" / "vectors" / "proxy-headers.json"
CASES: Final[list[Case]] = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
WORDS: Final[dict[type[ProxyError], str]] = {
    NoProxyHeader: "no header",
    LineMalformed: "malformed",
    BlockMalformed: "malformed",
    BlockTooLong: "too long",
    ChecksumWrong: "checksum",
}


def block(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(body) if length is None else length) + body


def pieces(data: bytes, lengths: list[int]) -> list[bytes]:
    parts = []
    for length in lengths:
        parts.append(data[:length])
        data = data[length:]
    return [*parts, data]


def facts(header: ProxyHeader) -> tuple[str, int, str, int, bool]:
    return header.source, header.source_port, header.target, header.target_port, header.is_tls


def read(parts: list[bytes]) -> tuple[tuple[str, int, str, int, bool] | ProxyError | None, bytes]:
    """What a fresh reader finds, and every byte after it."""
    reader = ProxyReader()
    for at, part in enumerate(parts):
        done: Outcome[ProxyHeader | None, ProxyError] = reader.receive(part)
        if not isinstance(done, Success):
            return error_of(done), b""
        found = value_of(done)
        if found is not None:
            return facts(found), reader.take_rest() + b"".join(parts[at + 1 :])
    return None, reader.take_rest()


def numbered(text: str) -> int:
    return int(ipaddress.ip_address(text))


@pytest.mark.shows("PROXY-READ-001", "PROXY-WRITE-001")
@given(st.sampled_from(ProxyVersion), st.one_of(st.tuples(V4, V4), st.tuples(V6, V6)), PORTS, PORTS, st.binary(), CUTS)
def test_a_header_reads_back_and_leaves_what_follows(
    version: ProxyVersion, both: tuple[str, str], source_port: int, target_port: int, after: bytes, lengths: list[int]
) -> None:
    wire = proxy_header_bytes(version, both[0], source_port, both[1], target_port) + after
    for parts in ([wire], pieces(wire, lengths), [wire[at : at + 1] for at in range(len(wire))]):
        found, rest = read(parts)
        assert isinstance(found, tuple)
        assert (numbered(found[0]), found[1], numbered(found[2]), found[3], found[4], rest) == (
            numbered(both[0]),
            source_port,
            numbered(both[1]),
            target_port,
            False,
            after,
        )


@pytest.mark.shows("PROXY-WRITE-001")
@given(V4, V6, PORTS)
def test_two_families_are_written_as_one(short: str, long: str, port: int) -> None:
    mapped = numbered("::ffff:0:0") + numbered(short)
    for version in ProxyVersion:
        for source, target in ((short, long), (long, short)):
            found, _ = read([proxy_header_bytes(version, source, port, target, 80)])
            assert isinstance(found, tuple)
            expected = [mapped if one == short else numbered(one) for one in (source, target)]
            assert [numbered(found[0]), numbered(found[2])] == expected


@pytest.mark.shows("PROXY-WRITE-001")
def test_the_bytes_are_those_of_the_specification() -> None:
    v1, v2 = ProxyVersion.V1, ProxyVersion.V2
    assert proxy_header_bytes(v1, "192.0.2.1", 40000, "198.51.100.2", 443) == (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n"
    )
    assert proxy_header_bytes(v2, "192.0.2.1", 40000, "198.51.100.2", 443) == block(0x21, 0x11, TCP4)
    assert proxy_header_bytes(v1, "2001:db8::1%eth0", 1, "::1", 2) == b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"
    assert proxy_header_bytes(v1, "192.0.2.1", 1, "", 0) == b"PROXY TCP4 192.0.2.1 0.0.0.0 1 0\r\n"
    assert proxy_header_bytes(v1, "2001:db8::1", 1, "/run/socket", 0) == b"PROXY TCP6 2001:db8::1 :: 1 0\r\n"
    assert proxy_header_bytes(v1, "", 1, "::1", 2) == b"PROXY UNKNOWN\r\n"
    assert proxy_header_bytes(v2, "somewhere", 1, "::1", 2) == block(0x20, 0, b"")


@pytest.mark.shows("PROXY-READ-001", "PROXY-READ-003", "PROXY-READ-004", "PROXY-READ-005", "PROXY-READ-006")
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_each_vector_has_its_verdict(case: Case) -> None:
    wire = bytes.fromhex(case["bytes"])
    for parts in ([wire], [wire[at : at + 1] for at in range(len(wire))]):
        found, rest = read(parts)
        if "error" in case:
            assert found is not None
            assert not isinstance(found, tuple)
            assert WORDS[type(found)] == case["error"]
            assert describe(found)
        else:
            told = (case["source"], case["source_port"], case["target"], case["target_port"], case["is_tls"])
            assert (found, rest.hex()) == (told, case["rest"])


def test_every_kind_of_error_has_a_vector() -> None:
    assert {case["error"] for case in CASES if "error" in case} == set(WORDS.values())


@pytest.mark.shows("PROXY-READ-002")
@given(st.binary(min_size=1, max_size=40))
def test_what_is_no_header_is_refused_at_its_first_wrong_byte(data: bytes) -> None:
    starts = (b"PROXY ", SIGNATURE)
    assume(not any(start.startswith(data[: len(start)]) for start in starts))
    wrong = next(at for at in range(1, len(data) + 1) if not any(s.startswith(data[:at][: len(s)]) for s in starts))
    reader = ProxyReader()
    for at in range(wrong - 1):
        assert reader.receive(data[at : at + 1]) == Success(None)
    assert isinstance(reader.receive(data[wrong - 1 : wrong]), Failure)


@pytest.mark.shows("PROXY-READ-003")
@given(st.text(st.sampled_from("0123456789.:afTCP46UNKNOW \r\n\t"), max_size=120), CUTS)
def test_any_line_is_exactly_as_specified_or_refused_within_its_bound(text: str, lengths: list[int]) -> None:
    wire = b"PROXY " + text.encode()
    found, rest = read(pieces(wire, lengths))
    assert (found, rest) == read([wire])
    if found is None:
        assert len(wire) < 107
    if isinstance(found, tuple) and found[0]:
        again = f"PROXY TCP{6 if ':' in found[0] else 4} {found[0]} {found[2]} {found[1]} {found[3]}\r\n"
        assert again.encode() + rest == wire


@pytest.mark.shows("PROXY-READ-007")
def test_a_long_block_is_refused_by_its_length_alone() -> None:
    reader = ProxyReader()
    assert reader.receive(block(0x21, 0x11, b"", 4081)) == Failure(BlockTooLong(4097, 4096))
    assert ProxyReader().receive(block(0x21, 0x11, b"", 4080)) == Success(None)


@pytest.mark.shows("PROXY-READ-006")
@given(st.binary(max_size=30), st.integers(0, 10**9))
def test_a_flipped_bit_under_a_checksum_is_seen(value: bytes, choice: int) -> None:
    extension = b"\x05" + struct.pack(">H", len(value)) + value
    body = TCP4 + extension + b"\x03\0\4"
    whole = block(0x21, 0x11, body + bytes(4))
    signed = whole[:-4] + struct.pack(">I", crc32c(whole))
    assert read([signed])[0] == ("192.0.2.1", 40000, "198.51.100.2", 443, False)
    # Not those that say what an extension is and how long: they may make the sum another extension, or none.
    places = [*range(16, 28), *range(31, 31 + len(value)), *range(len(signed) - 4, len(signed))]
    at = places[choice % len(places)]
    found, _ = read([signed[:at] + bytes([signed[at] ^ 1 << choice % 8]) + signed[at + 1 :]])
    assert isinstance(found, ChecksumWrong)


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x20"]), st.binary(max_size=80), CUTS)
def test_arbitrary_bytes_never_raise_and_cuts_change_no_verdict(start: bytes, data: bytes, lengths: list[int]) -> None:
    wire = start + data
    whole, rest = read([wire])
    cut, cut_rest = read(pieces(wire, lengths))
    if isinstance(whole, NoProxyHeader):
        assert isinstance(cut, NoProxyHeader)  # seen in pieces there is less of it to quote
    else:
        assert (whole, rest) == (cut, cut_rest)
    if whole is not None and not isinstance(whole, tuple):
        assert describe(whole)


def test_the_rest_is_handed_over_once() -> None:
    reader = ProxyReader()
    assert isinstance(reader.receive(b"PROXY UNKNOWN\r\nGET"), Success)
    assert [reader.take_rest(), reader.take_rest()] == [b"GET", b""]
