"""The audit trail in figures: entries a second, and tamperings planted and found: `python -m bench.audit`.

Each tampering is made without the key at a random place of an export of its own, in one of the ways of
`tests/support/audit_export.py`, which say themselves which finding has to name it. One that is not found is a failure.
"""

import argparse
import io
import sys
import time
from collections import Counter
from typing import Final

from tests.support.audit_export import KINDS, PUBLIC, dice_of, export_of, some_chain, verdict_of

from tunnel.cli.auditing import verdict_of as verdict_of_file
from tunnel.core.audit.lines import line_bytes

_POINT_EVERY: Final = 1000
_ENTRIES_MIN: Final = 4
_ENTRIES_MAX: Final = 60


def main() -> int:
    """Print the figures; 1 when a tampering was not found where it was made."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__)
    parser.add_argument("--entries", type=int, default=50_000, help="in the export that is timed")
    parser.add_argument("--tamper", type=int, default=3_200, help="how many tamperings to plant")
    asked = parser.parse_args()
    _time(asked.entries)
    return _tamper(asked.tamper)


def _time(count: int) -> None:
    began = time.process_time()
    entries = some_chain(dice_of(1), count)
    chained = time.process_time()
    lines = [line_bytes(line) for line in export_of(entries, range(_POINT_EVERY, count + 1, _POINT_EVERY))]
    written = time.process_time()
    verdict = verdict_of_file(io.BytesIO(b"".join(lines)), frozenset({PUBLIC}))
    verified = time.process_time()
    size = sum(map(len, lines)) / count
    print(f"{count} entries, {verdict.checkpoints} checkpoints, {size:.0f} bytes each; per second of one processor:")
    print(f"  chained   {count / (chained - began):10,.0f}")
    print(f"  exported  {count / (written - chained):10,.0f}")
    print(f"  verified  {count / (verified - written):10,.0f}  {verdict.findings_total} findings")


def _tamper(count: int) -> int:
    planted, found = Counter[str](), Counter[str]()
    for seed in range(count):
        dice, kind = dice_of(seed), KINDS[seed % len(KINDS)]
        entries = dice.randint(_ENTRIES_MIN, _ENTRIES_MAX)
        points = dice.sample(range(1, entries + 1), dice.randint(2, _ENTRIES_MIN))
        lines = export_of(some_chain(dice, entries), sorted(points))
        tampered = kind(lines, dice)
        if [line_bytes(line) for line in tampered.lines] == [line_bytes(line) for line in lines]:
            continue
        planted[kind.__name__] += 1
        found[kind.__name__] += tampered.is_located(verdict_of(tampered.lines))
    for name, number in planted.items():
        print(f"  {'✓' if found[name] == number else '✗'} {name:24} {found[name]} of {number}")
    print(f"{found.total()} of {planted.total()} tamperings found, each where it was made")
    return int(found != planted)


if __name__ == "__main__":
    sys.exit(main())
