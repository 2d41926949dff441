"""The description of the API as it is committed, and that it is whole: every route, every failure, every field.

To write it anew after a change: `python -m tests.api.test_description`.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import pytest
from tests.support.api_world import World, api_world

from tunnel.api.problems import PROBLEM_TYPE

pytestmark = pytest.mark.anyio

SNAPSHOT: Final = Path(__file__).parents[2] / "spec" / "openapi.json"


def text_of(world: World) -> str:
    """The description as it is committed."""
    return json.dumps(world.app.openapi(), indent=1, sort_keys=True) + "\n"


@pytest.mark.shows("API-OPEN-001")
async def test_the_description_is_the_committed_one(world: World) -> None:
    assert text_of(world) == SNAPSHOT.read_text(), "python -m tests.api.test_description writes it anew"


@pytest.mark.shows("API-OPEN-001")
async def test_it_is_served_without_a_key_and_names_every_failure(world: World) -> None:
    answer = await world.ask("GET", "/openapi.json")
    told = answer.json()
    assert told["openapi"].startswith("3.1")
    names: set[str] = set()
    for path, methods in told["paths"].items():
        assert path.startswith("/api/v1/")
        for operation in methods.values():
            names.add(operation["operationId"])
            assert operation["summary"]
            assert operation["description"]
            for status, response in operation["responses"].items():
                kinds = set(response["content"])
                assert kinds == ({"application/json"} if status in {"200", "201"} else {PROBLEM_TYPE}), (path, status)
            assert {"400", "401", "403", "404", "408", "409", "413", "422", "429", "503"} <= set(operation["responses"])
    assert len(names) == sum(len(methods) for methods in told["paths"].values())
    assert "HTTPValidationError" not in told["components"]["schemas"]


async def _write() -> None:
    with TemporaryDirectory() as state:
        async with api_world(Path(state)) as world:
            SNAPSHOT.write_text(text_of(world))


if __name__ == "__main__":
    anyio.run(_write)
