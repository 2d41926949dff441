"""The runner of deliberate defects tells a caught one from a missed one, and a stale entry from both.

Each case is a tree of one function and one test; pytest runs for real against a copy of it.
"""

from pathlib import Path

import pytest
from ci.defects import LISTS, main
from hypothesis import settings

CODE = "def doubled(number: int) -> int:\n    return number * 2\n"
TEST = "from thing import doubled\n\n\ndef test_doubled() -> None:\n    assert doubled(3) == 6\n"
LUCK = """import os


def test_nothing_is_drawn_by_luck() -> None:
    assert (os.environ["HYPOTHESIS_PROFILE"], os.environ["PYTHONHASHSEED"]) == ("defects", "0")
"""
ENTRY = """[[defect]]
name = "{name}"
file = "src/thing.py"
old = "{old}"
new = "{new}"
why = "planted"
tests = ["tests/{test}"]
"""


def _tree(root: Path, *entries: str) -> Path:
    for file, text in {
        "src/thing.py": CODE,
        "tests/test_thing.py": TEST,
        "tests/test_failing.py": "def test_false() -> None:\n    assert False\n",
        "tests/test_broken.py": "import nothing_of_this_name\n",
        "tests/test_luck.py": LUCK,
        f"{LISTS}/all.toml": "\n".join(entries),
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
    return root


def _entry(name: str = "planted", old: str = "number * 2", new: str = "number * 3", test: str = "test_thing.py") -> str:
    return ENTRY.format(name=name, old=old, new=new, test=test)


@pytest.mark.shows("WALL-DEFECT-001")
@pytest.mark.parametrize(
    ("entry", "status", "words"),
    [
        (_entry(), 0, "1 of 1 deliberate defects caught"),
        (_entry(test="test_thing.py::test_doubled"), 0, "1 of 1 deliberate defects caught"),
        (_entry(new="number + number"), 1, "the tests passed"),
        (_entry(test="test_broken.py"), 1, "without any defect: pytest ended with 2"),
        (_entry(test="test_failing.py"), 1, "without any defect: test_failing.py::test_false"),
    ],
    ids=["caught", "caught by a test alone", "missed", "not run", "failing anyway"],
)
def test_only_a_failing_test_catches_a_defect(
    entry: str, status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _tree(tmp_path, entry)
    assert main([], root) == status
    assert words in capsys.readouterr().out
    assert (root / "src/thing.py").read_text("utf-8") == CODE


@pytest.mark.shows("WALL-DEFECT-002")
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (_entry(old="number / 2"), "occurs 0 times"),
        (_entry(old="number"), "occurs 2 times"),
        (_entry(test="test_gone.py"), "no such test"),
        (_entry(test="test_thing.py::test_tripled"), "no such test: tests/test_thing.py::test_tripled"),
    ],
)
def test_a_stale_entry_is_an_error(entry: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], _tree(tmp_path, entry)) == 1
    assert words in capsys.readouterr().out


@pytest.mark.shows("WALL-DEFECT-003")
def test_what_was_missed_is_said_again_at_the_end_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = (_entry("missed", new="number + number"), _entry("caught"), _entry("gone", old="number / 2"))
    assert main([], _tree(tmp_path, *entries)) == 1
    *_, summary, missed, gone = capsys.readouterr().out.splitlines()
    assert summary == "1 of 3 deliberate defects caught"
    assert missed.startswith("✗ missed: missed (src/thing.py: planted), of tests/test_thing.py: the tests passed: ")
    assert gone.startswith(
        "✗ missed: gone (src/thing.py: planted), of tests/test_thing.py: the old text occurs 0 times"
    )


@pytest.mark.shows("WALL-DEFECT-004")
def test_a_defect_is_caught_or_missed_in_every_run_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = settings.get_profile("defects")
    assert (profile.derandomize, profile.database) == (True, None)
    assert main([], _tree(tmp_path, _entry(new="number + number", test="test_luck.py"))) == 1
    assert "the tests passed" in capsys.readouterr().out


@pytest.mark.shows("WALL-DEFECT-002")
def test_two_defects_of_one_name_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], _tree(tmp_path, _entry(), _entry())) == 1
    assert "each needs its own" in capsys.readouterr().out


def test_one_can_be_chosen_and_all_can_be_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _tree(tmp_path, _entry(), _entry(name="other", new="number + number"))
    assert main(["--only", "planted"], root) == 0
    assert main(["--list"], root) == 0
    assert "other" in capsys.readouterr().out
