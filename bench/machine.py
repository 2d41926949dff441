"""On what machine, from what sources and how undisturbed figures were made: without this they mean nothing."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias, final

from bench.processes import cpu_seconds, cpu_seconds_of_machine

from tunnel.cli.build import core_mode

Facts: TypeAlias = Mapping[str, str | int | float | None]
_NOISE_WORTH_SAYING: Final = 0.05


@final
class Watch:
    """Begun before a measurement starts its first process: somebody may commit, or work, while it runs."""

    def __init__(self) -> None:
        self._began: Final = datetime.now(UTC)
        self._revision: Final = _revision()
        self._others_before: Final = _others()

    def used_by_others(self) -> float:
        """What others used of the machine's processors from the beginning on, as a share of all there are."""
        whole = (datetime.now(UTC) - self._began).total_seconds() * (os.cpu_count() or 1)
        return max(_others() - self._others_before, 0.0) / whole

    def about(self, settings: Facts) -> dict[str, str | int | float | None]:
        """The facts so far, with the settings of this measurement among them."""
        return {
            "when": self._began.isoformat(timespec="seconds"),
            "revision": self._revision,
            "processor": _processor(),
            "cores": os.cpu_count() or 0,
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "core": core_mode(),
            **settings,
            "took_seconds": round((datetime.now(UTC) - self._began).total_seconds(), 1),
            "used_by_others": round(self.used_by_others(), 3),
        }

    def write(self, file: Path | None, settings: Facts, figures: Mapping[str, object]) -> None:
        """Keep the figures with what they were made on, unless no file is wanted; say when the machine was busy."""
        others = self.used_by_others()
        if others > _NOISE_WORTH_SAYING:
            print(f"other programs used {others:.0%} of this machine meanwhile: expect noise")
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"about": self.about(settings), **figures}, indent=1) + "\n", "utf-8")


def _others() -> float:
    """Processor seconds of everything but this process and the children it has, or had and waited for."""
    times = os.times()
    ended = times.children_user + times.children_system
    return cpu_seconds_of_machine() - cpu_seconds([os.getpid()]) - ended


def _revision() -> str:
    """The tree at this moment."""
    asked = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
