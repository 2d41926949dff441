"""Fuzz targets of workers and supervisor: words read alike however they are cut, and neither end ever raises."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.cluster.codec import MessageReader, encode_message
from tunnel.core.cluster.crossing import CrossingReader
from tunnel.core.cluster.errors import describe
from tunnel.core.cluster.messages import WorkerId
from tunnel.core.cluster.registry import ClusterRegistry
from tunnel.core.cluster.replica import Replica
from tunnel.core.route.table import RouteTable

START: Final = Instant(100.0)
UNIX: Final = UnixSeconds(1_000_000)


def fuzz_cluster_words(data: bytes) -> None:
    """Any bytes are messages that encode to themselves, or an error that can be said; a supervisor takes them all."""
    read = MessageReader().receive(data)
    if not isinstance(read, Success):
        assert describe(error_of(read))
        return
    messages = value_of(read)
    assert data.startswith(b"".join(encode_message(message) for message in messages))
    registry = ClusterRegistry(DEFAULT_LIMITS)
    registry.on_worker(WorkerId(1), "/run/1")
    for message in messages:
        if isinstance(registry.receive(WorkerId(1), message, START, UNIX, bytes(16)), Failure):
            break
    registry.on_worker_lost(WorkerId(1), START)
    assert registry.names() == []
    assert registry.session_count() == 0


def fuzz_cluster_worker(data: bytes) -> None:
    """A worker takes any bytes of a supervisor, whole or cut, with the same leases at the end."""
    tables = []
    for size in (len(data) or 1, 7):
        table = RouteTable(DEFAULT_LIMITS)
        replica = Replica(table, WorkerId(1))
        for at in range(0, len(data), size):
            if isinstance(replica.receive(data[at : at + size], START), Failure):
                break
        tables.append([(lease.name, lease.epoch) for lease in table.leases()])
    if isinstance(MessageReader().receive(data), Success):
        assert tables[0] == tables[1]


def fuzz_cluster_crossing(data: bytes) -> None:
    """The first bytes of a crossing: whole and byte by byte give the same."""
    whole, cut = CrossingReader(), CrossingReader()
    once = whole.receive(data)
    for at in range(len(data)):
        step = cut.receive(data[at : at + 1])
        if isinstance(step, Failure):
            assert isinstance(once, Failure)
            return
        found = value_of(step)
        if found is not None:
            assert isinstance(once, Success)
            assert value_of(once) is not None
            assert whole.take_rest() == cut.take_rest() + data[at + 1 :]
            return
    assert isinstance(once, Success)
    assert value_of(once) is None


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "cluster_words": fuzz_cluster_words,
    "cluster_worker": fuzz_cluster_worker,
    "cluster_crossing": fuzz_cluster_crossing,
}
