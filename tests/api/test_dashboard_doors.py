"""Every page and every action as everybody: what a role may not do is refused, and is not offered either."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import pytest
from starlette.routing import compile_path
from tests.support.dashboard import ACME, RIVAL, ROLES, Reader, Scripted, World, served
from typing_extensions import override

from tunnel.api.pages.doors import HEADERS, POLICY, Door
from tunnel.api.pages.mount import DOORS
from tunnel.core.control.roles import Role, Scope, scopes_of
from tunnel.observe.escapes import handler_escapes_total

NAMES: Final = {"session": "7", "name": "app", "token": "", "key": ""}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("state")) as made:
        yield made


def rights_of(role: str) -> frozenset[Scope]:
    return frozenset(Scope) if role == "operator" else scopes_of(Role(role))


def path_of(door: Door, world: World) -> str:
    """An address of the door's; whatever is not there is as good as what is, since rights are judged first."""
    names = NAMES | {"token": world.token.token.token_id.hex(), "key": "k_" + "a" * 16}
    return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], door.path)


@pytest.mark.shows("DASH-RIGHT-001")
@pytest.mark.parametrize("role", ROLES)
def test_every_door_opens_for_those_who_have_its_right_and_for_nobody_else(world: World, role: str) -> None:
    reader = Reader(world).sign_in(role)
    held = rights_of(role)
    for door in DOORS:
        if door.scope in held:
            continue
        path = path_of(door, world)
        answer = reader.get(path) if door.method == "GET" else reader.send(path)
        assert (answer.status_code, "not-allowed" in answer.text) == (403, True), (role, door)
    for door in DOORS:
        if door.method == "GET" and door.scope in held:
            answer = reader.get(path_of(door, world))
            assert answer.status_code in {200, 303, 404}, (role, door, answer.text)


@pytest.mark.shows("DASH-RIGHT-002")
def test_nobody_gets_anywhere_without_signing_in(world: World) -> None:
    stranger = Reader(world)
    before = world.entries()
    for door in DOORS:
        path = path_of(door, world)
        answer = stranger.client.request(door.method, path, headers={"origin": world.url})
        assert answer.status_code == 303, door
        assert answer.headers["location"].startswith("/sign-in"), door
    assert stranger.get("/live?page=/sessions").status_code == 404
    assert world.entries() == before


@pytest.mark.shows("DASH-FORM-001")
def test_no_form_is_taken_without_its_origin_and_its_token(world: World) -> None:
    reader = Reader(world).sign_in("operator")
    token, other = reader.csrf(), Reader(world).sign_in("owner").csrf()
    before = world.entries()
    forged: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
        ({"csrf": token}, {}),
        ({"csrf": token}, {"origin": "null"}),
        ({"csrf": token}, {"origin": "http://evil.example"}),
        ({"csrf": other}, {"origin": world.url}),
        ({"csrf": ""}, {"origin": world.url}),
        ({}, {"origin": world.url}),
    )
    for door in DOORS:
        if door.method != "POST":
            continue
        for form, headers in forged:
            answer = reader.client.post(path_of(door, world), data=form, headers=headers)
            assert (answer.status_code, "form-refused" in answer.text) == (403, True), (door, form, headers)
    assert world.entries() == before


@pytest.mark.shows("DASH-FORM-002")
def test_a_form_is_bounded_and_urlencoded(world: World) -> None:
    reader = Reader(world).sign_in("owner")
    token, headers = reader.csrf(), {"origin": world.url}
    many = {f"field{number}": "x" for number in range(100)} | {"csrf": token}
    assert reader.client.post("/names", data=many, headers=headers).status_code == 403
    assert reader.client.post("/names", json={"csrf": token}, headers=headers).status_code == 403
    files = {"csrf": ("a", token.encode())}
    assert reader.client.post("/names", files=files, headers=headers).status_code == 403
    long = {"csrf": token, "note": "x" * 70_000}
    assert reader.client.post("/names", data=long, headers=headers).status_code == 413
    raw = b"csrf=" + token.encode() + b"&name=%ff%fe"
    kind = headers | {"content-type": "application/x-www-form-urlencoded"}
    assert reader.client.post("/names", content=raw, headers=kind).status_code in {403, 422}


class Ways(HTMLParser):
    """Where a page leads: links by GET, forms by their method."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one element."""
        named = {name: value or "" for name, value in attrs}
        if tag == "a" and named.get("href", "").startswith("/"):
            self.found.add(("GET", urlsplit(named["href"]).path))
        if tag == "form":
            self.found.add((named.get("method", "get").upper(), urlsplit(named["action"]).path))


def doors_at(method: str, path: str) -> list[Door]:
    found = [door for door in DOORS if door.method == method and compile_path(door.path)[0].fullmatch(path)]
    return found[:1]


@pytest.mark.shows("DASH-RIGHT-001")
@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_may_not_do_is_not_offered(world: World, role: str) -> None:
    reader, held = Reader(world).sign_in(role), rights_of(role)
    offered: set[tuple[str, str]] = set()
    pages = [path_of(door, world) for door in DOORS if door.method == "GET" and door.scope in held]
    if role == "operator":
        pages += [f"{path}?account={ACME.hex()}" for path in pages]
    for path in pages:
        ways = Ways()
        ways.feed(reader.get(path).text)
        offered |= ways.found
    for method, path in offered:
        for door in doors_at(method, path):
            assert door.scope in held, (role, door)
    # And what they may do is: every action that a role has is on some page of theirs.
    reached = {door for way in offered for door in doors_at(*way)}
    missing = {door.path for door in DOORS if door.scope in held} - {door.path for door in reached}
    assert not missing - {"/people/keys/{key}/revoke", "/accounts/resume", "/tokens/narrow", "/tokens/revoke"}, missing


@pytest.mark.shows("DASH-HEAD-001")
def test_every_answer_is_guarded_by_its_headers(world: World) -> None:
    reader = Reader(world).sign_in("operator")
    answers = [reader.get(path_of(door, world)) for door in DOORS if door.method == "GET"]
    answers += [Reader(world).get("/sign-in"), reader.get("/nope"), reader.send("/names"), Reader(world).get("/tokens")]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (answer.url, name)
    assert "unsafe" not in POLICY
    for answer in answers:
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=|javascript:", answer.text), answer.url


@pytest.mark.shows("DASH-HEAD-001")
def test_static_files_may_be_kept_and_nothing_else_is_there(world: World) -> None:
    stranger = Reader(world)
    for file in ("dashboard.css", "dashboard.js", "icon.svg"):
        answer = stranger.get(f"/static/{file}?x")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/static/..%2fmount.py", "/static/mount.py", "/static/", "/static/%2e%2e/visit.py"):
        assert stranger.get(path).status_code == 404, path


@pytest.mark.shows("DASH-RIGHT-003")
@pytest.mark.parametrize("role", ["owner", "developer", "auditor"])
def test_what_belongs_to_another_account_is_not_there(world: World, role: str) -> None:
    reader = Reader(world).sign_in(role)
    for path in ("/endpoints/rival-shop", f"/?account={'00' * 16}", "/tokens?account=zz", "/names?account=ff"):
        assert reader.get(path).status_code == 404, path
    shown = "".join(reader.get(path).text for path in ("/", "/sessions", "/endpoints", "/names", "/tokens", "/people"))
    assert "rival" not in shown.lower()
    assert "198.51.100.20" not in shown
    if role != "auditor":
        for path in ("/sessions/9/kick", "/sessions/9/drain", "/names/rival-shop/release"):
            assert reader.get(path).status_code == 404, path
            assert reader.send(path).status_code == 404, path
    assert not world.feed.orders


@pytest.mark.shows("DASH-RIGHT-003")
def test_who_had_a_name_before_is_not_shown_to_who_has_it_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent goes on answering for a name that its account released; what it answered is not the new owner's."""

    def endpoints(_feed: Scripted) -> dict[str, object]:
        row = {"account": RIVAL.hex(), "name": "app", "session": 9, "peer": "198.51.100.20:41022", "epoch": 3}
        return {"ok": True, "items": [row, row | {"account": ACME.hex(), "session": 11, "peer": "203.0.113.7:2"}]}

    with served(tmp_path) as world:
        monkeypatch.setattr(Scripted, "endpoints", endpoints)
        reader, operator = Reader(world).sign_in("auditor"), Reader(world).sign_in("operator")
        assert "203.0.113.7" in reader.get("/names").text
        assert "198.51.100.20" not in reader.get("/names").text
        assert "198.51.100.20" in operator.get("/names").text
        assert "local-refused" not in reader.get("/").text  # how exchanges of session 7 ended


@pytest.mark.shows("DASH-ERROR-001")
def test_what_is_not_there_is_a_page_for_a_person_and_a_problem_for_a_program(world: World) -> None:
    answer = Reader(world).get("/nope")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    answer = Reader(world).client.get("/nope", headers={"accept": "*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    answer = Reader(world).get("/api/v1/nope")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.shows("DASH-RIGHT-002")
@pytest.mark.parametrize("page", ["//[", "http://[x", "/endpoints/a]//["])
def test_an_address_that_is_none_has_no_live_parts(world: World, page: str) -> None:
    before = handler_escapes_total()
    for reader in (Reader(world), Reader(world).sign_in("auditor")):
        assert reader.get(f"/live?page={quote(page, safe='')}").status_code == 404
    assert handler_escapes_total() == before


@pytest.mark.shows("DASH-SIGN-003")
@pytest.mark.parametrize("sent", ['"a\\012b"', '"a\\073 Domain=example.com"', '"\\000"', "x" * 44])
def test_a_cookie_that_was_not_made_here_is_not_given_back(world: World, sent: str) -> None:
    before = handler_escapes_total()
    answer = Reader(world).client.get("/sign-in", headers={"cookie": f"tunnel_form={sent}"})
    assert answer.status_code == 200
    assert re.fullmatch(r"tunnel_form=[\w-]{43}; Path=/; [^\n]+", answer.headers["set-cookie"])
    assert "Domain" not in answer.headers["set-cookie"]
    assert handler_escapes_total() == before
