"""The vectors of `spec/vectors/http-*.json` say what this code does, so that another implementation may use them."""

import base64
import json
from pathlib import Path
from typing import Final

import pytest
from http_support import (
    Message,
    Verdict,
    Waiting,
    accepted_request,
    accepted_response,
    each_byte,
    read_request,
    read_response,
)

from tunnel.core.http.errors import BodyError, RequestError, code_of, status_of
from tunnel.core.http.forward import Visitor, provenance_of, request_bytes, response_bytes

VECTORS: Final = Path(__file__).parents[2] / "spec" / "vectors"
REQUEST_FACTS: Final = (
    "method",
    "target",
    "minor",
    "fields",
    "host",
    "host_value",
    "length",
    "connection",
    "upgrade",
    "keep_alive",
    "expects_continue",
)
RESPONSE_FACTS: Final = (
    "minor",
    "status",
    "reason",
    "fields",
    "length",
    "declared",
    "connection",
    "upgrade",
    "keep_alive",
    "is_interim",
)
# What may hold any byte is in base64, the rest is plain.
ENCODED: Final = {"reason", "fields"}


def load(name: str) -> list[dict[str, object]]:
    """The cases of one file."""
    document: dict[str, list[dict[str, object]]] = json.loads((VECTORS / name).read_text("utf-8"))
    return document["cases"]


def bytes_of(case: dict[str, object], name: str = "bytes") -> bytes:
    """A member in base64."""
    return base64.b64decode(str(case[name]))


def in_json(value: object, *, encoded: bool) -> object:
    """A fact as the files write it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() if encoded else value.decode()
    if isinstance(value, tuple):
        return [in_json(member, encoded=encoded) for member in value]
    return value


def written(verdict: Verdict, facts: tuple[str, ...]) -> dict[str, object]:
    """A verdict as the files write it."""
    if isinstance(verdict, Waiting):
        return {"waiting": verdict.held}
    if not isinstance(verdict, Message):
        status = (
            {"status": status_of(verdict)} if "host" in facts and isinstance(verdict, RequestError | BodyError) else {}
        )
        return {"refused": code_of(verdict), **status}
    named = zip(facts, verdict.head, strict=True)
    head = {name: in_json(value, encoded=name in ENCODED) for name, value in named if name != "host_value"}
    return {
        "head": head,
        "body": in_json(verdict.body, encoded=True),
        "trailers": in_json(verdict.trailers, encoded=True),
        "is_done": verdict.is_done,
        "rest": in_json(verdict.rest, encoded=True),
    }


def expected(case: dict[str, object]) -> dict[str, object]:
    """What a case says, without its name and input."""
    return {key: value for key, value in case.items() if key not in {"name", "bytes", "method"}}


@pytest.mark.parametrize("case", load("http-requests.json"), ids=lambda case: str(case["name"]))
def test_requests(case: dict[str, object]) -> None:
    data = bytes_of(case)
    for cuts in ([], each_byte(data)):
        assert written(read_request(data, cuts), REQUEST_FACTS) == expected(case)


@pytest.mark.parametrize("case", load("http-responses.json"), ids=lambda case: str(case["name"]))
def test_responses(case: dict[str, object]) -> None:
    data = bytes_of(case)
    for cuts in ([], each_byte(data)):
        assert written(read_response(data, cuts, str(case["method"]).encode()), RESPONSE_FACTS) == expected(case)


@pytest.mark.parametrize("case", load("http-forwarded.json"), ids=lambda case: f"{case['kind']} {case['name']}")
def test_forwarded(case: dict[str, object]) -> None:
    request_id = "abcdefghijklmnopqrstuvwxyz"
    if case["kind"] == "request":
        visitor = Visitor("203.0.113.7", 51234, "https")
        asked = accepted_request(bytes_of(case))
        went = request_bytes(asked, provenance_of(asked.host_value, visitor), request_id, b"localhost:3000")
    else:
        head = accepted_response(bytes_of(case), str(case["method"]).encode())
        minor, framing = int(str(case["minor"])), int(str(case["framing"]))
        went = response_bytes(head, request_id, minor, framing, close=case["close"] is True)
    assert went == bytes_of(case, "forwarded")
