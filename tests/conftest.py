"""What every test stands under: no exception may have escaped into a callback of the event loop while it ran.

In CI, Hypothesis draws the same examples each time: what lands is judged by its own changes. Elsewhere they are new in
every run, and what they find is kept as an example.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

from tunnel.observe.escapes import escape_stories, handler_escapes_total

# No deadline anywhere: how long an example takes says how busy this machine is.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
# A deliberate defect is caught by the first example that fails; nobody reads the smallest one.
SOON = (Phase.explicit, Phase.generate)
settings.register_profile("defects", derandomize=True, phases=SOON, report_multiple_bugs=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "here"))


@pytest.fixture(autouse=True)
def no_handler_escapes(request: pytest.FixtureRequest) -> Iterator[None]:
    """`handler_escapes_total` stays where it was; only a test that plants an escape may move it (WALL-GUARD-002)."""
    before = handler_escapes_total()
    yield
    if request.node.get_closest_marker("plants_escape") is None:
        assert handler_escapes_total() == before, "\n".join(escape_stories())
