"""Builds the per-byte path with mypyc when TUNNEL_COMPILE=1; otherwise the same sources run interpreted.

Everything else about the package is in pyproject.toml. ADR 0032 says what is compiled and why not by default.
"""

import os
from pathlib import Path

from setuptools import setup

FOLDERS = ("base", "journal", "mux", "http", "policy", "proxy", "directory", "route", "relay")
SHELL = (
    "core/link/preface",
    "drive/alarm",
    "drive/joining",
    "drive/link",
    "drive/pace",
    "drive/secure",
    "observe/metrics",
    "server/recent",
    "server/public",
    "server/raw",
    "server/throttle",
    "server/visitor_side",
    "agent/local",
)
"""Single modules on the path of every byte; none inherits from an interpreted class (drive/callbacks.py does)."""
LEFT_OUT = {
    # Records with ClassVar codes, which mypyc's dataclasses refuse; they are made on failure only.
    "src/tunnel/core/http/faults.py",
}


def compiled_files() -> list[str]:
    """The modules that become extensions."""
    found = [path.as_posix() for folder in FOLDERS for path in sorted(Path("src/tunnel/core", folder).glob("*.py"))]
    found += [f"src/tunnel/{name}.py" for name in SHELL]
    return [path for path in found if path not in LEFT_OUT and not path.endswith("__init__.py")]


if os.environ.get("TUNNEL_COMPILE") == "1":
    from mypyc.build import mypycify

    setup(ext_modules=mypycify(["--config-file=ci/mypyc.ini", *compiled_files()], opt_level="3", debug_level="0"))
else:
    setup()
