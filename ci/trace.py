"""Which test shows which requirement: `python -m ci.trace [--write]` prints the table and fails where the chain breaks.

Reads `- **AREA-TOPIC-001** MUST sentence (source)` in spec/*.md, `pytest.mark.shows` and `pytest.mark.bug` in tests/
(as text, without importing them) and spec/exceptions.toml. Fails on a MUST without test or dated exception, on an
unknown, doubled or reused ID, on an exception for what is tested, and when the committed spec/coverage.txt or
spec/known-bugs.md differ from what is derived; `--write` brings these two up to date.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[1]
COVERAGE: Final = "spec/coverage.txt"
EXCEPTIONS: Final = "spec/exceptions.toml"
KNOWN_BUGS: Final = "spec/known-bugs.md"
EXCEPTIONS_MAX: Final = 4
"""Fewer than five: an exception is a debt, and five debts are a habit."""
ENTRIES: Final = (
    *(f"A{number}" for number in range(1, 25)),
    *(f"B{number}" for number in range(1, 13)),
    *(f"C{number}" for number in range(1, 20)),
    "D",
)
"""The entries of the list of known bugs of tunnels, multiplexers and proxies."""

_ITEM: Final = re.compile(r"^- \*\*(?P<id>[A-Z]+-[A-Z0-9]+-\d{3})\*\* (?P<level>\S+)")
_LEVELS: Final = frozenset({"MUST", "SHOULD", "MAY", "retired"})
_BUG_ROW: Final = re.compile(r"^\| (?P<entry>[A-D]\d*) \| (?P<words>.+?) \| (?P<tests>.*?) \|$")
_WIDTH: Final = 80


@final
@dataclass(frozen=True, slots=True)
class Requirement:
    """One sentence of the specification."""

    id: str
    level: str
    place: str


@final
@dataclass(frozen=True, slots=True)
class Excuse:
    """A requirement, or a known bug, that no test shows, with the reason and the day it was accepted."""

    about: str
    reason: str
    day: str


@final
@dataclass(frozen=True, slots=True)
class Marks:
    """The files whose tests name each ID and each known bug."""

    shows: Mapping[str, frozenset[str]]
    bugs: Mapping[str, frozenset[str]]
    faults: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Trace:
    """Everything read, and everything wrong with it."""

    requirements: tuple[Requirement, ...]
    marks: Marks
    excused: Mapping[str, Excuse]
    excused_bugs: Mapping[str, Excuse]
    faults: tuple[str, ...]


def requirements_in(root: Path) -> list[Requirement]:
    """All requirements of spec/*.md in the order of file and line."""
    found = []
    for file in sorted((root / "spec").glob("*.md")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            item = _ITEM.match(line)
            if item is not None:
                level = item["level"].rstrip(":.,")
                found.append(Requirement(item["id"], level, f"spec/{file.name}:{number}"))
    return found


def marks_in(root: Path) -> Marks:
    """The markers of all test files."""
    shows: dict[str, set[str]] = defaultdict(set)
    bugs: dict[str, set[str]] = defaultdict(set)
    faults = []
    for file in sorted((root / "tests").rglob("test_*.py")):
        name = file.relative_to(root / "tests").with_suffix("").as_posix()
        for kind, argument in _marked(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                faults.append(f"tests/{name}.py:{argument.lineno}: {kind}() takes IDs written out")
            else:
                (shows if kind == "shows" else bugs)[argument.value].add(name)
    return Marks(
        {key: frozenset(names) for key, names in shows.items()},
        {key: frozenset(names) for key, names in bugs.items()},
        tuple(faults),
    )


def _marked(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.mark.shows", "pytest.mark.bug"}:
            for argument in node.args:
                yield ast.unparse(node.func).rpartition(".")[2], argument


def excuses_in(root: Path, table: str, key: str) -> tuple[list[Excuse], list[str]]:
    """One table of the exceptions, and what is wrong with its form."""
    path = root / EXCEPTIONS
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get(table, []) if path.exists() else []
    excuses = [Excuse(str(row.get(key)), str(row.get("reason", "")), str(row.get("date", ""))) for row in rows]
    faults = []
    for excuse in excuses:
        if len(excuse.reason.split()) < 3:  # noqa: PLR2004 - a reason takes at least a subject, a verb and an object
            faults.append(f"{EXCEPTIONS}: {excuse.about} has no reason")
        try:
            date.fromisoformat(excuse.day)
        except ValueError:
            faults.append(f"{EXCEPTIONS}: {excuse.about} has no date")
    return excuses, faults


def trace(root: Path) -> Trace:
    """Read everything below `root` and judge it."""
    requirements, marks = requirements_in(root), marks_in(root)
    excuses, form = excuses_in(root, "exception", "id")
    bugs, bug_form = excuses_in(root, "known_bug", "entry")
    excused = {excuse.about: excuse for excuse in excuses}
    excused_bugs = {excuse.about: excuse for excuse in bugs}
    faults = [
        *marks.faults,
        *form,
        *bug_form,
        *_definition_faults(requirements),
        *_coverage_faults(requirements, marks, excused),
        *_bug_faults(marks, excused_bugs),
    ]
    return Trace(tuple(requirements), marks, excused, excused_bugs, tuple(faults))


def _definition_faults(requirements: Sequence[Requirement]) -> Iterator[str]:
    seen: dict[str, Requirement] = {}
    for each in requirements:
        if each.level not in _LEVELS:
            yield f"{each.place}: {each.id} says {each.level}, not MUST, SHOULD, MAY or retired"
        before = seen.setdefault(each.id, each)
        if before is not each:
            words = "was retired" if "retired" in {before.level, each.level} else "is already defined"
            yield f"{each.place}: {each.id} {words} at {before.place}; an ID is never used twice"


def _coverage_faults(requirements: Sequence[Requirement], marks: Marks, excused: Mapping[str, Excuse]) -> Iterator[str]:
    levels = {each.id: each.level for each in requirements}
    for each in requirements:
        if each.level == "MUST" and each.id not in marks.shows and each.id not in excused:
            yield f"{each.place}: {each.id} has neither a test nor an exception"
    for id_, files in sorted(marks.shows.items()):
        if levels.get(id_, "retired") == "retired":
            yield f"tests/{min(files)}.py: {id_} is {'retired' if id_ in levels else 'not in the specification'}"
    for id_ in excused:
        if id_ not in levels:
            yield f"{EXCEPTIONS}: {id_} is not in the specification"
        if id_ in marks.shows:
            yield f"{EXCEPTIONS}: {id_} is tested by {', '.join(sorted(marks.shows[id_]))}: drop the exception"
    if len(excused) > EXCEPTIONS_MAX:
        yield f"{EXCEPTIONS}: {len(excused)} exceptions, {EXCEPTIONS_MAX} are allowed"


def _bug_faults(marks: Marks, excused: Mapping[str, Excuse]) -> Iterator[str]:
    for entry in ENTRIES:
        if entry not in marks.bugs and entry not in excused:
            yield f"known bug {entry} has neither a test nor a reason in {EXCEPTIONS}"
    for entry, files in sorted(marks.bugs.items()):
        if entry not in ENTRIES:
            yield f"tests/{min(files)}.py: there is no known bug {entry}"
    for entry in excused:
        if entry not in ENTRIES:
            yield f"{EXCEPTIONS}: there is no known bug {entry}"
        if entry in marks.bugs:
            yield f"{EXCEPTIONS}: known bug {entry} is tested by {', '.join(sorted(marks.bugs[entry]))}"


def coverage_text(found: Trace) -> str:
    """The snapshot: one requirement a line, sorted, with the test files that show it; at most 80 columns wide."""
    lines = ["# Derived by ci/trace.py --write. ID | level | tests, or the exception."]
    for each in sorted(found.requirements, key=lambda each: each.id):
        tests = sorted(found.marks.shows.get(each.id, ()))
        excuse = found.excused.get(each.id)
        shown = tests or ([f"exception of {excuse.day}"] if excuse is not None else ["-"])
        head = f"{each.id:<22}{each.level:<8}"
        for test in shown:
            lines.append(f"{head}{test}"[:_WIDTH].rstrip())
            head = " " * 30
    return "\n".join(lines) + "\n"


def known_bugs_text(committed: str, found: Trace) -> str:
    """The table of known bugs with its last column as derived; its words are kept."""
    lines = []
    for line in committed.splitlines():
        row = _BUG_ROW.match(line)
        if row is None:
            lines.append(line)
            continue
        tests = sorted(found.marks.bugs.get(row["entry"], ()))
        shown = ", ".join(tests) if tests else "exception" if row["entry"] in found.excused_bugs else "-"
        lines.append(f"| {row['entry']} | {row['words']} | {shown} |")
    return "\n".join(lines) + "\n"


def snapshot_faults(root: Path, found: Trace, *, write: bool) -> Iterator[str]:
    """Committed snapshots that differ from what is derived; `write` makes them equal instead."""
    bugs = (root / KNOWN_BUGS).read_text(encoding="utf-8") if (root / KNOWN_BUGS).exists() else ""
    listed = [row["entry"] for row in map(_BUG_ROW.match, bugs.splitlines()) if row is not None]
    if listed != list(ENTRIES):
        yield f"{KNOWN_BUGS}: the rows are not A1 to A24, B1 to B12, C1 to C19 and D, in this order"
    for file, wanted in ((COVERAGE, coverage_text(found)), (KNOWN_BUGS, known_bugs_text(bugs, found))):
        path = root / file
        if write:
            path.write_text(wanted, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted:
            yield f"{file} differs from what is derived: look at the change, then python -m ci.trace --write"


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the table and every fault; 1 when there is one."""
    found = trace(root)
    faults = [*found.faults, *snapshot_faults(root, found, write="--write" in arguments)]
    if "--quiet" not in arguments:
        print(coverage_text(found), end="")
    must = [each for each in found.requirements if each.level == "MUST"]
    shown = sum(each.id in found.marks.shows for each in must)
    print(f"{len(found.requirements)} requirements; {shown} of {len(must)} MUST shown, {len(found.excused)} excepted")
    for fault in faults:
        print(f"✗ {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
