"""The dissector of spec/wireshark reads what we send, and calls malformed what the core refuses; tshark judges.

Its frames are compared with the plaintext that OpenSSL was given, not with what our code says it sent.
"""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NotRequired, TypedDict

import pytest
from tests.support.capture import AGENTS_PORT, TSHARK, Capture, dissected, tapped
from tests.support.shell_local import Connection, serving
from tests.support.shell_raw import DATA, SYN, UPDATE, data, header
from tests.support.shell_visitor import CutShort, get, post, visitor
from tests.support.shell_world import world
from typing_extensions import Buffer, override

from tunnel.core.link.messages import MessageKind

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(TSHARK is None, reason="tshark is not installed; its package is called tshark"),
]

HEADER: Final = Struct(">BBHII")
VECTORS: Final = Path(__file__).parents[2] / "spec" / "vectors"
PLAIN: Final = ("-d", f"tcp.port=={AGENTS_PORT},tunnel")
FRAME: Final = ["tunnel.type", "tunnel.flags", "tunnel.stream", "tunnel.length"]
BAD: Final = ["tunnel.bad.frame", "tunnel.bad.message"]
FIELDS: Final = ["tcp.srcport", "tcp.dstport", *FRAME, "tunnel.link.message", *BAD, "_ws.malformed"]
CORE_ALONE: Final = frozenset(
    {
        "expose, Host with userinfo",
        "expose, Host with port 65536",
        "expose, empty Host",
        "expose, Host with CRLF",
        "expose, open policy spelt out",
        "expose, rate without burst",
        "expose, burst without rate",
        "expose, bandwidth below 16 KiB",
        "expose, rate beyond a million",
        "expose, block with host bits",
        "expose, block of family 5",
        "expose, block with length 33",
        "expose, 65 blocks in two lists",
        "expose, 17 users",
        "expose, policy with a byte after its end",
        "expose, policy cut short",
    }
)
"""Whether a text is an authority, and what is inside a policy, are questions that the dissector does not ask."""

Frame = tuple[int, int, int, int]


class MessageCase(TypedDict):
    """One message of the vectors, sound or not."""

    name: str
    bytes: str
    result: NotRequired[dict[str, object]]


class StartCase(TypedDict):
    """One preface or reply of the vectors, sound or not."""

    bytes: str
    error: NotRequired[bool]


class FrameCase(TypedDict):
    """Bytes, the frames in them, and what is refused at their end."""

    name: str
    wire: list[str]
    frames: list[dict[str, object]]
    refused: str | None


class Plaintext(ssl.SSLObject):
    """Remembers what one end of a connection gave to TLS."""

    sent: bytearray
    made: Final[list["Plaintext"]] = []

    @override
    def do_handshake(self) -> None:
        super().do_handshake()
        self.sent = bytearray()
        Plaintext.made.append(self)

    @override
    def write(self, data: Buffer) -> int:
        taken = super().write(data)
        self.sent += memoryview(data)[:taken]
        return taken


def frames_of(plain: bytes | bytearray) -> Iterator[Frame]:
    """Header by header, not by our code."""
    at = 0
    while at < len(plain):
        version, kind, flags, stream, length = HEADER.unpack_from(plain, at)
        assert version == 0
        yield kind, flags, stream, length
        at += HEADER.size + (length if kind == DATA else 0)


def frames_told(rows: list[dict[str, list[str]]], port: str) -> list[Frame]:
    """What tshark saw from a port, in order."""
    told: list[Frame] = []
    for row in rows:
        if row["tcp.srcport"] == [port]:
            columns = [[int(cell, 0) for cell in row[name]] for name in FRAME]
            told.extend((a, b, c, d) for a, b, c, d in zip(*columns, strict=True))
    return told


async def talk(connection: Connection) -> None:
    """Three answers: a small one, a large one, and one cut short."""
    while True:
        first, fields = await connection.request()
        if first.startswith(b"GET /cut"):
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            connection.reset()
            return
        if not first:
            return
        body = await connection.body(fields)
        await connection.answer(body[::-1] or b"small")


@pytest.mark.shows("OPS-KEYLOG-004")
async def test_a_session_on_loopback_is_decoded_frame_by_frame(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, pcap = tmp_path / "keys", tmp_path / "session.pcap"
    monkeypatch.setattr(ssl.SSLContext, "sslobject_class", Plaintext)
    Plaintext.made.clear()
    async with (
        serving(talk) as local,
        world(state, keylog=keys) as running,
        tapped(running.agents, pcap) as tap,
        running.agent(local.address, server=tap.address),
    ):
        for _ in range(2):
            async with visitor(running) as someone:
                await someone.send(get(running))
                assert (await someone.answer()).body == b"small"
                await someone.send(post(running, b"u" * 400_000))
                assert (await someone.answer()).body == b"u" * 400_000
        async with visitor(running) as someone:
            await someone.send(get(running, "/cut"))
            with pytest.raises(CutShort):
                await someone.answer()
    client, server = sorted(Plaintext.made, key=lambda each: each.server_side)
    # Read once and without HTTP, then in two passes with it: neither may lose a frame or find one malformed.
    for options in ((), ("-2", "-o", "tunnel.http:TRUE")):
        rows = dissected(pcap, FIELDS, "-o", f"tls.keylog_file:{keys}", *options)
        assert [row for row in rows if any(row[name] for name in (*BAD, "_ws.malformed"))] == []
        (agent_port,) = {row["tcp.srcport"][0] for row in rows} - {str(AGENTS_PORT)}
        assert frames_told(rows, agent_port) == list(frames_of(client.sent))
        assert frames_told(rows, str(AGENTS_PORT)) == list(frames_of(server.sent))
        kinds = {int(cell, 0) for row in rows for cell in row["tunnel.link.message"]}
        assert kinds >= {kind.value for kind in (MessageKind.HELLO, MessageKind.WELCOME, MessageKind.GRANTED)}


def capture_of(file: Path, wires: list[tuple[bytes, bool]]) -> None:
    """A connection for each, its client's port counted from 1."""
    capture = Capture(file)
    for number, (wire, from_client) in enumerate(wires, start=1):
        capture.connected(number)
        capture.passed(number, wire, from_client=from_client)
    capture.close()


def by_case(rows: list[dict[str, list[str]]], count: int) -> list[list[dict[str, list[str]]]]:
    """The rows of each connection."""
    cases: list[list[dict[str, list[str]]]] = [[] for _ in range(count)]
    for row in rows:
        ports = {*row["tcp.srcport"], *row["tcp.dstport"]} - {str(AGENTS_PORT)}
        cases[int(ports.pop()) - 1].append(row)
    return cases


@pytest.mark.shows("OPS-KEYLOG-005")
def test_the_dissector_and_the_core_agree_on_every_link_message(tmp_path: Path) -> None:
    vectors = json.loads((VECTORS / "link-cases.json").read_text())
    messages: list[MessageCase] = vectors["messages"]
    opening = header(UPDATE, SYN, 1, 0)
    pcap = tmp_path / "messages.pcap"
    capture_of(pcap, [(opening + data(1, bytes.fromhex(case["bytes"])), True) for case in messages])
    for case, rows in zip(messages, by_case(dissected(pcap, FIELDS, *PLAIN), len(messages)), strict=True):
        faults = [cell for row in rows for name in BAD for cell in row[name]]
        kinds = [int(cell, 0) for row in rows for cell in row["tunnel.link.message"]]
        if "result" in case:
            assert (faults, kinds) == ([], [bytes.fromhex(case["bytes"])[2]]), case["name"]
        elif case["name"] not in CORE_ALONE:
            assert faults, case["name"]


@pytest.mark.shows("OPS-KEYLOG-005")
def test_the_dissector_and_the_core_agree_on_prefaces_and_replies(tmp_path: Path) -> None:
    """The preface comes from whoever opened the stream, the reply from the other side; cut to bytes, too."""
    vectors = json.loads((VECTORS / "link-cases.json").read_text())
    prefaces: list[StartCase] = vectors["prefaces"]
    replies: list[StartCase] = vectors["replies"]
    opening = header(UPDATE, SYN, 2, 0)
    wires: list[bytes] = []
    for case in prefaces:
        raw = bytes.fromhex(case["bytes"])
        wires.append(opening + data(2, raw))
        wires.append(opening + b"".join(data(2, raw[at : at + 1]) for at in range(len(raw))))
    pcap = tmp_path / "starts.pcap"
    capture = Capture(pcap)
    for number, wire in enumerate(wires, start=1):
        capture.connected(number)
        capture.passed(number, wire, from_client=False)
    for number, case in enumerate(replies, start=len(wires) + 1):
        capture.connected(number)
        capture.passed(number, opening, from_client=False)
        capture.passed(number, data(2, bytes.fromhex(case["bytes"])), from_client=True)
    capture.close()
    told = by_case(dissected(pcap, FIELDS, *PLAIN), len(wires) + len(replies))
    cases = [case for case in prefaces for _ in range(2)] + replies
    for case, rows in zip(cases, told, strict=True):
        assert any(row["tunnel.bad.message"] for row in rows) == ("error" in case), case


@pytest.mark.shows("OPS-KEYLOG-005")
def test_the_dissector_and_the_core_agree_on_every_frame(tmp_path: Path) -> None:
    cases: list[FrameCase] = json.loads((VECTORS / "wire-frames.json").read_text())["cases"]
    pcap = tmp_path / "frames.pcap"
    wires = [b"".join(bytes.fromhex(part) for part in case["wire"]) for case in cases]
    capture_of(pcap, [(wire, True) for wire in wires])
    told = by_case(dissected(pcap, FIELDS, *PLAIN), len(cases))
    for number, (case, rows) in enumerate(zip(cases, told, strict=True), start=1):
        expected = [tuple(frame[name] for name in ("type", "flags", "stream", "length")) for frame in case["frames"]]
        assert frames_told(rows, str(number))[: len(expected)] == expected, case["name"]
        assert any(row["tunnel.bad.frame"] for row in rows) == (case["refused"] is not None), case["name"]
