"""Build other people's programs that tests/interop talks to, each with its own language's client, and run the tests.

`make interop` has the yamux peers and the WebSocket cases, `make matrix` local servers for real clients.

A peer whose toolchain is not on this machine is left out by name; one that is there and does not build is an error.
Versions are pinned: go.sum, Cargo.lock.pinned, package-lock.json, requirements.txt with hashes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ROOT / "tests" / "interop"
BUILT: Final = ROOT / "build" / "interop"


def main() -> int:
    """The exit code of the tests, or 1 when a peer does not build."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--matrix", action="store_true", help="servers and clients instead of peers")
    parser.add_argument("--bytes", type=int, default=100_000_000, help="bytes each way in the bulk scenarios")
    asked = parser.parse_args()
    builders = SERVERS if asked.matrix else PEERS
    tests = ("tests/interop/test_matrix.py",) if asked.matrix else ("tests/interop",)
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(lambda name: built_peer(name, *builders[name]), builders))
    if not all(built):
        return 1
    suite = "MATRIX" if asked.matrix else "INTEROP"
    environment = {**os.environ, suite: "1", "INTEROP_BYTES": str(asked.bytes)}
    # Each peer's scenarios on one worker, for one process serves them all.
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-p", "no:randomly", *tests]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def built_peer(name: str, source: str, tool: str, build: Callable[[Path], None]) -> bool:
    """Whether one was built, or left out because its toolchain is not here."""
    if shutil.which(tool) is None:
        print(f"left out: {name} needs {tool}", flush=True)
        return True
    began = time.monotonic()
    target = BUILT / name
    shutil.copytree(SOURCES / source, target, dirs_exist_ok=True)
    try:
        build(target)
    except subprocess.CalledProcessError as cause:
        print(f"{name}: {' '.join(map(str, cause.cmd))} failed:\n{cause.stderr}", flush=True)
        return False
    print(f"built: {name}, {time.monotonic() - began:.0f} s", flush=True)
    return True


def run(*command: str | Path, at: Path) -> None:
    """A tool that succeeds, or CalledProcessError with what it said."""
    subprocess.run(command, cwd=at, check=True, capture_output=True, text=True)


def build_go(target: Path) -> None:
    """hashicorp/yamux, verified by go.sum."""
    run("go", "build", "-mod=readonly", "-o", "peer", ".", at=target)


def build_rust(target: Path) -> None:
    """rust-yamux. The lock file is kept without the place that packages come from, which is this machine's choice."""
    run("cargo", "generate-lockfile", at=target)
    lock = target / "Cargo.lock"
    place = re.search(r"^source = .*$", lock.read_text(), re.MULTILINE)
    pinned = (target / "Cargo.lock.pinned").read_text()
    if place is not None:
        pinned = re.sub(r"^checksum = ", lambda found: f"{place[0]}\n{found[0]}", pinned, flags=re.MULTILINE)
    lock.write_text(pinned)
    run("cargo", "build", "--locked", "--target-dir", ".", at=target)


def build_node(target: Path) -> None:
    """Exactly what package-lock.json says."""
    run("npm", "ci", "--no-audit", "--no-fund", at=target)


def build_python(target: Path) -> None:
    """Exactly what requirements.txt says, in an environment of its own."""
    run(sys.executable, "-m", "venv", "venv", at=target)
    pip = (target / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", "requirements.txt", at=target)


PEERS: Final[dict[str, tuple[str, str, Callable[[Path], None]]]] = {
    "rust": ("peers/rust", "cargo", build_rust),
    "go": ("peers/go", "go", build_go),
    "node": ("peers/node", "npm", build_node),
    "python": ("peers/python", sys.executable, build_python),
    "websocket": ("peers/websocket", sys.executable, build_python),
}
"""Where the sources are, the tool without which it is left out, and how it is built; what takes longest first."""
SERVERS: Final = {
    "servers": ("servers", sys.executable, build_python),
    "vite": ("servers/vite", "npm", build_node),
}

if __name__ == "__main__":
    sys.exit(main())
