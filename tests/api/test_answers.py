"""Writes, lists, repeats and refusals: each noun of the API from its making to its end, as a client sees it."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Final

import pytest
from tests.support.api_world import OURS, SIGNING_KEY, START, THEIRS, World, api_world

from tunnel.api.pages.feed_view import ROWS_MAX
from tunnel.api.problems import PROBLEM_TYPE
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.control.page import Page
from tunnel.core.control.roles import Role, Scope
from tunnel.core.token.codec import key_id_of, token_raw
from tunnel.core.token.verify import verify_token
from tunnel.store.port import AuditFilter

pytestmark = pytest.mark.anyio

MINE: Final = f"/accounts/{OURS.hex()}"


async def test_an_account_from_its_making_to_its_suspension(world: World) -> None:
    operator = await world.key(None)
    made = await world.ask("POST", "/accounts", operator, {"name": "acme", "ttl_default": 60, "ttl_max": 3600})
    assert made.status_code == 201
    account = made.json()
    assert (account["name"], account["plan"], account["created"]) == ("acme", "free", START)
    path = f"/accounts/{account['account']}"
    assert (await world.ask("GET", path, operator)).json() == account
    changed = await world.ask("PATCH", path, operator, {"is_suspended": True})
    assert changed.json() == {**account, "is_suspended": True}
    again = await world.ask("POST", "/accounts", operator, {"name": "acme"})
    assert (again.status_code, again.json()["code"]) == (409, "already-exists")
    listed = await world.ask("GET", "/accounts", operator)
    assert [each["name"] for each in listed.json()["items"]] == ["acme", "ours", "theirs"]


async def test_members_come_and_go(world: World) -> None:
    key = await world.key(OURS)
    identity = "https://id.example/x|a b"
    added = await world.ask("POST", f"{MINE}/members", key, {"identity": identity, "role": "auditor"})
    assert added.status_code == 201
    place = f"{MINE}/members/" + "a@example.com"
    assert (await world.ask("PATCH", place, key, {"role": "owner"})).status_code == 404
    await world.ask("POST", f"{MINE}/members", key, {"identity": "a@example.com", "role": "auditor"})
    assert (await world.ask("PATCH", place, key, {"role": "owner"})).json()["role"] == "owner"
    assert len((await world.ask("GET", f"{MINE}/members", key)).json()["items"]) == 2
    assert (await world.ask("DELETE", place, key)).status_code == 200
    assert len((await world.ask("GET", f"{MINE}/members", key)).json()["items"]) == 1


@pytest.mark.shows("API-KEY-002", "API-KEY-003")
async def test_a_key_is_shown_once_works_and_ends(world: World) -> None:
    owner = await world.key(OURS)
    asked = {"label": "ci", "role": "developer", "scopes": ["usage:read"], "ttl_seconds": 120}
    made = await world.ask("POST", f"{MINE}/keys", owner, asked)
    secret, record = made.json()["secret"], made.json()["key"]
    assert made.status_code == 201
    me = await world.ask("GET", "/me", secret)
    assert me.json() == {"key": record["key"], "account": OURS.hex(), "role": "developer", "scopes": ["usage:read"]}
    listed = await world.ask("GET", f"{MINE}/keys", owner)
    assert secret not in listed.text
    assert secret[-40:] not in listed.text
    world.clock.seconds += 119
    assert (await world.ask("GET", "/me", secret)).status_code == 200
    world.clock.seconds += 1
    late = await world.ask("GET", "/me", secret)
    assert (late.status_code, late.json()["code"]) == (401, "key-refused")
    other = (await world.ask("POST", f"{MINE}/keys", owner, {"label": ""})).json()
    gone = await world.ask("DELETE", f"{MINE}/keys/{other['key']['key']}", owner)
    assert gone.json()["revoked"] == START + 120
    assert (await world.ask("GET", "/me", other["secret"])).status_code == 401


async def test_the_last_use_of_a_key_is_noted_once_a_minute(world: World) -> None:
    key = await world.key(OURS)
    seen: list[int] = []
    for _ in range(4):
        await world.ask("GET", "/me", key)
        listed = (await world.ask("GET", f"{MINE}/keys", key)).json()["items"]
        seen.append(listed[0]["last_used"] - START)
        world.clock.seconds += 31
    assert seen == [0, 0, 62, 62]


async def test_a_token_is_minted_shown_once_explained_and_revoked(world: World) -> None:
    key = await world.key(OURS, Role.DEVELOPER)
    asked = {"pattern": "web-*", "kinds": ["http", "tcp"], "ttl_seconds": 600, "sessions_max": 2, "label": "ci"}
    made = await world.ask("POST", f"{MINE}/tokens", key, asked)
    assert made.status_code == 201, made.text
    told = made.json()
    raw = token_raw(told["secret"])
    assert isinstance(raw, Success)
    public = public_key_of(SIGNING_KEY) or b""
    verified = verify_token(value_of(raw), {key_id_of(public): public}, world.clock.unix())
    assert isinstance(verified, Success)
    assert value_of(verified).token_id.hex() == told["token"]["token"]
    assert told["token"]["kinds"] == ["http", "tcp"]
    explained = await world.ask("POST", "/tokens/explain", key, {"secret": told["secret"] + "\n"})
    assert explained.json()["sentences"] == told["explained"] != []
    listed = await world.ask("GET", f"{MINE}/tokens", key)
    assert told["secret"] not in listed.text
    assert listed.json()["items"] == [told["token"]]
    by_text = await world.ask("POST", f"{MINE}/revocations", key, {"secret": told["secret"]})
    assert by_text.json() == {"token": told["token"]["token"]}
    shown = await world.ask("GET", f"{MINE}/tokens/{told['token']['token']}", key)
    assert shown.json()["revoked"] == START
    for wrong in ("", "tnl2_" + "A" * 1068, told["secret"][:-8] + "AAAAAAAA"):
        answer = await world.ask("POST", f"{MINE}/revocations", key, {"secret": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "not-valid")
        assert wrong == "" or wrong not in answer.text


@pytest.mark.shows("TOKEN-MINT-005")
async def test_a_token_that_is_not_valid_yet_is_revoked_and_one_that_is_over_is_not(world: World) -> None:
    key = await world.key(OURS)
    made = [await world.ask("POST", f"{MINE}/tokens", key, {"pattern": "app", "ttl_seconds": 60}) for _ in range(2)]
    early, late = (each.json()["secret"] for each in made)
    world.clock.seconds = -10_000.0
    revoked = await world.ask("POST", f"{MINE}/revocations", key, {"secret": early})
    assert (revoked.status_code, revoked.json()) == (200, {"token": made[0].json()["token"]["token"]})
    world.clock.seconds = 10_000.0
    assert (await world.ask("POST", f"{MINE}/revocations", key, {"secret": late})).status_code == 422


@pytest.mark.shows("API-LIVE-001")
async def test_an_operator_sees_the_sessions_and_endpoints_of_every_account(world: World) -> None:
    whose = ((1, OURS), (2, THEIRS))
    rows = [{"session": number, "account": each.hex(), "name": f"n{number}"} for number, each in whose]
    world.feed.answers.update({"sessions": {"items": rows}, "endpoints": {"items": rows}})
    operator, reader = await world.key(None), await world.key(None, scopes=frozenset({Scope.SESSION_READ}))
    for path in ("/sessions", "/endpoints"):
        for key in (operator, reader):
            told = (await world.ask("GET", path, key)).json()["items"]
            assert [(each["session"], each["account"]) for each in told] == [(1, OURS.hex()), (2, THEIRS.hex())]
        assert (await world.ask("GET", path, await world.key(OURS))).status_code == 403
        world.feed.answers.pop(path[1:])
        assert (await world.ask("GET", path, operator)).status_code == 503


async def test_what_may_not_be_minted_is_said(world: World) -> None:
    ours, theirs = await world.key(OURS), await world.key(THEIRS)
    await world.ask("PUT", f"/accounts/{THEIRS.hex()}/names/web", theirs, {"note": "shop"})
    answer = await world.ask("POST", f"{MINE}/tokens", ours, {"pattern": "web"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "reserved by another account" in answer.json()["detail"]
    bad = await world.ask("POST", f"{MINE}/tokens", ours, {"pattern": "a*b*c"})
    assert bad.status_code == 409


async def test_a_name_is_reserved_held_and_released(world: World) -> None:
    ours, theirs = await world.key(OURS), await world.key(THEIRS)
    made = await world.ask("PUT", f"{MINE}/names/web", ours, {"note": "shop"})
    assert made.json() == {"name": "web", "account": OURS.hex(), "reserved": START, "note": "shop"}
    taken = await world.ask("PUT", f"/accounts/{THEIRS.hex()}/names/web", theirs, {})
    assert taken.status_code == 409
    mine = (await world.ask("GET", f"{MINE}/names/web/holder", ours)).json()
    assert (mine["is_taken"], mine["reservation"]["note"]) == (True, "shop")
    foreign = (await world.ask("GET", f"/accounts/{THEIRS.hex()}/names/web/holder", theirs)).json()
    assert foreign == {"name": "web", "is_taken": True, "reservation": None, "leases": []}
    assert (await world.ask("GET", f"{MINE}/leases", ours)).json() == {"items": [], "next": None}
    assert (await world.ask("DELETE", f"{MINE}/names/web", ours)).status_code == 200
    assert (await world.ask("GET", f"{MINE}/names", ours)).json()["items"] == []


async def test_plans_and_usage(world: World) -> None:
    operator, ours = await world.key(None), await world.key(OURS)
    made = await world.ask("PUT", "/plans/gold", operator, {"requests_month": 1000})
    assert made.json()["requests_month"] == 1000
    assert [each["plan"] for each in (await world.ask("GET", "/plans", ours)).json()["items"]] == ["free", "gold"]
    await world.ask("PATCH", MINE, operator, {"plan": "gold"})
    month = (await world.ask("GET", f"{MINE}/usage/month", ours)).json()
    assert (month["requests"], month["requests_month"]) == (0, 1000)
    assert (await world.ask("GET", f"{MINE}/usage", ours)).json() == {"items": [], "next": None}
    nobody = await world.ask("PATCH", MINE, operator, {"plan": "no such plan"})
    assert nobody.status_code == 404


@pytest.mark.shows("API-AUDIT-001")
async def test_every_write_is_in_the_audit_trail_with_key_address_and_request(world: World) -> None:
    key = await world.key(OURS)
    made = await world.ask("PUT", f"{MINE}/names/web", key, {})
    entries = (await world.ask("GET", f"{MINE}/audit?subject=web", key)).json()["items"]
    assert len(entries) == 1
    entry = entries[0]
    assert (entry["identity"], entry["address"]) == ("key:test", "127.0.0.1")
    assert entry["key"] in key
    assert entry["request"] == made.headers["x-request-id"]
    operator = await world.key(None, Role.AUDITOR, frozenset({Scope.AUDIT_READ}))
    state = (await world.ask("GET", "/audit/state", operator)).json()
    assert (state["unsigned"], state["checkpoint"]) == (state["number"], None)
    assert len((await world.ask("GET", "/audit?limit=500", operator)).json()["items"]) == state["number"]


@pytest.mark.shows("API-PAGE-001")
@pytest.mark.parametrize("limit", [1, 2, 7, 50])
async def test_pages_give_everything_once_whatever_comes_between(world: World, limit: int) -> None:
    key = await world.key(OURS)
    names = [f"n{number:02}" for number in range(13)]
    for name in names:
        await world.ask("PUT", f"{MINE}/names/{name}", key, {})
    seen: list[str] = []
    after = ""
    while True:
        page = (await world.ask("GET", f"{MINE}/names?limit={limit}&after={after}", key)).json()
        assert len(page["items"]) <= limit
        seen += [each["name"] for each in page["items"]]
        await world.ask("PUT", f"{MINE}/names/a-{len(seen)}", key, {})
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == names
    for wrong in ("limit=0", "limit=501", "limit=x"):
        assert (await world.ask("GET", f"{MINE}/names?{wrong}", key)).status_code == 422


@pytest.mark.shows("API-IDEM-001")
async def test_a_repeated_write_is_done_once_and_answered_twice(world: World) -> None:
    key = await world.key(OURS)
    first = await world.ask("POST", f"{MINE}/keys", key, {"label": "x"}, {"Idempotency-Key": "abc"})
    again = await world.ask("POST", f"{MINE}/keys", key, {"label": "x"}, {"Idempotency-Key": "abc"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    labels = [each["label"] for each in (await world.ask("GET", f"{MINE}/keys", key)).json()["items"]]
    assert labels.count("x") == 1


@pytest.mark.shows("API-IDEM-002")
async def test_a_key_that_was_used_for_another_request_is_refused(world: World) -> None:
    key, other = await world.key(OURS), await world.key(OURS)
    named = {"Idempotency-Key": "abc"}
    await world.ask("POST", f"{MINE}/keys", key, {"label": "x"}, named)
    for method, path, body in (
        ("POST", f"{MINE}/keys", {"label": "y"}),
        ("POST", f"{MINE}/keys?a=1", {"label": "x"}),
        ("PUT", f"{MINE}/names/web", {}),
    ):
        answer = await world.ask(method, path, key, body, named)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    assert (await world.ask("POST", f"{MINE}/keys", other, {"label": "x"}, named)).status_code == 201
    for wrong in ("", "a b", "x" * 129):
        answer = await world.ask("POST", f"{MINE}/keys", key, {"label": "z"}, {"Idempotency-Key": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "not-valid")


@pytest.mark.shows("API-IDEM-003")
async def test_what_is_remembered_cannot_be_read_without_the_key_that_asked(world: World) -> None:
    """The answer of minting holds a secret: what the store keeps of it is sealed."""
    key = await world.key(OURS)
    made = await world.ask("POST", f"{MINE}/keys", key, {"label": "x"}, {"Idempotency-Key": "abc"})
    secret: str = made.json()["secret"]
    kept = b"".join(path.read_bytes() for path in world.plane.state.iterdir() if path.is_file())
    assert b"k_" in kept
    for form in (secret, secret[-40:], b64encode(secret.encode()).decode()):
        assert form.encode() not in kept


@pytest.mark.shows("API-IDEM-001")
async def test_a_request_that_was_not_valid_gives_its_key_back(world: World) -> None:
    key = await world.key(OURS)
    named = {"Idempotency-Key": "abc"}
    assert (await world.ask("POST", f"{MINE}/keys", key, {"lable": "x"}, named)).status_code == 422
    assert (await world.ask("POST", f"{MINE}/keys", key, {"label": "x"}, named)).status_code == 201


@pytest.mark.shows("API-IDEM-001")
@pytest.mark.parametrize("body", [b'{"label": "\xff"}', b"[" * 60_000, b'{"label": ' + b"1" * 5000 + b"}", b"{"])
async def test_a_body_that_is_not_json_gives_its_key_back(world: World, body: bytes) -> None:
    key = await world.key(OURS)
    named = {"Idempotency-Key": "abc"}
    fields = {**named, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    answer = await world.client.post(f"/api/v1{MINE}/keys", content=body, headers=fields)
    assert answer.status_code == 400, answer.text
    assert (await world.ask("POST", f"{MINE}/keys", key, {"label": "x"}, named)).status_code == 201


@pytest.mark.shows("API-RATE-001")
async def test_a_key_that_asks_too_often_waits_and_no_other_does(tmp_path: Path) -> None:
    async with api_world(tmp_path, requests_second=5) as world:
        key, other = await world.key(OURS), await world.key(OURS)
        answers = [(await world.ask("GET", "/me", key)) for _ in range(21)]
        assert [each.status_code for each in answers] == [200] * 20 + [429]
        assert answers[-1].json()["code"] == "rate-limited"
        assert (await world.ask("GET", "/me", other)).status_code == 200
        world.clock.seconds += int(answers[-1].headers["retry-after"])
        assert (await world.ask("GET", "/me", key)).status_code == 200


@pytest.mark.shows("API-RATE-002")
async def test_guessing_keys_is_bounded_by_address(world: World) -> None:
    good, known = await world.key(OURS), await world.key(OURS)
    wrong = good[:-8] + "AAAAAAAA"
    assert (await world.ask("GET", "/me", known)).status_code == 200
    for nothing in ("", "tnlk_nonsense"):
        assert {(await world.ask("GET", "/me", nothing)).status_code for _ in range(40)} == {401}
    statuses = [(await world.ask("GET", "/me", wrong)).status_code for _ in range(21)]
    assert statuses == [401] * 20 + [429]
    assert (await world.ask("GET", "/me", good)).status_code == 429
    assert (await world.ask("GET", "/me", known)).status_code == 200, (
        "who guesses behind the same proxy holds nobody up"
    )
    world.clock.seconds += 1
    assert (await world.ask("GET", "/me", good)).status_code == 200


@pytest.mark.shows("API-ERROR-001")
async def test_every_refusal_is_a_problem_with_a_code_and_repeats_nothing(world: World) -> None:
    key = await world.key(OURS)
    bearer = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    where = f"/api/v1{MINE}/keys"
    for content, status, code in (
        (b"{", 400, "not-json"),
        (b"\xff", 400, "not-json"),
        (b"", 422, "not-valid"),
        (b"[]", 422, "not-valid"),
        (b'{"label": "hidden\\u0000"}', 422, "not-valid"),
        (b'{"label": 7}', 422, "not-valid"),
        (b'{"label": "", "hidden": 1}', 422, "not-valid"),
        (b'{"label": "\\ud800"}', 422, "not-valid"),
        (b'{"label": "", "ttl_seconds": true}', 422, "not-valid"),
        (b'{"label": "", "ttl_seconds": "60"}', 422, "not-valid"),
        (b'{"label": "", "role": "god"}', 422, "not-valid"),
        (b"[" * 5000, 400, "not-json"),
    ):
        answer = await world.client.post(where, content=content, headers=bearer)
        assert answer.headers["content-type"] == PROBLEM_TYPE
        told = json.loads(answer.content)
        assert (answer.status_code, told["status"], told["code"]) == (status, status, code), content
        assert told["type"] == f"urn:tunnel:problem:{code}"
    for method, path, code in (("GET", "/nothing", "no-such-place"), ("DELETE", "/me", "method-not-allowed")):
        answer = await world.ask(method, path, key)
        assert (answer.headers["content-type"], answer.json()["code"]) == (PROBLEM_TYPE, code)
    for path, methods in (("/me", "GET"), ("/accounts", "GET, POST"), (f"{MINE}/keys/k_x", "DELETE")):
        assert (await world.ask("OPTIONS", path, key)).headers["allow"] == methods
    whole = await world.ask("POST", f"{MINE}/keys", key, {"label": "x", "ttl_seconds": 60.0})
    assert whole.status_code == 201
    answer = await world.ask("POST", f"{MINE}/keys", key, {"label": "x", "ttl_seconds": 10**30})
    assert [each["at"] for each in answer.json()["errors"]] == ["body.ttl_seconds"]
    assert "1000000" not in answer.text


async def test_two_fields_of_authorization_and_other_schemes_are_no_key(world: World) -> None:
    key = await world.key(OURS)
    for fields in ([("Authorization", f"Bearer {key}")] * 2, [("Authorization", f"Basic {key}")], [("Cookie", key)]):
        answer = await world.client.get("/api/v1/me", headers=fields)
        assert (answer.status_code, answer.json()["code"]) == (401, "key-needed")
        assert answer.headers["www-authenticate"] == 'Bearer realm="tunnel"'
    assert (await world.client.get("/api/v1/me", headers={"Authorization": f"bEARER {key}"})).status_code == 200


@pytest.mark.shows("API-KEY-002")
async def test_no_secret_is_in_anything_that_is_kept(world: World) -> None:
    """The keys that were used, a minted key and a minted token, in every column of the database and in the audit."""
    key = await world.key(OURS)
    minted = (await world.ask("POST", f"{MINE}/keys", key, {"label": "x"})).json()["secret"]
    token = (await world.ask("POST", f"{MINE}/tokens", key, {"pattern": "web"})).json()["secret"]
    kept = b"".join(path.read_bytes() for path in world.plane.state.iterdir() if path.is_file())
    trail = await world.plane.store.audit_page(AuditFilter(), Page(limit=500))
    told = repr(value_of(trail)) if isinstance(trail, Success) else ""
    assert told
    for secret in (key, minted, token):
        tail = secret[-40:]
        assert tail.encode() not in kept
        assert tail not in told


def session_row(number: int, account: bytes) -> dict[str, object]:
    """A session as the data plane lists it."""
    row = {"session": number, "account": account.hex(), "token": "ab" * 16, "peer": "192.0.2.7:5", "host": "here"}
    return {**row, "since": START, "heard_seconds": 1.5, "streams": 2, "names": ["web"]}


def endpoint_row(session: int, account: bytes) -> dict[str, object]:
    """An endpoint, likewise."""
    row = {"name": "web", "kind": "http", "session": session, "epoch": 3, "account": account.hex(), "host": "here"}
    times = {"since": START, "heartbeat": START, "lapses": START + 15}
    return {**row, **times, "peer": "192.0.2.7:5", "outstanding": 1, "healthy": True}


@pytest.mark.shows("API-LIVE-001")
async def test_live_sessions_are_ones_own_and_orders_are_written_down_before_they_are_given(world: World) -> None:
    key = await world.key(OURS)
    away = await world.ask("GET", f"{MINE}/sessions", key)
    assert (away.status_code, away.json()["code"], away.headers["retry-after"]) == (503, "server-away", "2")
    world.feed.answers["sessions"] = {"items": [session_row(1, OURS), session_row(2, THEIRS), {"session": "?"}]}
    world.feed.answers["endpoints"] = {"items": [endpoint_row(1, OURS), endpoint_row(2, THEIRS)]}
    world.feed.answers["kick"] = world.feed.answers["drain"] = {"count": 1}
    listed = (await world.ask("GET", f"{MINE}/sessions", key)).json()["items"]
    assert [(each["session"], each["names"], each["silent_seconds"]) for each in listed] == [(1, ["web"], 1.5)]
    ends = (await world.ask("GET", f"{MINE}/endpoints", key)).json()["items"]
    assert [(each["name"], each["session"], each["is_healthy"]) for each in ends] == [("web", 1, True)]
    world.feed.asked.clear()
    kicked = await world.ask("POST", f"{MINE}/sessions/1/kick", key, {"reason": "abuse"})
    assert (kicked.status_code, kicked.json()) == (200, {"count": 1})
    assert ("kick", {"session": 1, "reason": "abuse"}) in world.feed.asked
    assert (await world.ask("POST", f"{MINE}/sessions/1/drain", key)).json() == {"count": 1}
    world.feed.asked.clear()
    for path in ("2/kick", "3/kick"):
        answer = await world.ask("POST", f"{MINE}/sessions/{path}", key, {})
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert {question for question, _ in world.feed.asked} == {"sessions"}
    entries = (await world.ask("GET", f"{MINE}/audit?action=session.", key)).json()["items"]
    assert [(each["action"], each["subject"], each["after"]) for each in entries] == [
        ("session.drain", "session 1", ""),
        ("session.kick", "session 1", '{"reason":"abuse"}'),
    ]


@pytest.mark.shows("API-LIVE-001")
async def test_what_others_have_live_takes_nobodys_place(world: World) -> None:
    """A page reads so many rows; those of one account come after any number of another's."""
    key, rows = await world.key(OURS), range(1, ROWS_MAX + 2)
    crowd: list[dict[str, object]] = [{"session": n, "name": f"n{n}", "account": THEIRS.hex()} for n in rows]
    for question in ("sessions", "endpoints"):
        mine = {"session": 9000, "name": "mine", "account": OURS.hex()}
        world.feed.answers[question] = {"ok": True, "items": [*crowd, mine]}
        told = await world.ask("GET", f"{MINE}/{question}", key)
        assert [each["session"] for each in told.json()["items"]] == [9000]
    world.feed.answers["drain"] = {"ok": True, "count": 1}
    assert (await world.ask("POST", f"{MINE}/sessions/9000/drain", key)).status_code == 200
    assert (await world.ask("POST", f"{MINE}/sessions/1/drain", key)).status_code == 404
