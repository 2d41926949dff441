"""The table at the end of `make interop` and `make matrix`, and the same as JSON in build/: what came of what."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

LEGEND: Final = {
    "interop": "as client and as server; 'differs': as tests/interop/differences.toml says",
    "matrix": "ok: every check the two have in common comes out as it does without the tunnel",
}
SHORT: Final = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Iterator[None]:
    """Print peers or clients across, scenarios or servers down."""
    cells: dict[str, dict[str, dict[str, str]]] = {}
    for outcome, word in SHORT.items():
        for report in terminalreporter.stats.get(outcome, []):
            told = dict(report.user_properties)
            if "told" in told and report.when == "call" and outcome == "passed":
                terminalreporter.write_line(f"\n{told['told']}")
            if "scenario" in told and (report.when == "call" or outcome != "passed"):
                cells.setdefault(told["scenario"], {}).setdefault(told["peer"], {})[told["role"]] = (
                    told.get("differs", word) if word == "ok" else word
                )
    suite = "matrix" if os.environ.get("MATRIX") else "interop"
    if os.environ.get(suite.upper()) and cells:
        peers = sorted({peer for row in cells.values() for peer in row})
        terminalreporter.write_line("")
        terminalreporter.write_line(f"{'':18}" + "".join(f"{peer:>12}" for peer in peers))
        for scenario, row in cells.items():
            shown = [row.get(peer, {}) for peer in peers]
            texts = ["/".join(dict.fromkeys(cell.values())) or "-" for cell in shown]
            terminalreporter.write_line(f"{scenario:18}" + "".join(f"{text:>12}" for text in texts))
        terminalreporter.write_line(LEGEND[suite])
        Path(f"build/{suite}.json").write_text(json.dumps(cells, indent=1) + "\n")
    return (yield)
