"""The fixture that stands over all tests notices an exception that a guard had to catch (WALL-GUARD-002)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from wall_support import ROOT

PLANTED = """
import pytest
from tunnel.drive.guard import guarded
from tunnel.observe.escapes import handler_escapes_total


class Session:
    def abort_session(self) -> None:
        pass

    @guarded
    def data_received(self) -> None:
        raise ValueError("planted")


def test_escape() -> None:
    Session().data_received()


@pytest.mark.plants_escape
def test_planted_escape() -> None:
    before = handler_escapes_total()
    Session().data_received()
    assert handler_escapes_total() == before + 1


def test_quiet() -> None:
    assert True
"""


@pytest.mark.shows("WALL-GUARD-002")
def test_an_escape_fails_the_test_that_did_not_plant_it(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    (tmp_path / "test_planted.py").write_text(PLANTED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:xdist", "test_planted.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "3 passed, 1 error" in done.stdout
    assert "ERROR test_planted.py::test_escape" in done.stdout
    assert "ValueError: planted" in done.stdout
