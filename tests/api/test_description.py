"""The description of the API as it is committed, and that it is whole: every route, every failure, every field.

To write it anew after a change: `python -m tests.api.test_description`.
"""

import json
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import pytest
from tests.api.test_scopes import filled
from tests.support.api_world import OURS, World, api_world

from tunnel.api.problems import PROBLEM_TYPE
from tunnel.core.control.roles import Role

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


BODIES: Final[tuple[object, ...]] = (
    {},
    {"name": "acme"},
    {"identity": "a@example.com", "role": "owner"},
    {"role": "god"},
    {"label": "x", "scopes": []},
    {"label": 7},
    {"pattern": "web-*", "kinds": ["tcp"]},
    {"pattern": "", "kinds": []},
    {"secret": "tnl2_AAAA"},
    {"requests_month": 2**53},
    {"requests_month": 2**53 + 1},
    {"is_suspended": "yes"},
    [],
    None,
)


@pytest.mark.shows("API-OPEN-002")
async def test_every_answer_is_one_that_the_description_has(world: World) -> None:
    """A few bodies at every operation, with keys of all kinds; `make api-fuzz` does the same with thousands."""
    keys = [await world.key(None), await world.key(OURS, Role.AUDITOR), ""]
    paths = world.app.openapi()["paths"]
    assert isinstance(paths, dict)
    seen: set[int] = set()
    for path, methods in paths.items():
        for method, operation in methods.items():
            for key, body in product(keys, BODIES if "requestBody" in operation else (None,)):
                answer = await world.ask(method.upper(), filled(path), key, body)
                seen.add(answer.status_code)
                described = operation["responses"][str(answer.status_code)]["content"]
                assert answer.headers["content-type"] in described, (method, path, answer.text)
    assert {200, 201, 401, 403, 404, 409, 422} <= seen


async def _write() -> None:
    with TemporaryDirectory() as state:
        async with api_world(Path(state)) as world:
            SNAPSHOT.write_text(text_of(world))


if __name__ == "__main__":
    anyio.run(_write)
