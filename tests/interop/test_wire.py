"""The observer of `make interop` sees what is forbidden: it is shown each fault once, and a session without any."""

import pytest
from tests.support.interop_wire import WINDOW, Wire
from tests.support.shell_raw import ACK, DATA, FIN, RST, SYN, UPDATE, data, header

OPENING = header(UPDATE, SYN, 1, 0)


@pytest.mark.shows("MUX-INTEROP-002")
@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (data(1, bytes(WINDOW + 1)), b"", "we sent 1 bytes more than the window of stream 1"),
        (b"", data(1, bytes(WINDOW)) + data(1, b"12"), "the peer sent 2 bytes more than the window of stream 1"),
        (data(1, b"", FIN) + data(1, b"more"), b"", "we sent more after the end of stream 1"),
        (
            b"",
            data(1, b"last", FIN) + header(UPDATE, FIN, 1, 0),
            "the peer sent more after the end of stream 1",
        ),
        (header(DATA, 0, 1, 0, version=1), b"", "version 1"),
    ],
)
def test_a_fault_is_seen(ours: bytes, theirs: bytes, fault: str) -> None:
    wire = Wire()
    for passed, is_ours in ((OPENING, True), (theirs, False), (ours, True)):
        for at in range(len(passed)):
            wire.passed(passed[at : at + 1], ours=is_ours)
    assert wire.faults == [fault]


@pytest.mark.shows("MUX-INTEROP-002")
def test_what_is_lawful_is_no_fault() -> None:
    """Credit is added also by the ACK, may be used at once, and a stream's number may come again after its end."""
    wire = Wire()
    for _ in range(2):
        wire.passed(OPENING, ours=True)
        wire.passed(header(UPDATE, ACK, 1, 10), ours=False)
        wire.passed(data(1, bytes(WINDOW + 10)), ours=True)
        wire.passed(header(UPDATE, 0, 1, 5), ours=False)
        wire.passed(data(1, bytes(5), FIN), ours=True)
        wire.passed(data(1, b"bye", RST) + data(1, b"late"), ours=False)
    assert wire.faults == []
    assert wire.data_bytes(1, ours=True) == 2 * (WINDOW + 15)
    assert len(wire.of(UPDATE, ours=False, flags=ACK, stream=1)) == 2
