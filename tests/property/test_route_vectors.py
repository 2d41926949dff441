"""The name vectors of `spec/vectors/`, which another implementation can run, hold for this one."""

import json
from pathlib import Path
from typing import Final, NotRequired, TypedDict

import pytest

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.route.name import LabelFault, NotInZone, label_of, name_in_zone, random_label


class Accepted(TypedDict):
    """A text and the label that it writes."""

    text: str
    label: str


class Refused(TypedDict):
    """A text and why it is no label."""

    text: str
    fault: str


class Labels(TypedDict):
    """Both kinds of text."""

    accepted: list[Accepted]
    refused: list[Refused]


class HostCase(TypedDict):
    """A host, what it is to the zone, and the label when it is `named`."""

    host: str
    result: str
    label: NotRequired[str]


class RandomCase(TypedDict):
    """Entropy in hexadecimal and the label made of it."""

    entropy: str
    label: str


class Vectors(TypedDict):
    """The whole file."""

    labels: Labels
    hosts: list[HostCase]
    random: list[RandomCase]


FILE: Final = Path(__file__).parents[2] / "spec" / "vectors" / "route-names.json"
VECTORS: Final[Vectors] = json.loads(FILE.read_text(encoding="utf-8"))
WORDS: Final = {
    LabelFault.EMPTY: "empty",
    LabelFault.TOO_LONG: "too long",
    LabelFault.CHARACTER: "character",
    LabelFault.HYPHEN: "hyphen",
}


@pytest.mark.shows("ROUTE-NAME-001", "ROUTE-NAME-002", "ROUTE-NAME-003")
def test_labels() -> None:
    for case in VECTORS["labels"]["accepted"]:
        assert label_of(case["text"]) == Success(case["label"])
    for refused in VECTORS["labels"]["refused"]:
        done = label_of(refused["text"])
        assert not isinstance(done, Success)
        assert WORDS[error_of(done).fault] == refused["fault"]
    assert {refused["fault"] for refused in VECTORS["labels"]["refused"]} == {WORDS[fault] for fault in LabelFault}


@pytest.mark.shows("ROUTE-NAME-004")
@pytest.mark.parametrize("case", VECTORS["hosts"], ids=lambda case: str(case["host"])[:24])
def test_each_host_is_named_nobodys_or_outside(case: HostCase) -> None:
    found = name_in_zone(case["host"], "tunnel.example")
    if isinstance(found, Success):
        assert (case["result"], value_of(found)) == ("named", case.get("label"))
    else:
        assert case["result"] == ("outside" if isinstance(error_of(found), NotInZone) else "nobody")


@pytest.mark.shows("ROUTE-NAME-005")
def test_random_labels() -> None:
    for case in VECTORS["random"]:
        assert random_label(bytes.fromhex(case["entropy"])) == case["label"]
