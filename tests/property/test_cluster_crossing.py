"""The first bytes of a crossing: four properties of a parser, and what its one byte of answer means."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.ids import EndpointId, Epoch
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, EXPOSURE_OVER, LINK_BUSY, NOT_PERMITTED, UNKNOWN_NAME
from tunnel.core.cluster.crossing import (
    CROSSED,
    Crossing,
    CrossingReader,
    encode_crossing,
    problem_of_answer,
    refusal_bytes,
)
from tunnel.core.link.errors import PrefaceMalformed
from tunnel.core.link.preface import StreamPreface

ADDRESSES: Final = st.sampled_from(["192.0.2.1", "2001:db8::1", "fe80::1%eth0", ""])
CROSSINGS: Final = st.builds(
    Crossing,
    st.integers(0, 2**64 - 1).map(Epoch),
    st.builds(
        StreamPreface,
        st.integers(1, 2**32 - 1).map(EndpointId),
        ADDRESSES,
        st.integers(0, 65_535),
        ADDRESSES,
        st.integers(0, 65_535),
    ),
)


def facts(crossing: Crossing) -> tuple[object, ...]:
    preface = crossing.preface
    there = (preface.public_address, preface.public_port)
    return (crossing.epoch, preface.endpoint, preface.address, preface.port, *there)


@given(crossing=CROSSINGS, rest=st.binary(max_size=20), size=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
@pytest.mark.shows("WORK-CROSS-001")
def test_what_is_written_is_read_however_it_is_cut_and_what_follows_is_left(
    crossing: Crossing, rest: bytes, size: int
) -> None:
    data = encode_crossing(crossing) + rest
    reader = CrossingReader()
    for at in range(0, len(data), size):
        read = reader.receive(data[at : at + size])
        assert isinstance(read, Success)
        found = value_of(read)
        if found is not None:
            assert facts(found) == facts(crossing)
            assert reader.take_rest() + data[at + size :] == rest
            return
    pytest.fail("nothing was read")


@given(data=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_crossing_a_wait_or_an_error(data: bytes) -> None:
    read = CrossingReader().receive(data)
    assert isinstance(read, (Success, Failure))


def test_a_preface_that_is_none_is_an_error_and_nothing_is_left_over() -> None:
    reader = CrossingReader()
    assert reader.take_rest() == b""
    assert reader.receive(bytes(8) + b"\xff") == Failure(PrefaceMalformed("version"))


@pytest.mark.shows("WORK-CROSS-002")
def test_every_refusal_reaches_the_visitor_as_what_it_is() -> None:
    assert problem_of_answer(CROSSED) is None
    for problem in (AGENT_OFFLINE, NOT_PERMITTED, LINK_BUSY, EXPOSURE_OVER):
        assert problem_of_answer(refusal_bytes(problem)) == problem
    assert problem_of_answer(refusal_bytes(UNKNOWN_NAME)) == AGENT_OFFLINE
    assert problem_of_answer(b"\xff") == AGENT_OFFLINE
