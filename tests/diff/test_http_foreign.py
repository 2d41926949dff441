"""513 requests and responses that llhttp, Go and picohttpparser keep for their own tests, against ours.

Each has one verdict whole, byte by byte and in cuts drawn from its digest. Where that is not what its project says, a
table of reviewed differences says why; a case that is refused there, or that passes only under a lenient flag, is never
accepted without such a line. What we accept of them is read alike by h11 and llhttp.
"""

import hashlib
import os
import re

import pytest
from http_foreign import ABSENT, Foreign, cases, differences, mended, path
from http_oracles import Reading, Refused, by_h11, by_llhttp, ours
from test_http_oracles import agree_with_h11, agree_with_llhttp

CASES = cases()
TABLE = differences("differences_vectors.toml")

if not CASES and os.environ.get("CI") != "true":
    pytest.skip(ABSENT, allow_module_level=True)


def ident(case: Foreign) -> str:
    """A test name without characters that terminals dislike."""
    return re.sub(r"[^A-Za-z0-9_.#-]+", "_", f"{case.source}-{case.name}")[:80]


def verdict(kind: str, data: bytes, cuts: list[int]) -> str:
    """complete, unfinished, or refused with its code."""
    mine = ours(kind, data, cuts)
    if isinstance(mine, Refused):
        return f"refused: {mine.code}"
    return "complete" if mine is not None and mine.is_done else "unfinished"


def differs(case: Foreign, mine: str) -> bool:
    """Whether our verdict is not what its own project says; we may wait for more where it would, too."""
    if case.expect == "accept":
        return mine.startswith("refused")
    return case.expect in {"reject", "either"} and not mine.startswith("refused")


def test_continuous_integration_has_the_cases() -> None:
    assert len(CASES) == 513, f"{path()} is missing or another one"


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-HEAD-002", "HTTP-BODY-009", "HTTP-DIFF-003")
@pytest.mark.parametrize("case", CASES, ids=ident)
def test_one_verdict_in_any_cuts_and_never_a_lenient_one(case: Foreign) -> None:
    seeds = hashlib.sha512(case.raw).digest()
    for data in (case.raw, mended(case)):
        whole = ours(case.kind, data)
        assert ours(case.kind, data, range(len(data))) == whole
        for start in range(0, 32, 8):
            cuts = [seed * len(data) // 255 for seed in seeds[start : start + 8]]
            assert ours(case.kind, data, cuts) == whole
    mine = verdict(case.kind, mended(case), [])
    reviewed = TABLE.get(case.key)
    if reviewed is not None:
        assert mine == reviewed.ours
    else:
        assert not differs(case, mine)
        assert not (differs(case, "complete") and verdict(case.kind, case.raw, []) == "complete")


@pytest.mark.shows("HTTP-DIFF-001", "HTTP-DIFF-002", "HTTP-DIFF-003")
@pytest.mark.parametrize("case", CASES, ids=ident)
def test_what_we_accept_of_them_is_read_alike(case: Foreign) -> None:
    for data in (case.raw, mended(case)):
        agree_with_h11(case.kind, data)
        agree_with_llhttp(case.kind, data)


@pytest.mark.shows("HTTP-DIFF-003")
def test_the_table_holds_differences_and_nothing_else() -> None:
    found = {case.key for case in CASES if differs(case, verdict(case.kind, mended(case), []))}
    assert set(TABLE) == found
    assert all(difference.reason for difference in TABLE.values())


def test_enough_is_accepted_to_compare() -> None:
    accepted = [case for case in CASES if isinstance(ours(case.kind, mended(case)), Reading)]
    assert len(accepted) > 200
    assert sum(1 for case in accepted if by_h11(case.kind, mended(case)) is not None) > 190
    assert sum(1 for case in accepted if by_llhttp(case.kind, mended(case)) is not None) > 150
