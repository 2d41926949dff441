"""What every test stands under: no exception may have escaped into a callback of the event loop while it ran."""

from collections.abc import Iterator

import pytest

from tunnel.observe.escapes import escape_stories, handler_escapes_total


@pytest.fixture(autouse=True)
def no_handler_escapes(request: pytest.FixtureRequest) -> Iterator[None]:
    """`handler_escapes_total` stays where it was; only a test that plants an escape may move it (WALL-GUARD-002)."""
    before = handler_escapes_total()
    yield
    if request.node.get_closest_marker("plants_escape") is None:
        assert handler_escapes_total() == before, "\n".join(escape_stories())
