"""Every route of the API with every scope, every role, no key, and the key of another account: who is let in.

The routes come from the application itself, so that a new one is here on the day it is written. A request that is let
in may fail afterwards, for what it asks is not there; any other ends with 401 or 403 before its body is looked at.
"""

import re
from typing import Final

import pytest
from tests.support.api_world import OURS, THEIRS, World

from tunnel.api.app import ControlApi
from tunnel.api.scoped import ANY_SCOPE, SCOPE
from tunnel.core.control.roles import ROLE_SCOPES, Role, Scope
from tunnel.core.token.token import AccountId

pytestmark = pytest.mark.anyio

FILL: Final = {
    "account": OURS.hex(),
    "identity": "nobody@example.com",
    "key": "k_aaaaaaaaaaaaaaaa",
    "token": "ab" * 16,
    "name": "nowhere",
    "plan": "gold",
    "session": "7",
}
REFUSED: Final = {401, 403}


def operations(app: ControlApi) -> list[tuple[str, str, str]]:
    """Method, path and scope of every operation, as the description has them; the path is filled in."""
    found: list[tuple[str, str, str]] = []
    paths = app.openapi()["paths"]
    assert isinstance(paths, dict)
    for path, methods in paths.items():
        for method, told in methods.items():
            found.append((method.upper(), str(path), str(told[SCOPE])))
    return found


def filled(path: str, account: AccountId = OURS) -> str:
    """The path with something in every place."""
    values = {**FILL, "account": account.hex()}
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path).removeprefix("/api/v1")


async def is_let_in(world: World, method: str, path: str, key: str) -> bool:
    """Whether the request was looked at."""
    answer = await world.ask(method, path, key, body=None if method in {"GET", "DELETE"} else {"no such field": 1})
    assert answer.status_code not in {404, 405} or answer.json()["code"] == "not-found", (method, path, answer.text)
    if answer.status_code in REFUSED:
        assert answer.json()["code"] in {"key-needed", "key-refused", "scope-missing"}
        return False
    return True


@pytest.mark.shows("API-SCOPE-002")
async def test_every_route_of_the_api_names_a_scope(world: World) -> None:
    known = {scope.value for scope in Scope} | {ANY_SCOPE}
    listed = operations(world.app)
    assert len(listed) >= 30
    assert {scope for _, _, scope in listed} <= known


@pytest.mark.shows("API-SCOPE-002")
async def test_nobody_is_let_in_without_a_key_or_with_a_wrong_one(world: World) -> None:
    good = await world.key(OURS)
    for method, path, _ in operations(world.app):
        for wrong in ("", "nonsense", good[:-4] + "AAAA"):
            world.clock.seconds += 60  # guessing is bounded; this is not about that
            assert not await is_let_in(world, method, filled(path), wrong), (method, path)


@pytest.mark.shows("API-SCOPE-001")
@pytest.mark.parametrize("scope", list(Scope))
async def test_a_key_with_one_scope_opens_the_routes_of_that_scope_alone(world: World, scope: Scope) -> None:
    """Of our account, and of an operator."""
    ours = await world.key(OURS, Role.OWNER, frozenset({scope}))
    operator = await world.key(None, Role.OWNER, frozenset({scope}))
    for method, path, wanted in operations(world.app):
        is_ours = "{account}" in path
        expected = wanted == ANY_SCOPE or (wanted == scope.value and is_ours and scope is not Scope.OPERATE)
        assert await is_let_in(world, method, filled(path), ours) == expected, (method, path)
        by_operator = wanted in {ANY_SCOPE, scope.value} or scope is Scope.OPERATE
        assert await is_let_in(world, method, filled(path), operator) == by_operator, (method, path)


@pytest.mark.shows("API-SCOPE-001")
@pytest.mark.parametrize("role", list(Role))
async def test_a_key_has_what_its_role_has_in_its_own_account_and_nothing_in_another(world: World, role: Role) -> None:
    key = await world.key(OURS, role, frozenset(Scope))
    mine = {scope.value for scope in ROLE_SCOPES[role]}
    for method, path, wanted in operations(world.app):
        is_ours = "{account}" in path
        expected = wanted == ANY_SCOPE or (is_ours and wanted in mine)
        assert await is_let_in(world, method, filled(path), key) == expected, (method, path)
        if is_ours:
            assert not await is_let_in(world, method, filled(path, THEIRS), key), (method, path)
            assert not await is_let_in(world, method, filled(path, AccountId(bytes(16))), key), (method, path)


@pytest.mark.shows("API-SCOPE-001")
async def test_what_has_the_id_of_another_account_is_not_found_below_ones_own(world: World) -> None:
    """IDs of keys, tokens and names are global; the account in the path decides."""
    ours, theirs = await world.key(OURS), await world.key(THEIRS)
    minted = await world.ask("POST", f"/accounts/{THEIRS.hex()}/tokens", theirs, {"pattern": "x"})
    assert minted.status_code == 201, minted.text
    token, their_key = minted.json()["token"]["token"], theirs.split("_", 1)[1].rsplit("_", 1)[0][:18]
    reserved = await world.ask("PUT", f"/accounts/{THEIRS.hex()}/names/web", theirs, {})
    assert reserved.status_code == 201
    mine = f"/accounts/{OURS.hex()}"
    for method, path in (
        ("GET", f"{mine}/tokens/{token}"),
        ("DELETE", f"{mine}/tokens/{token}"),
        ("DELETE", f"{mine}/keys/{their_key}"),
        ("DELETE", f"{mine}/names/web"),
    ):
        answer = await world.ask(method, path, ours)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), (method, path)
    shown = await world.ask("POST", f"{mine}/revocations", ours, {"secret": minted.json()["secret"]})
    assert shown.status_code == 404
    still = await world.ask("GET", f"/accounts/{THEIRS.hex()}/tokens/{token}", theirs)
    assert still.json()["revoked"] is None


@pytest.mark.shows("API-SCOPE-003")
async def test_a_key_makes_no_key_that_may_do_more(world: World) -> None:
    maker = await world.key(OURS, Role.OWNER, frozenset({Scope.KEY_WRITE, Scope.USAGE_READ}))
    path = f"/accounts/{OURS.hex()}/keys"
    same = {"label": "x", "role": "owner", "scopes": ["usage:read"]}
    assert (await world.ask("POST", path, maker, same)).status_code == 201
    for more in ({"scopes": ["audit:read"]}, {"scopes": None}):
        answer = await world.ask("POST", path, maker, {**same, **more})
        assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    for role, scopes in (("auditor", ["key:write"]), ("owner", ["operate"])):
        answer = await world.ask("POST", path, maker, {"label": "x", "role": role, "scopes": scopes})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.shows("API-SCOPE-003")
async def test_plan_suspension_and_longest_life_are_an_operators_to_change(world: World) -> None:
    ours, operator = await world.key(OURS), await world.key(None)
    path = f"/accounts/{OURS.hex()}"
    for change in ({"is_suspended": False}, {"plan": "free"}, {"ttl_max": 60}):
        assert (await world.ask("PATCH", path, ours, change)).status_code == 403
        assert (await world.ask("PATCH", path, operator, change)).status_code == 200
    assert (await world.ask("PATCH", path, ours, {"name": "renamed"})).json()["name"] == "renamed"


@pytest.mark.shows("API-SCOPE-003", "DASH-PEOPLE-003")
async def test_a_key_gives_nobody_a_role_that_may_do_more(world: World) -> None:
    """A member signs in with their role, and makes the keys that this one may not make."""
    maker = await world.key(OURS, Role.OWNER, frozenset({Scope.MEMBER_WRITE}) | ROLE_SCOPES[Role.AUDITOR])
    path = f"/accounts/{OURS.hex()}/members"
    for role, status in (("owner", 403), ("developer", 403), ("auditor", 201)):
        answer = await world.ask("POST", path, maker, {"identity": f"{role}@example.com", "role": role})
        assert answer.status_code == status, answer.text
    for role, status in (("owner", 403), ("developer", 403), ("auditor", 200)):
        answer = await world.ask("PATCH", f"{path}/auditor@example.com", maker, {"role": role})
        assert answer.status_code == status, answer.text
    operator = await world.key(None)
    assert (await world.ask("PATCH", f"{path}/auditor@example.com", operator, {"role": "owner"})).status_code == 200
