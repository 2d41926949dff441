"""Each operation of the system fails in turn: a slice of `make faults`, and the points that found something."""

import errno
import os

import pytest
from tests.simulation.exchange import Conduct, Deed, Exchange, Framing
from tests.simulation.injection import batch, cases, others, points, tried
from tests.simulation.sockets import Failing

SLICE = 100
"""Every so many points; the offset of the slice is that of its first."""


@pytest.mark.shows("SIM-FAULT-001", "SIM-FAULT-002", "SIM-FAULT-003")
def test_a_slice_of_all_points_is_survived() -> None:
    names = points()
    assert len(names) > 300
    assert {"accept", "recv", "send", "connect", "tls-read", "do_handshake", "open", "write", "fsync"} <= set(names)
    assert batch(list(cases(names, SLICE)), names) == []


@pytest.mark.shows("SIM-FAULT-001", "SIM-FAULT-003", "SIM-CTRL-002")
def test_a_slice_of_the_points_of_a_control_plane_is_survived() -> None:
    names = points("control")
    assert {"accept-beside", "fdatasync", "rename", "write", "mkdir", "stat"} <= set(names)
    first = {name: names.index(name) + 1 for name in ("fdatasync", "rename", "accept-beside")}
    assert batch([Failing(at, error) for at in first.values() for error in _out_of_room()], names, "control") == []


def _out_of_room() -> list[OSError]:
    return [OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.ENOBUFS)]


@pytest.mark.parametrize("scenario", ["tcp", "tls", "proxy"])
@pytest.mark.shows("SIM-FAULT-001")
def test_other_roads_have_points_of_their_own(scenario: str) -> None:
    names = points(scenario)
    assert len(names) > 250
    assert batch(list(cases(names, len(names) // 2)), names, scenario) == []


@pytest.mark.shows("SIM-FAULT-003")
def test_a_server_whose_own_address_cannot_be_had_says_so() -> None:
    """It was an exception out of `serve` once."""
    at = points().index("getsockname") + 1
    for number in range(at, at + 4):
        done = tried(Failing(number, OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))))
        assert done.is_sound, done.findings


@pytest.mark.shows("SIM-FAULT-002")
def test_a_failure_that_costs_others_is_noticed() -> None:
    broken = [_broken(1, "name0", 0), _broken(2, "name1", 1)]
    assert list(others(broken[:1])) == []
    assert len(list(others(broken))) == 1


def _broken(number: int, name: str, visitor: int) -> Exchange:
    made = Exchange(
        number, name, "GET", 0, 10, Framing.LENGTH, Framing.LENGTH, Deed.ANSWER, Conduct.PLAIN, 10, 0.0, visitor=visitor
    )
    made.outcomes.append("link-lost")
    return made


@pytest.mark.shows("SIM-FAULT-001")
def test_a_side_that_cannot_be_ended_is_no_escape() -> None:
    """A peer that reset the connection a moment ago: `write_eof` raised out of a callback of the server once."""
    names = points()
    for at in [place for place, name in enumerate(names, 1) if name == "shutdown"]:
        done = tried(Failing(at, OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))))
        assert done.is_sound, done.findings
