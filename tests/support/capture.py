"""Captures without capture rights: a relay that writes what passes as a pcap file, and what tshark reads in one.

The packets are made up (raw IPv4, TCP with true sequence numbers); the bytes in them are those that passed.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from struct import Struct
from typing import Final, final

from tests.support.shell_world import LOOPBACK
from typing_extensions import override

from tunnel.drive.address import Address
from tunnel.drive.transport import stream_transport

TSHARK: Final = shutil.which("tshark")
DISSECTOR: Final = Path(__file__).parents[2] / "spec" / "wireshark" / "tunnel.lua"
AGENTS_PORT: Final = 7443

_FILE: Final = Struct("<IHHiIII")
_RECORD: Final = Struct("<IIII")
_IP: Final = Struct(">BBHHHBBH4s4s")
_TCP: Final = Struct(">HHIIBBHHH")
_RAW_IP: Final = 101
_SYN, _ACK, _PUSH, _FIN = 2, 16, 8, 1
_PACKET_BYTES: Final = 1448


@final
class Capture:
    """One pcap file; connections in it are told apart by the client's port."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("wb")
        self._file.write(_FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, _RAW_IP))
        self._sent: dict[tuple[int, bool], int] = {}
        self._packets = 0

    def connected(self, client: int) -> None:
        """The three packets that begin a connection."""
        self._sent[client, True] = self._sent[client, False] = 0
        self._packet(client, _SYN, b"", from_client=True)
        self._sent[client, True] = 1
        self._packet(client, _SYN | _ACK, b"", from_client=False)
        self._sent[client, False] = 1
        self._packet(client, _ACK, b"", from_client=True)

    def passed(self, client: int, data: bytes, *, from_client: bool) -> None:
        """Bytes of a connection, in as many packets as an Ethernet would need."""
        for at in range(0, len(data), _PACKET_BYTES):
            part = data[at : at + _PACKET_BYTES]
            self._packet(client, _ACK | _PUSH, part, from_client=from_client)
            self._sent[client, from_client] += len(part)

    def close(self) -> None:
        """The file is whole."""
        self._file.close()

    def _packet(self, client: int, flags: int, data: bytes, *, from_client: bool) -> None:
        ports = (client, AGENTS_PORT) if from_client else (AGENTS_PORT, client)
        hosts = (b"\x7f\0\0\1", b"\x7f\0\0\2") if from_client else (b"\x7f\0\0\2", b"\x7f\0\0\1")
        sent, heard = self._sent[client, from_client], self._sent[client, not from_client]
        tcp = _TCP.pack(*ports, sent, heard, 5 << 4, flags, 65535, 0, 0)
        size = _IP.size + _TCP.size + len(data)
        ip = _IP.pack(0x45, 0, size, 0, 0, 64, 6, 0, *hosts)
        self._packets += 1
        self._file.write(_RECORD.pack(self._packets, 0, size, size) + ip + tcp + data)


@final
class _End(asyncio.Protocol):
    """One of the two sockets of a relayed connection; the near one is the client's."""

    def __init__(self, tap: "Tap", near: "_End | None" = None) -> None:
        self.tap = tap
        self.is_near = near is None
        self.other = near
        self.transport: asyncio.Transport | None = None
        self.early: list[bytes] = []
        self.client: int = 0 if near is None else near.client

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = stream_transport(transport)
        if self.is_near:
            self.client = int(transport.get_extra_info("peername")[1])
            self.tap.capture.connected(self.client)
            self.tap.dial(self)
        elif self.other is not None:
            self.other.other = self
            for data in self.other.early:
                self.transport.write(data)

    @override
    def data_received(self, data: bytes) -> None:
        self.tap.capture.passed(self.client, data, from_client=self.is_near)
        if self.other is None or self.other.transport is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


@final
class Tap:
    """Relays to one address and captures what passes."""

    def __init__(self, to: Address, capture: Capture) -> None:
        self.to = to
        self.capture = capture
        self.address = Address(LOOPBACK, 0)
        self._dialling: set[asyncio.Task[None]] = set()

    def dial(self, near: _End) -> None:
        """Connect the other half."""
        task = asyncio.get_running_loop().create_task(self._dial(near))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, near: _End) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _End(self, near), self.to.host, self.to.port)


@asynccontextmanager
async def tapped(to: Address, file: Path) -> AsyncIterator[Tap]:
    """A relay that captures into `file`, for the time of a test; the file is whole afterwards."""
    capture = Capture(file)
    tap = Tap(to, capture)
    server = await asyncio.get_running_loop().create_server(lambda: _End(tap), LOOPBACK, 0)
    tap.address = Address(LOOPBACK, int(server.sockets[0].getsockname()[1]))
    try:
        yield tap
    finally:
        server.close()
        capture.close()


def dissected(file: Path, fields: list[str], *options: str) -> list[dict[str, list[str]]]:
    """Each packet that holds something of ours: every value of each field in it, in order."""
    assert TSHARK is not None
    asked = [part for field in fields for part in ("-e", field)]
    shape = ("-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=;")
    told = subprocess.run(  # noqa: S603 - our own files
        [TSHARK, "-r", str(file), "-X", f"lua_script:{DISSECTOR}", *options, "-Y", "tunnel", *shape, *asked],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "Lua" not in told.stderr, told.stderr
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    return [{name: cell.split(";") if cell else [] for name, cell in zip(fields, row, strict=True)} for row in rows]
