"""What the link hands on after joining is what came: the same bytes per stream, the same order, fewer pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import StreamId
from tunnel.core.mux.events import Event, StreamData, StreamEnded
from tunnel.drive.joining import joined

DATA = st.builds(StreamData, st.integers(1, 3).map(StreamId), st.binary(min_size=1, max_size=4))
ENDED = st.builds(StreamEnded, st.integers(1, 3).map(StreamId))


def told(events: list[Event]) -> list[tuple[str, int, bytes]]:
    """The events as values, data byte by byte, so that how it was cut does not matter."""
    flat: list[tuple[str, int, bytes]] = []
    for event in events:
        if isinstance(event, StreamData):
            flat.extend(("data", event.stream, bytes([one])) for one in event.data)
        elif isinstance(event, StreamEnded):
            flat.append(("ended", event.stream, b""))
    return flat


@given(st.lists(DATA | ENDED, max_size=12))
def test_joining_changes_neither_bytes_nor_order(events: list[Event]) -> None:
    after = joined(events)
    assert told(after) == told(events)
    for one, following in pairwise(after):
        if isinstance(one, StreamData) and isinstance(following, StreamData):
            assert one.stream != following.stream
