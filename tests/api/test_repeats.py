"""Each write of the API keeps its answer with itself: what is asked again gets it, though nothing else was remembered.

Here the store cannot remember an answer by itself, as after a crash right behind the write; only what was kept in the
transaction of the write is there.
"""

from typing import Final

import pytest
from tests.support.api_world import OURS, World

from tunnel.api.repeats import KEPT, REPLAYED
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure
from tunnel.core.control.credential import IdempotentAnswer
from tunnel.store.answers import CLAIM_SECONDS, Answers
from tunnel.store.errors import StoreUnavailable, Told

pytestmark = pytest.mark.anyio

MINE: Final = f"/accounts/{OURS.hex()}"
Asked = tuple[str, str, object]
MEMBER: Final[Asked] = ("POST", f"{MINE}/members", {"identity": "a@example.com", "role": "auditor"})
NAME: Final[Asked] = ("PUT", f"{MINE}/names/web", {})
WRITES: Final[dict[str, tuple[list[Asked], Asked]]] = {
    "create-account": ([], ("POST", "/accounts", {"name": "acme é"})),
    "change-account": ([], ("PATCH", MINE, {"is_suspended": True})),
    "set-plan": ([], ("PUT", "/plans/gold", {"names_max": 3})),
    "add-member": ([], MEMBER),
    "change-member": ([MEMBER], ("PATCH", f"{MINE}/members/a@example.com", {"role": "owner"})),
    "remove-member": ([MEMBER], ("DELETE", f"{MINE}/members/a@example.com", None)),
    "mint-key": ([], ("POST", f"{MINE}/keys", {"label": "x"})),
    "mint-token": ([], ("POST", f"{MINE}/tokens", {"pattern": "web"})),
    "reserve-name": ([], NAME),
    "release-name": ([NAME], ("DELETE", f"{MINE}/names/web", None)),
}


async def unavailable(_: Answers, __: IdempotentAnswer) -> Told[None]:
    return Failure(StoreUnavailable("it crashed", 1))


@pytest.mark.shows("API-IDEM-001")
@pytest.mark.parametrize("write", WRITES)
async def test_the_answer_of_a_write_is_there_when_the_write_is(
    world: World, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    before, (method, path, body) = WRITES[write]
    key, named = await world.key(None), {"Idempotency-Key": "abc"}
    for each in before:
        assert (await world.ask(each[0], each[1], key, each[2])).status_code < 300
    monkeypatch.setattr(Answers, "remember_idempotent", unavailable)
    first = await world.ask(method, path, key, body, named)
    world.clock.seconds += CLAIM_SECONDS + 1
    again = await world.ask(method, path, key, body, named)
    assert first.status_code < 300, first.text
    assert KEPT not in first.headers
    assert again.headers.get(REPLAYED) == "true", again.text
    assert (again.status_code, again.content) == (first.status_code, first.content)


@pytest.mark.shows("API-IDEM-001")
async def test_keys_and_tokens_are_revoked_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await world.key(None)
    made = (await world.ask("POST", f"{MINE}/keys", key, {"label": "x"})).json()["key"]["key"]
    minted = (await world.ask("POST", f"{MINE}/tokens", key, {"pattern": "web"})).json()
    shown = (await world.ask("POST", f"{MINE}/tokens", key, {"pattern": "api"})).json()["secret"]
    monkeypatch.setattr(Answers, "remember_idempotent", unavailable)
    for number, (method, path, body) in enumerate((
        ("DELETE", f"{MINE}/keys/{made}", None),
        ("DELETE", f"{MINE}/tokens/{minted['token']['token']}", None),
        ("POST", f"{MINE}/revocations", {"secret": shown}),
    )):  # fmt: skip
        named = {"Idempotency-Key": f"n{number}"}
        first = await world.ask(method, path, key, body, named)
        world.clock.seconds += CLAIM_SECONDS + 1
        again = await world.ask(method, path, key, body, named)
        assert first.status_code == 200, first.text
        assert again.headers.get(REPLAYED) == "true", again.text
        assert again.content == first.content


@pytest.mark.shows("API-IDEM-001")
async def test_whoever_was_overtaken_by_a_repeat_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claim was given away before its write: the write is undone, and the other's answer stays."""
    key, named = await world.key(None), {"Idempotency-Key": "abc"}
    claim = Answers.claim_idempotent

    async def lapsed(
        self: Answers, owner: str, key: str, digest: bytes, now: UnixSeconds
    ) -> Told[IdempotentAnswer | None]:
        told = await claim(self, owner, key, digest, now)
        await self.forget_idempotent(owner, key)
        return told

    with monkeypatch.context() as patch:
        patch.setattr(Answers, "claim_idempotent", lapsed)
        late = await world.ask("PUT", f"{MINE}/names/web", key, {}, named)
    assert (late.status_code, late.json()["code"]) == (409, "request-in-progress")
    assert (await world.ask("GET", f"{MINE}/names", key)).json()["items"] == []
    assert (await world.ask("PUT", f"{MINE}/names/web", key, {}, named)).status_code == 201
