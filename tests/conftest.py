"""What every test stands under: no exception may have escaped into a callback of the event loop while it ran.

In CI, Hypothesis draws the same examples each time: what lands is judged by its own changes. Elsewhere they are new in
every run, and what they find is kept as an example.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tunnel.observe.escapes import escape_stories, handler_escapes_total

# No deadline anywhere: how long an example takes says how busy this machine is.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
settings.load_profile("here")
if os.environ.get("CI") == "true":
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def no_handler_escapes(request: pytest.FixtureRequest) -> Iterator[None]:
    """`handler_escapes_total` stays where it was; only a test that plants an escape may move it (WALL-GUARD-002)."""
    before = handler_escapes_total()
    yield
    if request.node.get_closest_marker("plants_escape") is None:
        assert handler_escapes_total() == before, "\n".join(escape_stories())
