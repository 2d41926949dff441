"""What a row of checks says: one accident changes nothing, but the first check decides alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.route.checks import Verdict

LIMITS = replace(DEFAULT_LIMITS, check_failures=3, check_passes=2)


def verdicts(row: str) -> str:
    """What is told after each check of a row of + and -: `u`, `d`, or `.` for no news."""
    verdict = Verdict(LIMITS)
    told = ""
    for check in row:
        news = verdict.take(is_passed=check == "+")
        told += ("u" if verdict.is_up else "d") if news else "."
    return told


@pytest.mark.shows("OPS-HEALTH-003")
@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("++++", "...."),
        ("-", "d"),
        ("-+", "d."),
        ("-++", "d.u"),
        ("-+-++", "d...u"),
        ("+--+--", "......"),
        ("+---", "...d"),
        ("+---++---", "...d.u..d"),
    ],
)
def test_a_row_is_needed_to_change_its_mind(row: str, told: str) -> None:
    assert verdicts(row) == told


@pytest.mark.shows("OPS-HEALTH-003")
@given(st.text("+-", max_size=60))
def test_news_alternate_and_are_earned(row: str) -> None:
    told = verdicts(row)
    news = told.replace(".", "")
    assert "uu" not in news
    assert "dd" not in news
    assert not news.startswith("u")
    for at, letter in enumerate(told):
        if letter == "u":
            assert row[: at + 1].endswith("++")
        elif letter == "d" and at > 0:
            assert row[: at + 1].endswith("---")
