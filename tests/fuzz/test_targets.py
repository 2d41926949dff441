"""Every fuzz target holds on its committed corpus, on every input that ever broke it, and on random bytes.

The coverage-guided fuzzer (`make fuzz`) runs the same functions for longer; this is what each change has to pass.
"""

import pytest
from ci.fuzz import CORPUS, FOUND, inputs_of, targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ALL = targets()
KNOWN = {f"{name}/{file.name}": (name, data) for name in ALL for file, data in inputs_of(name)}


@pytest.mark.shows("WALL-FUZZ-001")
@pytest.mark.parametrize("case", sorted(KNOWN))
def test_known_inputs_hold(case: str) -> None:
    name, data = KNOWN[case]
    ALL[name](data)


@pytest.mark.shows("WALL-FUZZ-001")
@pytest.mark.parametrize("name", sorted(ALL))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=512))
def test_random_bytes_hold(name: str, data: bytes) -> None:
    ALL[name](data)


@pytest.mark.shows("WALL-FUZZ-001")
@pytest.mark.parametrize("name", sorted(ALL))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_seeds_hold(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from([content for _, content in inputs_of(name)]))
    at = data.draw(st.integers(0, len(seed)))
    ALL[name](seed[:at] + data.draw(st.binary(max_size=8)) + seed[at + data.draw(st.integers(0, 8)) :])


def test_each_target_has_a_corpus_and_each_corpus_a_target() -> None:
    folders = {
        folder.name for base in (CORPUS, FOUND) if base.exists() for folder in base.iterdir() if any(folder.iterdir())
    }
    assert folders <= set(ALL)
    assert {name for name in ALL if not list(inputs_of(name))} == set()
