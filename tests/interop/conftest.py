"""The table at the end of `make interop`, and the same as JSON: every peer, role and scenario, and what came of it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

SHORT: Final = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Iterator[None]:
    """Print peers across, scenarios down; a cell says how it went as client and as server."""
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
    if os.environ.get("INTEROP") and cells:
        peers = sorted({peer for row in cells.values() for peer in row})
        terminalreporter.write_line("")
        terminalreporter.write_line(f"{'':18}" + "".join(f"{peer:>12}" for peer in peers))
        for scenario, row in cells.items():
            shown = [row.get(peer, {}) for peer in peers]
            texts = ["/".join(dict.fromkeys(cell.values())) or "-" for cell in shown]
            terminalreporter.write_line(f"{scenario:18}" + "".join(f"{text:>12}" for text in texts))
        terminalreporter.write_line("as client and as server; 'differs': as tests/interop/differences.toml says")
        file = Path(os.environ.get("INTEROP_RESULTS", "build/interop/results.json"))
        file.write_text(json.dumps(cells, indent=1) + "\n")
    return (yield)
