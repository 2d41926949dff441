"""Decision records keep their form: all sections, a status, a date, an own number, a confirmation that exists."""

import re
from pathlib import Path

import pytest
from wall_support import ROOT

RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
SECTIONS = ("Context", "Considered options", "Decision", "Consequences", "Confirmation", "Revisit when")
LINES_MAX = 80
REPOSITORY_PATH = re.compile(r"`((?:src|tests|ci|spec|docs|bench|\.ci)/[\w./-]*\w)`")


def test_no_number_is_used_twice() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize("record", RECORDS, ids=[record.name[:4] for record in RECORDS])
def test_a_record_has_its_form(record: Path) -> None:
    text = record.read_text("utf-8")
    assert re.search(rf"^# (ADR )?{record.name[:4]}\b", text, re.MULTILINE)
    assert re.search(r"^Status: (accepted|superseded by .+)$", text, re.MULTILINE)
    assert re.search(r"^Date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == SECTIONS
    assert len(text.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("record", RECORDS, ids=[record.name[:4] for record in RECORDS])
def test_what_confirms_a_record_exists(record: Path) -> None:
    confirmation = record.read_text("utf-8").partition("## Confirmation")[2].partition("##")[0]
    assert confirmation.strip()
    missing = [path for path in REPOSITORY_PATH.findall(confirmation) if not (ROOT / path).exists()]
    assert missing == []
