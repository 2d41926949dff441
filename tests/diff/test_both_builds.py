"""The compiled build and the interpreted one, given the same bytes and calls, say the same (OPS-BUILD-001).

The child process interprets the sources of the very modules that run compiled here. Where nothing is compiled there
is nothing to compare, and `make test-compiled` is where this runs.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.both_builds import MACHINES, Operation

from tunnel.cli.build import core_mode

ROOT: Final = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.shows("OPS-BUILD-001"),
    pytest.mark.skipif(core_mode() != "compiled", reason="the core is interpreted here: nothing to compare"),
]

REQUESTS: Final = (
    b"GET / HTTP/1.1\r\nHost: app.tunnel.test\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /form HTTP/1.1\r\nHost: app.tunnel.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: app.tunnel.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: APP.tunnel.test:80\r\nExpect: 100-continue\r\nContent-Length: 3\r\nForwarded: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: nobody.tunnel.test\r\nConnection: keep-alive, x-gone\r\nX-Gone: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
)
ANSWERS: Final = (
    b"\x01\x00",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nServer: x\r\nDate: y\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
)
FRAMES: Final = tuple(
    bytes((0, kind, 0, flags, 0, 0, 0, stream, 0, 0, 0, length)) + (bytes(length) if kind == 0 else b"")
    for kind in (0, 1, 2, 3)
    for flags in (0, 1, 2, 4, 8)
    for stream, length in ((0, 0), (1, 5), (2, 0), (3, 9))
)


def cuts(wholes: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Whole messages, pieces of them, several at once, and anything else."""
    whole = st.sampled_from(wholes)
    part = st.builds(lambda one, begin, end: one[begin:end], whole, st.integers(0, 60), st.integers(1, 200))
    return st.one_of(whole, whole, part, st.builds(bytes.__add__, whole, whole), st.binary(max_size=40))


def operation(names: tuple[str, ...], data: st.SearchStrategy[bytes]) -> st.SearchStrategy[Operation]:
    """One call; those with data have it twice as often."""
    return st.tuples(st.sampled_from(names), data.map(bytes.hex), st.integers(0, 70_000))


HTTP = st.one_of(operation(("head",), cuts(REQUESTS + ANSWERS)), operation(("body", "length"), cuts(REQUESTS)))
MUX_CALLS = (
    "open",
    "open",
    "send",
    "send-much",
    "send-much",
    "poll-all",
    "end",
    "reset",
    "credit",
    "poll",
    "time",
    "leave",
)
MUX = st.one_of(operation(("receive",), cuts(FRAMES)), operation(MUX_CALLS, st.binary(max_size=40)))
EDGE_CALLS = (
    "visitor-end", "visitor-lost", "visitor-stuck", "visitor-flowing", "visitor-took", "origin-end", "origin-reset",
    "origin-refused", "origin-stuck", "origin-flowing", "drain", "time",
)  # fmt: skip
EDGE = st.one_of(
    operation(("visitor",), cuts(REQUESTS)),
    operation(("origin",), cuts(ANSWERS)),
    operation(("origin",), st.just(ANSWERS[0])),
    operation(EDGE_CALLS, st.just(b"")),
)


@final
class Interpreted:
    """The other build, in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.both_builds"]
        self.child: Final = subprocess.Popen(  # noqa: S603 - our own interpreter with our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def says(self, machine: str, operations: list[Operation]) -> list[str]:
        """What it says to one case."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps((machine, operations)) + "\n")
        self.child.stdin.flush()
        said: list[str] = json.loads(self.child.stdout.readline())
        return said


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Interpreted]:
    """One child for all cases."""
    other = Interpreted()
    yield other
    other.child.communicate()


@given(st.lists(HTTP, max_size=12))
@settings(max_examples=300, deadline=None)
def test_http(interpreted: Interpreted, operations: list[Operation]) -> None:
    assert MACHINES["http"](operations) == interpreted.says("http", operations)


@given(st.lists(MUX, max_size=25))
@example([("open", "", 0), ("send-much", "", 65538), ("poll-all", "", 2), ("poll-all", "", 2)])
@example([("open", "", 0), ("send-much", "", 65538), *[("poll", "", 50_002)] * 9])
@settings(max_examples=300, deadline=None)
def test_mux(interpreted: Interpreted, operations: list[Operation]) -> None:
    assert MACHINES["mux"](operations) == interpreted.says("mux", operations)


@given(st.lists(EDGE, max_size=20))
@example([("visitor", REQUESTS[0].hex(), 1), ("origin", (ANSWERS[0] + ANSWERS[1]).hex(), 1), ("time", "", 0)])
@settings(max_examples=300, deadline=None)
def test_edge(interpreted: Interpreted, operations: list[Operation]) -> None:
    assert MACHINES["edge"](operations) == interpreted.says("edge", operations)


def test_the_child_interprets_what_runs_compiled_here() -> None:
    """Else the rest of this file would compare a build with itself."""
    asked = "import sys, tests.support.both_builds as b; sys.meta_path.insert(0, b.SourcesOnly()); "
    asked += "import tunnel.core.relay.edge as e; print(e.__file__.endswith('.py'))"
    done = subprocess.run(  # noqa: S603 - likewise
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "True"
