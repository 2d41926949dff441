"""Every fault has a sentence, a code and a status of its own, and stays small however large its cause was."""

import dataclasses
import re
from typing import get_args

import pytest
from http_support import head_of, refused_request, refused_response

from tunnel.core.base.limits import Limits
from tunnel.core.http import errors
from tunnel.core.http.errors import HttpError, code_of, describe, status_of
from tunnel.core.http.faults import SEEN_BYTES

EVERY = get_args(HttpError)
STATUS = {
    "head-too-long": 431,
    "first-line-too-long": 414,
    "target-too-long": 414,
    "too-many-fields": 431,
    "trailers-too-long": 431,
    "body-too-long": 413,
    "unsupported-version": 505,
    "connect-asked": 501,
    "unknown-expectation": 417,
}


def example(kind: type) -> HttpError:
    """An error of this kind with hostile bytes in it."""
    values = {"int": 7, "bytes": b'\x1b[31m"\xff\r\n'}
    error = kind(*[values[str(getattr(field.type, "__name__", field.type))] for field in dataclasses.fields(kind)])
    assert isinstance(error, HttpError)
    return error


@pytest.mark.shows("HTTP-ERROR-001", "HTTP-ERROR-002")
@pytest.mark.parametrize("kind", EVERY)
def test_each_fault_has_a_sentence_a_code_and_a_status(kind: type) -> None:
    error = example(kind)
    sentence = describe(error)
    assert sentence.isascii()
    assert sentence.isprintable()
    assert re.fullmatch(r".+[;,] .+[.?]", sentence)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code_of(error))
    if isinstance(error, errors.RequestError | errors.BodyError):
        assert status_of(error) == STATUS.get(code_of(error), 400)


@pytest.mark.shows("HTTP-ERROR-001")
def test_codes_are_distinct_and_the_table_of_statuses_names_existing_ones() -> None:
    codes = [code_of(example(kind)) for kind in EVERY]
    assert len(set(codes)) == len(codes) == 32
    assert set(STATUS) <= set(codes)


@pytest.mark.shows("HTTP-ERROR-001")
def test_the_unions_hold_every_record_of_the_folder() -> None:
    records = {value for value in vars(errors).values() if isinstance(value, type) and dataclasses.is_dataclass(value)}
    assert records == set(EVERY)


@pytest.mark.shows("HTTP-ERROR-003")
@pytest.mark.parametrize(
    "lines",
    [
        ("GET /" + "\xff" * 5000 + " HTTP/1.1",),
        ("G" * 5000,),
        ("GET / HTTP/1.1", "Host: " + "a" * 5000),
        ("GET / HTTP/1.1", " " * 5000),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: " + "1" * 5000),
        ("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: " + "x" * 5000),
        ("GET / HTTP/1.1", "Host: a", "Expect: " + "x" * 5000),
        ("GET / HTTP/1.1", "Host: a", "Connection: " + "x y" * 5000),
        ("GET / HTTP/1.1", "Host: a", "X: \x85" + "x" * 5000),
        ("GET http://" + "b" * 5000 + "/ HTTP/1.1", "Host: a"),
        ("GET " + "b" * 5000 + " HTTP/1.1", "Host: a"),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: 1", "Connection: upgrade", "Upgrade: " + "x" * 5000),
    ],
)
def test_an_error_keeps_little_of_what_was_seen(lines: tuple[str, ...]) -> None:
    for error in (refused_request(head_of(*lines)), refused_response(head_of(*lines))):
        for field in dataclasses.fields(error):
            value = getattr(error, field.name)
            assert not isinstance(value, bytes) or len(value) <= SEEN_BYTES
        assert len(describe(error)) < 700


@pytest.mark.shows("HTTP-ERROR-001")
def test_limits_are_told() -> None:
    error = refused_request(head_of("GET / HTTP/1.1", "Host: a"), Limits(field_count_max=0))
    assert describe(error) == "More than 0 fields came; send fewer."
    assert describe(errors.EndedEarly(3, 5)) == "The sender finished after 3 bytes of 5; send the whole body."
    chunks = "The sender finished after 3 bytes and before the last chunk; send the whole body."
    assert describe(errors.EndedEarly(3, -1)) == chunks
