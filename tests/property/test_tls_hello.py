"""The ClientHello parser: what clients really send is read, however it is cut, and nothing else gets through or out.

The four properties of a parser come first; known cases of the RFCs and of other people's bugs follow by name. Hellos
are built by `tests/support/tls_hello.py`, and real ones stand in `spec/vectors/tls-hellos.json`.
"""

import json
import ssl
from pathlib import Path
from typing import Final, NotRequired, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import tls_hello as make
from tests.support.tls_hello import hello, protocols, records, server_names, versions

from tunnel.core.base.ids import EndpointId, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import Keep
from tunnel.core.relay.arrival import ForAgents, ForEdge, ForNobody, ForOwner, arrival_of
from tunnel.core.route.table import Claim, RouteTable
from tunnel.core.tls.choice import Choice
from tunnel.core.tls.errors import (
    HelloError,
    HelloMalformed,
    HelloTooLong,
    NotTls,
    OtherMessage,
    OtherProtocol,
    TooManyRecords,
    describe,
)
from tunnel.core.tls.hello import RECORDS_MAX, ClientHello, HelloPart, read_hello
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId

LIMITS: Final = Limits()
LIMIT: Final = LIMITS.hello_bytes_max
FILE: Final = Path(__file__).parents[2] / "spec" / "vectors" / "tls-hellos.json"


class Case(TypedDict):
    """Bytes, and either what they ask for or what is wrong with them."""

    name: str
    bytes: str
    server_name: NotRequired[str]
    protocols: NotRequired[list[str]]
    versions: NotRequired[list[int]]
    error: NotRequired[str]


CASES: Final[list[Case]] = json.loads(FILE.read_text(encoding="utf-8"))["hellos"]

LABELS: Final = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
NAMES: Final = st.lists(LABELS, min_size=1, max_size=5).map(".".join).filter(lambda n: not n.replace(".", "").isdigit())
PROTOCOLS: Final = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5)
VERSIONS: Final = st.lists(st.sampled_from([0x0304, 0x0303, 0x0302, 0x7F1C]), min_size=1, max_size=4)
GREASE: Final = st.sampled_from([0x0A0A, 0x1A1A, 0xFAFA])
OTHERS: Final = st.lists(
    st.tuples(st.integers(100, 60_000), st.binary(max_size=60)), max_size=6, unique_by=lambda pair: pair[0]
)
SIZES: Final = st.lists(st.integers(1, 300), max_size=8)


def read(data: bytes) -> Outcome[ClientHello | HelloPart, HelloError]:
    return read_hello(data, LIMIT)


def whole(data: bytes) -> ClientHello:
    """The hello in the data, which is to be a whole one."""
    result = read(data)
    assert isinstance(result, Success), result
    found = value_of(result)
    assert isinstance(found, ClientHello), found
    return found


def looked_at(data: bytes) -> tuple[Outcome[ClientHello | HelloPart, HelloError], int]:
    """What comes out for one who looks again when he is told to, and how many looks that took."""
    seen, looks = 1, 0
    while True:
        looks += 1
        result = read(data[:seen])
        if not isinstance(result, Success):
            return result, looks
        found = value_of(result)
        if isinstance(found, ClientHello) or seen >= len(data):
            return result, looks
        assert found.needed > seen
        seen = found.needed


@pytest.mark.shows("TLS-HELLO-001", "TLS-NAME-001", "TLS-HELLO-006")
@given(name=NAMES, offered=PROTOCOLS, spoken=VERSIONS, grease=GREASE, others=OTHERS, sizes=SIZES, data=st.data())
def test_what_was_written_is_read(
    name: str,
    offered: list[bytes],
    spoken: list[int],
    grease: int,
    others: list[tuple[int, bytes]],
    sizes: list[int],
    data: st.DataObject,
) -> None:
    """Round trip, with extensions in any order, GREASE among them, and the message cut into records anywhere."""
    written = data.draw(st.sampled_from([name.upper(), name + ".", name]))
    parts = [
        server_names(written.encode()), protocols(*offered), versions(grease, *spoken), make.extension(grease, b""),
        *[make.extension(kind, held) for kind, held in others if kind != grease],
    ]  # fmt: skip
    wire = hello(b"".join(data.draw(st.permutations(parts))), sizes)
    assert whole(wire) == ClientHello(name, tuple(offered), tuple(spoken), len(wire))


@pytest.mark.shows("TLS-HELLO-002")
@given(extensions=st.just(b"") | NAMES.map(lambda n: server_names(n.encode())), sizes=SIZES)
def test_the_result_is_the_same_however_the_bytes_come(extensions: bytes, sizes: list[int]) -> None:
    """Every beginning is a part of the same hello, and asking for the bytes needed gets there in few looks."""
    wire = hello(extensions, sizes)
    found = whole(wire)
    for end in range(len(wire)):
        part = read(wire[:end])
        assert isinstance(part, Success)
        waiting = value_of(part)
        assert isinstance(waiting, HelloPart)
        assert end < waiting.needed <= len(wire)
    result, looks = looked_at(wire)
    assert result == Success(found)
    assert looks <= 2 * (len(sizes) + 1) + 1


@pytest.mark.shows("TLS-HELLO-003")
@given(rest=st.binary(max_size=300), sizes=SIZES)
def test_bytes_after_the_hello_are_not_looked_at(rest: bytes, sizes: list[int]) -> None:
    """Early data comes right behind it."""
    wire = hello(server_names(b"a.example"), sizes)
    assert whole(wire + rest) == whole(wire)
    assert whole(wire).size == len(wire)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A hello of which some bytes are others, or that is cut, or repeated in part."""
    wire = bytearray(hello(server_names(b"a.example") + protocols(b"h2", b"tunnel/1") + versions(0x0304), draw(SIZES)))
    for _ in range(draw(st.integers(0, 4))):
        wire[draw(st.integers(0, len(wire) - 1))] = draw(st.integers(0, 255))
    at = draw(st.integers(0, len(wire)))
    return bytes(wire[:at]) + draw(st.binary(max_size=20)) + bytes(wire[at:])


@pytest.mark.shows("TLS-HELLO-004")
@settings(max_examples=300)
@given(data=st.binary(max_size=400) | broken() | st.binary(max_size=100).map(lambda b: records(make.message(b))))
def test_any_bytes_are_a_hello_a_part_of_one_or_an_error(data: bytes) -> None:
    """And the one who looks in steps hears the same as the one who waits for everything."""
    at_once = read(data)
    if isinstance(at_once, Failure):
        assert describe(error_of(at_once))
    in_steps, _ = looked_at(data)
    assert in_steps == at_once


@pytest.mark.shows("TLS-HELLO-001")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vectors_hold(case: Case) -> None:
    wire = bytes.fromhex(case["bytes"])
    result = read(wire)
    if "error" in case:
        assert isinstance(result, Failure), result
        assert type(error_of(result)).__name__ == case["error"]
        return
    found = whole(wire)
    assert found.server_name == case.get("server_name")
    assert [protocol.decode() for protocol in found.protocols] == case.get("protocols")
    assert list(found.versions) == case.get("versions")
    assert found.size == len(wire)


@pytest.mark.shows("TLS-HELLO-001")
@settings(deadline=None)
@given(name=NAMES.filter(lambda n: len(n) < 60 and "_" not in n and "-" not in n))
def test_openssl_says_the_same(name: str) -> None:
    """A hello that the library of this machine writes at this moment."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["tunnel/1", "http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    found = whole(outgoing.read())
    assert (found.server_name, found.protocols) == (name, (b"tunnel/1", b"http/1.1"))
    assert 0x0304 in found.versions


# Names (RFC 6066 section 3).

NAMES_SENT: Final[list[tuple[bytes, str | None]]] = [
    (b"Shop.EXAMPLE.com", "shop.example.com"),
    (b"shop.example.com.", "shop.example.com"),
    (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
    (b"under_score.example", "under_score.example"),
    (b"127.0.0.1", ""),
    (b"::1", ""),
    (b"::ffff:127.0.0.1", ""),
    (b"", None),
    (b".", None),
    (b"a..b", None),
    (b"shop.example.com..", None),
    (b"shop.example.com\0.evil.test", None),
    (b"shop example.com", None),
    (b"shop.example.com:443", None),
    ("bücher.example".encode(), None),
    (b"*.example.com", None),
    (b"a" * 64 + b".example", None),
    (b".".join([b"a" * 62] * 4) + b".abc", "a" * 62 + "." + "a" * 62 + "." + "a" * 62 + "." + "a" * 62 + ".abc"),
    (b".".join([b"a" * 62] * 4) + b".abcd", None),
]


@pytest.mark.shows("TLS-NAME-001", "TLS-NAME-002", "TLS-NAME-003")
@pytest.mark.bug("B12")
@pytest.mark.parametrize(("sent", "name"), NAMES_SENT, ids=lambda value: repr(value)[:30])
def test_a_name_has_one_spelling_or_none(sent: bytes, name: str | None) -> None:
    result = read(hello(server_names(sent)))
    if name is None:
        assert result == Failure(HelloMalformed("server name"))
    else:
        assert whole(hello(server_names(sent))).server_name == name


@pytest.mark.shows("TLS-NAME-004")
@pytest.mark.parametrize(
    "extensions",
    [
        server_names(b"a.example", b"b.example"),
        server_names(b"a.example", b"a.example"),
        server_names(b"a.example") + server_names(b"b.example"),
        server_names(b"a.example", kind=1),
        server_names(),
        make.extension(0, b""),
        make.extension(0, make.vector(b"\0" + make.vector(b"a.example", 2), 2) + b"x"),
        make.extension(0, make.vector(b"\0" + make.vector(b"a.example", 2) + b"x", 2)),
        make.extension(0, b"\0\xff\0\0\1a"),
    ],
)
def test_two_names_are_none(extensions: bytes) -> None:
    """Two readers could choose differently, and one of them decides who sees the plaintext."""
    assert isinstance(read(hello(extensions)), Failure)


@pytest.mark.shows("TLS-HELLO-005")
@pytest.mark.parametrize(
    ("extensions", "field"),
    [
        (make.extension(16, b""), "protocols"),
        (protocols(), "protocols"),
        (protocols(b"h2", b""), "protocols"),
        (make.extension(16, make.vector(b"\x05h2", 2)), "protocols"),
        (make.extension(16, make.vector(b"\x02h2", 2) + b"x"), "protocols"),
        (versions(), "versions"),
        (make.extension(43, b"\3\3\4\3"), "versions"),
        (make.extension(43, b"\2\3\4x"), "versions"),
        (make.extension(5, b"") + make.extension(5, b""), "an extension that stands twice"),
        (b"\0\5\0", "extension"),
        (b"\0\5\0\2x", "extension"),
        (b"".join(make.extension(1000 + n, b"") for n in range(129)), "too many extensions"),
    ],
)
def test_an_extension_that_is_not_as_specified_is_named(extensions: bytes, field: str) -> None:
    assert read(hello(extensions)) == Failure(HelloMalformed(field))


@pytest.mark.shows("TLS-HELLO-005")
@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "version"),
        (make.body(version=0x0203), "version"),
        (make.body()[:20], "random"),
        (make.body(session=b"s" * 33), "session id"),
        (make.body(suites=b""), "cipher suites"),
        (make.body(suites=b"\x13\x01\x13"), "cipher suites"),
        (make.body(compression=b""), "compression methods"),
        (make.body(compression=b"\1"), "compression methods"),
        (make.body(None)[:-1], "compression methods"),
        (make.body() + b"x", "bytes after the extensions"),
        (make.body(None) + b"\0", "extensions"),
        (make.body(None) + b"\0\5x", "extensions"),
    ],
)
def test_a_body_that_is_not_as_specified_is_named(content: bytes, field: str) -> None:
    assert read(records(make.message(content))) == Failure(HelloMalformed(field))
    assert describe(HelloMalformed(field)) == f"its ClientHello is malformed: {field}"


@pytest.mark.shows("TLS-HELLO-001")
def test_a_hello_without_extensions_asks_for_nothing() -> None:
    """TLS 1.2 permits one; nobody can say more than 1.2 in its old field."""
    wire = records(make.message(make.body(None)))
    assert whole(wire) == ClientHello("", (), (0x0303,), len(wire))
    assert whole(records(make.message(make.body(version=0x0301)))).versions == (0x0301,)
    assert whole(records(make.message(make.body(version=0x0305)))).versions == (0x0303,)


@pytest.mark.shows("TLS-HELLO-006")
@pytest.mark.parametrize("size", [16 * 1024, 20_000, 30_000])
def test_a_large_hello_in_several_records_is_read(size: int) -> None:
    """Post-quantum keys, tickets, padding: more than a TCP segment, and more than a record."""
    wire = hello(make.extension(51, b"k" * size) + server_names(b"a.example"))
    assert whole(wire).server_name == "a.example"
    assert read(wire[:1460]) == Success(HelloPart(5 + (1 << 14)))


@pytest.mark.shows("TLS-HELLO-007")
def test_a_hello_beyond_the_limit_is_refused_by_its_announcement() -> None:
    assert read(b"\x16\x03\x01\x00\x04\x01\x00\x80\x00") == Failure(HelloTooLong(32 * 1024 + 4, LIMIT))
    wire = hello(make.extension(51, b"k" * 33_000))
    assert isinstance(read(wire[:9]), Failure)
    assert read_hello(hello(), 40) == Failure(HelloTooLong(len(hello()), 40))


@pytest.mark.shows("TLS-HELLO-007")
def test_a_hello_in_too_many_records_is_refused() -> None:
    """Each costs a look at everything; one byte to a record would cost thousands."""
    content = make.message(make.body())
    assert isinstance(read(records(content, [1] * (RECORDS_MAX - 1))), Success)
    assert read(records(content, [1] * RECORDS_MAX)) == Failure(TooManyRecords(RECORDS_MAX))


@pytest.mark.shows("TLS-HELLO-008")
@pytest.mark.parametrize(
    ("data", "spoken"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", OtherProtocol.HTTP),
        (b"POST /", OtherProtocol.HTTP),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OtherProtocol.HTTP),
        (b"\x80\x2e\x01\x00\x02\x00\x15", OtherProtocol.SSL2),
        (b"\x80\x2e\x02\x00\x02\x00\x15", OtherProtocol.UNKNOWN),
        (b"SSH-2.0-OpenSSH", OtherProtocol.UNKNOWN),
        (b"\x17\x03\x03\x00\x01x", OtherProtocol.UNKNOWN),
        (b"\x16\x02\x00\x00\x01x", OtherProtocol.UNKNOWN),
        (b"\0" * 5, OtherProtocol.UNKNOWN),
    ],
)
def test_what_is_not_tls_is_named(data: bytes, spoken: OtherProtocol) -> None:
    for end in range(5):
        assert read(data[:end]) == Success(HelloPart(5))
    for end in range(5, len(data) + 1):
        assert read(data[:end]) == Failure(NotTls(spoken))


@pytest.mark.shows("TLS-HELLO-008")
def test_each_error_says_what_was_seen_and_what_belongs_there() -> None:
    assert describe(NotTls(OtherProtocol.HTTP)) == "it speaks plain HTTP; this port takes TLS only"
    assert "1" in describe(OtherMessage(2))
    assert "40 bytes" in describe(HelloTooLong(40, 30))
    assert "32 records" in describe(TooManyRecords(32))


@pytest.mark.shows("TLS-HELLO-008")
def test_another_message_is_named() -> None:
    assert read(records(b"\x02\0\0\0")) == Failure(OtherMessage(2))
    assert read(records(b"\x02")[:6]) == Failure(OtherMessage(2))


@pytest.mark.shows("TLS-HELLO-005")
def test_records_are_strict() -> None:
    assert read(b"\x16\x03\x01\0\0") == Failure(HelloMalformed("record length"))
    assert read(b"\x16\x03\x01\x40\x01") == Failure(HelloMalformed("record length"))
    assert read(hello(b"", [5])[:10] + b"\x17\x03\x01\0\1") == Failure(HelloMalformed("record type"))
    assert read(hello(b"", [5])[:10] + b"\x16\x02\x01\0\1") == Failure(HelloMalformed("record type"))


# What it means.


@pytest.mark.shows("TLS-ARRIVE-001", "TLS-ARRIVE-002", "TLS-ARRIVE-003")
@pytest.mark.parametrize(
    ("offered", "arrival"),
    [
        ([b"tunnel/1"], ForAgents()),
        ([b"h2", b"http/1.1", b"tunnel/1"], ForAgents()),
        ([b"http/1.1"], ForEdge()),
        ([b"h2", b"http/1.1"], ForEdge()),
        ([], ForEdge()),
        ([b"h2"], ForNobody(120)),
        ([b"tunnel/2"], ForNobody(120)),
        ([b"tunnel/10"], ForNobody(120)),
        ([b"Tunnel/1"], ForNobody(120)),
        ([b"acme-tls/1"], ForNobody(120)),
    ],
)
def test_who_a_connection_is_for(offered: list[bytes], arrival: ForAgents | ForEdge | ForNobody) -> None:
    found = whole(hello(protocols(*offered) if offered else b""))
    assert arrival_of(found, RouteTable(LIMITS), "example", Instant(0.0)) == arrival


def served(kind: EndpointKind) -> RouteTable:
    """A table in which session 1 answers for `shop`."""
    table = RouteTable(LIMITS)
    token = Token(
        KeyId(b"k" * 8), TokenId(b"t" * 16), AccountId(b"a" * 16), NamePattern("*"),
        frozenset((kind,)), 16, 16, 16, UnixSeconds(0), UnixSeconds(1),
    )  # fmt: skip
    table.open_session(SessionId(1), token, b"i" * 16)
    claim = Claim(Label("shop"), SessionId(1), EndpointId(1), kind, token, Keep(), "")
    assert isinstance(table.claim(claim, Instant(0.0)), Success)
    return table


@pytest.mark.shows("TLS-PASS-001", "TLS-PASS-002")
@pytest.mark.parametrize(
    ("name", "offered", "arrival"),
    [
        (b"shop.example", [], ForOwner(Label("shop"))),
        (b"SHOP.example.", [b"h2"], ForOwner(Label("shop"))),
        (b"shop.example", [b"http/1.1", b"tunnel/1"], ForAgents()),
        (b"other.example", [], ForEdge()),
        (b"a.shop.example", [], ForEdge()),
        (b"shop.test", [], ForEdge()),
    ],
)
def test_tls_of_a_name_passes_to_its_owner(
    name: bytes, offered: list[bytes], arrival: ForAgents | ForEdge | ForOwner
) -> None:
    """Whatever it offers: what the local service can speak is not ours to know."""
    found = whole(hello(server_names(name) + (protocols(*offered) if offered else b"")))
    table = served(EndpointKind.TLS)
    assert arrival_of(found, table, "example", Instant(0.0)) == arrival
    for lease in table.members(Label("shop")):
        table.on_health(lease, is_up=False)
    assert arrival_of(found, table, "example", Instant(0.0)) == arrival


@pytest.mark.shows("TLS-PASS-003")
def test_tls_of_a_name_is_not_opened_while_its_agent_is_away() -> None:
    found = whole(hello(server_names(b"shop.example") + protocols(b"http/1.1")))
    table = served(EndpointKind.TLS)
    table.drop_session(SessionId(1), Instant(1.0))
    assert arrival_of(found, table, "example", Instant(2.0)) == ForNobody(112)
    table = served(EndpointKind.HTTP)
    assert arrival_of(found, table, "example", Instant(2.0)) == ForEdge()
    table.drop_session(SessionId(1), Instant(1.0))
    assert arrival_of(found, table, "example", Instant(2.0)) == ForEdge()


@pytest.mark.shows("TLS-CERT-001")
def test_a_certificate_is_chosen_by_name_wildcard_and_place() -> None:
    choice = Choice([["one.example", "*.example"], ["Two.Example", "one.example"], ["*.two.example"]])
    assert choice.place_of("one.example") == 0
    assert choice.place_of("two.example") == 1
    assert choice.place_of("three.example") == 0
    assert choice.place_of("a.two.example") == 2
    assert choice.place_of("a.b.two.example") is None
    assert choice.place_of("example") is None
    assert choice.place_of("*.example") == 0
    assert choice.place_of("") is None
    assert choice.place_of(".example") is None
