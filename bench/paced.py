"""Latency at a fixed rate: requests start when the timetable says so, however slow the answers are.

A client that waits for an answer before it asks again is slowed down by exactly the answers it should complain about
(coordinated omission), as wrk is. Here each latency counts from the planned moment, so a stall shows in every request
that it held up.
"""

import re
import select
import socket
from collections import deque
from dataclasses import dataclass
from time import perf_counter
from typing import Final, final

from bench.failure import BenchError
from bench.load import CONNECTIONS
from bench.processes import LOOPBACK
from bench.subjects import Place

_READ_BYTES: Final = 65536
_SILENCE_SECONDS_MAX: Final = 5.0
_WARM_REQUESTS: Final = 2 * CONNECTIONS
_ANSWER: Final = re.compile(rb"HTTP/1\.1 200 .*?\r\ncontent-length: *(\d+)\r\n.*?\r\n\r\n", re.IGNORECASE | re.DOTALL)


@final
@dataclass(frozen=True, slots=True)
class Paced:
    """Percentiles over all requests of the timetable, in seconds."""

    requests: int
    p50_seconds: float
    p99_seconds: float


@final
class _Asker:
    """One kept-alive connection with at most one request on its way."""

    def __init__(self, place: Place) -> None:
        self._request: Final = f"GET {place.path} HTTP/1.1\r\nHost: {place.host}\r\n\r\n".encode("ascii")
        self._socket: Final = socket.create_connection((LOOPBACK, place.port), _SILENCE_SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""
        self.due_at = 0.0
        """When the running request should have started."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, due_at: float) -> None:
        """Send the request that was planned for `due_at`."""
        self.due_at = due_at
        self._socket.sendall(self._request)

    def is_answered(self) -> bool:
        """Read what has come; whether the answer is whole now."""
        data = self._socket.recv(_READ_BYTES)
        self._held += data
        head = _ANSWER.match(self._held)
        if not data or (head is None and b"\r\n\r\n" in self._held):
            message = f"a paced request was answered with {self._held[:80]!r}"
            raise BenchError(message)
        if head is None or len(self._held) < head.end() + int(head[1]):
            return False
        self._held = b""
        return True

    def close(self) -> None:
        self._socket.close()


def paced(place: Place, rate: int, seconds: int) -> Paced:
    """`rate` requests a second for so many seconds over 32 connections, planned at equal distances."""
    askers = [_Asker(place) for _ in range(CONNECTIONS)]
    try:
        _run(askers, _timetable(_WARM_REQUESTS, rate))
        latencies = sorted(_run(askers, _timetable(rate * seconds, rate)))
    finally:
        for asker in askers:
            asker.close()
    return Paced(len(latencies), _percentile(latencies, 0.50), _percentile(latencies, 0.99))


def _timetable(count: int, rate: int) -> deque[float]:
    begin = perf_counter()
    return deque(begin + number / rate for number in range(count))


def _run(askers: list[_Asker], planned: deque[float]) -> list[float]:
    """Seconds from plan to whole answer, for each request of the timetable."""
    resting, asking, latencies = deque(askers), set[_Asker](), list[float]()
    while planned or asking:
        while planned and resting and planned[0] <= perf_counter():
            asker = resting.popleft()
            asker.ask(planned.popleft())
            asking.add(asker)
        next_at = planned[0] if planned and resting else perf_counter() + _SILENCE_SECONDS_MAX
        # select and not epoll: its timeout counts microseconds, epoll's whole milliseconds.
        ready, _, _ = select.select(list(asking), [], [], max(next_at - perf_counter(), 0.0))
        if not ready and not (planned and resting):
            message = f"no answer within {_SILENCE_SECONDS_MAX:g} s"
            raise BenchError(message)
        for asker in ready:
            if asker.is_answered():
                latencies.append(perf_counter() - asker.due_at)
                asking.remove(asker)
                resting.append(asker)
    return latencies


def _percentile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    rank = -(-len(ordered) * round(share * 100) // 100)
    return ordered[max(rank - 1, 0)]
