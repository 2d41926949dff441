"""What one stream costs when 1,000, 5,000 and 10,000 are on one link: processor time of two sessions, without I/O.

    python -m bench.streams [--rounds 3] [--json FILE]

The cost of a stream must not grow with their number: `growth` is that of 10,000 over that of 1,000. Nor must the
cost of a heartbeat with the number of links.
"""

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

from bench.machine import Watch

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import READ_BYTES, Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.mux.events import StreamData, StreamEnded
from tunnel.core.mux.session import Role, Session

_NOW: Final = Instant(0.0)
_SMALL: Final = bytes(200)
_BULK: Final = bytes(20_000)
_COUNTS: Final = (1_000, 5_000, 10_000)
_MICROSECONDS: Final = 1_000_000


@final
class Wired:
    """Two ends, and everything that passes between them; the server answers what it hears, if it is told to."""

    def __init__(self, streams: int) -> None:
        limits = Limits(streams_per_session_max=streams, session_buffer_bytes_max=1 << 34)
        self.client: Final = Session(Role.CLIENT, limits, _NOW)
        self.server: Final = Session(Role.SERVER, limits, _NOW)
        self.streams: list[StreamId] = []

    def exchange(self) -> None:
        """Carry output across until both are at rest, in portions of 64 KiB; whatever arrives has left at once."""
        while self.client.has_output or self.server.has_output:
            for source, target in ((self.client, self.server), (self.server, self.client)):
                received = target.receive(source.poll_output(READ_BYTES), _NOW)
                source.take_events()
                for event in value_of(received) if isinstance(received, Success) else ():
                    if isinstance(event, StreamData):
                        target.return_credit(event.stream, len(event.data), _NOW)
                    elif isinstance(event, StreamEnded):
                        target.end(event.stream)

    def open(self, count: int) -> None:
        """So many streams, known to both ends."""
        opened = (self.client.open_stream() for _ in range(count))
        self.streams = [value_of(one) for one in opened if isinstance(one, Success)]
        self.exchange()

    def send(self, payload: bytes) -> None:
        """The same on every stream, all at once."""
        for stream in self.streams:
            self.client.send(stream, payload)
        self.exchange()

    def tick(self) -> None:
        """What a busy link asks for all the time: the next deadline, and whether there is output."""
        for _ in self.streams:
            self.client.on_time(_NOW)
            self.client.next_deadline()
            self.client.poll_output(READ_BYTES)

    def end(self) -> None:
        """Every stream ends well."""
        for stream in self.streams:
            self.client.end(stream)
        self.exchange()

    def reset(self) -> None:
        """Every stream is reset with bytes queued, the last one first."""
        for stream in self.streams:
            self.client.send(stream, _BULK)
        for stream in reversed(self.streams):
            self.client.reset(stream)
        self.exchange()


def steps(count: int) -> dict[str, float]:
    """Microseconds of processor time for each stream, by what was done with all of them."""
    wired, taken = Wired(count), dict[str, float]()

    def timed(name: str, step: Callable[[], None]) -> None:
        begun = time.process_time()
        step()
        taken[name] = (time.process_time() - begun) / count * _MICROSECONDS

    timed("open", lambda: wired.open(count))
    timed("200 bytes", lambda: wired.send(_SMALL))
    timed("20,000 bytes", lambda: wired.send(_BULK))
    timed("tick", wired.tick)
    timed("end", wired.end)
    wired.open(count)
    timed("reset", wired.reset)
    left = wired.client.live_streams + wired.server.live_streams
    if left:
        message = f"{left} streams are left"
        raise RuntimeError(message)
    return taken


def heartbeat(count: int) -> float:
    """Microseconds of processor time for each of so many links of one stream: a ping, its answer, at both ends."""
    links = [Wired(1) for _ in range(count)]
    for link in links:
        link.open(1)
    moment = Instant(_NOW + Limits().heartbeat_seconds)
    begun = time.process_time()
    for link in links:
        link.server.on_time(moment)
        asked = link.server.poll_output(READ_BYTES)
        link.client.receive(asked, moment)
        link.server.receive(link.client.poll_output(READ_BYTES), moment)
    taken = (time.process_time() - begun) / count * _MICROSECONDS
    if any(link.server.next_deadline() <= moment for link in links):
        message = "a heartbeat was not answered"
        raise RuntimeError(message)
    return taken


def bytes_of(count: int) -> tuple[float, float]:
    """Bytes that an idle session takes, and that each of so many open and idle streams adds to it."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sessions = [Session(Role.SERVER, Limits(), _NOW) for _ in range(100)]
    idle = (tracemalloc.get_traced_memory()[0] - before) / len(sessions)
    wired = Wired(count)
    before = tracemalloc.get_traced_memory()[0]
    wired.open(count)
    wired.streams.clear()
    a_stream = (tracemalloc.get_traced_memory()[0] - before) / count / 2
    tracemalloc.stop()
    return idle, a_stream


@final
class _Typed(argparse.Namespace):
    """What argparse fills in, with the defaults."""

    rounds: int = 3
    json: Path | None = None


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The cost of a stream by how many there are.")
    parser.add_argument("--rounds", type=int, help="of which the least is taken")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args(arguments, _Typed())
    watch = Watch()
    measured = {count: [steps(count) for _ in range(asked.rounds)] for count in _COUNTS}
    least = {name: [min(one[name] for one in measured[count]) for count in _COUNTS] for name in measured[_COUNTS[0]][0]}
    least["heartbeat"] = [min(heartbeat(count) for _ in range(asked.rounds)) for count in _COUNTS]
    print("microseconds a stream, or a heartbeat of as many links; both ends together")
    print(f"{'':14}" + "".join(f"{count:10,}" for count in _COUNTS) + f"{'growth':>10}")
    for name, row in least.items():
        print(f"{name:14}" + "".join(f"{one:10.1f}" for one in row) + f"{row[-1] / row[0]:9.2f}x")
    idle, a_stream = bytes_of(_COUNTS[0])
    print(f"an idle session takes {idle:,.0f} bytes, an idle stream {a_stream:,.0f} at each end")
    told = {"counts": _COUNTS, "microseconds": least, "session_bytes": idle, "stream_bytes": a_stream}
    watch.write(asked.json, {"rounds": asked.rounds}, told)


if __name__ == "__main__":
    main(sys.argv[1:])
