"""The model of the multiplexer speaks of the code that runs, and its runner tells a sound model from a broken one.

Spin itself runs in one small case here (left out where it is not installed); `make model` has the whole of it.
"""

import re
import shutil
from pathlib import Path

import pytest
from ci.model import BUGS, MODEL, ROOT, bugs, verify

MUX = ROOT / "src/tunnel/core/mux"
_SPIN = pytest.mark.skipif(
    shutil.which("spin") is None or shutil.which("cc") is None, reason="spin and a C compiler are not installed"
)
# What only the model has: counts of what happened, for its assertions.
GHOSTS = {"told", "told_end", "told_reset", "did_reset", "to_queue", "state", "is_refused", "receive_credit"}


def _typedef(name: str) -> set[str]:
    body = re.search(rf"typedef {name} \{{(.*?)\}};", MODEL.read_text(encoding="utf-8"), re.DOTALL)
    assert body is not None
    return set(re.findall(r"(?:byte|bool|mtype) (\w+)", body[1]))


def _code() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(MUX.glob("*.py")))


@pytest.mark.shows("WALL-MODEL-002")
def test_what_the_model_calls_a_stream_has_is_what_the_code_calls_it() -> None:
    names = _typedef("Stream") - GHOSTS
    assert {"opening", "queue", "credit", "unread", "owed", "is_ending", "has_sent_fin", "peer_ended"} <= names
    code = _code()
    assert [name for name in sorted(names) if re.search(rf"\b{name}\b", code) is None] == []


@pytest.mark.shows("WALL-MODEL-002")
def test_every_requirement_that_the_model_names_exists() -> None:
    named = set(re.findall(r"MUX-[A-Z]+-\d{3}", MODEL.read_text(encoding="utf-8")))
    known = set(re.findall(r"\*\*(MUX-[A-Z]+-\d{3})\*\*", (ROOT / "spec/wire.md").read_text(encoding="utf-8")))
    assert len(named) > 10
    assert named - known == set()


@pytest.mark.shows("WALL-MODEL-001")
def test_every_bug_of_the_model_is_on_the_list_and_the_other_way_round() -> None:
    in_model = set(re.findall(r"#ifn?def (BUG_\w+)", MODEL.read_text(encoding="utf-8")))
    assert {bug.name for bug in bugs()} == in_model
    assert all(bug.why for bug in bugs())
    assert BUGS.exists()


@_SPIN
@pytest.mark.shows("WALL-MODEL-001")
def test_a_planted_bug_is_found_and_its_story_is_told() -> None:
    verdict = verify(("BUG_NEVER_UPDATES_AT_ZERO",))
    assert (verdict.errors, verdict.trouble) == (1, "")
    assert verdict.violated.startswith("assertion violated")


@_SPIN
@pytest.mark.shows("WALL-MODEL-001")
def test_a_model_that_is_not_one_is_trouble_and_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "mux.pml"
    broken.write_text("init { nothing of the kind }", encoding="utf-8")
    monkeypatch.setattr("ci.model.MODEL", broken)
    verdict = verify(())
    assert verdict.trouble
    assert verdict.errors == 0
