"""What is installed from a wheel is whole: every file of the package that is no module is in its package data.

An editable installation reads the tree and never misses one; a picture that no pattern named once cost everyone else
every page of the dashboard.
"""

import tomllib

import pytest
from wall_support import ROOT

PACKAGE = ROOT / "src" / "tunnel"
BUILT = {".py", ".pyc", ".so"}


@pytest.mark.shows("OPS-BUILD-003")
def test_every_file_of_the_package_is_installed_with_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["tunnel"]
    carried = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    needed = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in BUILT}
    assert len(needed) > len(patterns)
    assert sorted(needed - carried) == []
