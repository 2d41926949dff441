"""The dashboard while the database or the data plane is away: what is there is shown; and its live parts."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.dashboard import Reader, Scripted, World, served

from tunnel.api.pages import live
from tunnel.api.pages.cookies import digest_of
from tunnel.api.pages.feed_view import live_endpoints, live_sessions, reading_of, recent_exchanges
from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of


@pytest.mark.shows("DASH-ERROR-002")
def test_without_its_database_every_page_says_so_and_tries_again(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        reader = Reader(world).sign_in("owner")
        form = {"csrf": reader.csrf(), "name": "x"}
        _close(world)
        for path in ("/", "/tokens", "/names", "/audit", "/sessions"):
            answer = reader.get(path)
            assert (answer.status_code, "store-unavailable" in answer.text) == (503, True), path
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["refresh"] == answer.headers["retry-after"]
        sent = reader.client.post("/names", data=form, headers={"origin": world.url})
        assert sent.status_code == 503
        # Nobody is signed out by it: the cookie is as good as before once the database is back.
        assert "set-cookie" not in sent.headers
        signing = Reader(world)
        assert signing.get("/sign-in").status_code == 200
        assert signing.sign_in_with(world.keys["owner"]).status_code == 503


def _close(world: World) -> None:
    async def closed() -> Outcome[None, Exception]:
        await world.store.close()
        return Success(None)

    assert world.loop is not None

    asyncio.run_coroutine_threadsafe(closed(), world.loop).result(60)


@pytest.mark.shows("DASH-ERROR-002")
def test_without_the_data_plane_only_what_it_knows_is_missing(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        owner, operator = Reader(world).sign_in("owner"), Reader(world).sign_in("operator")
        form = {"csrf": owner.csrf()}
        world.feed.is_there = False
        for path in ("/sessions", "/endpoints", "/endpoints/app", "/sessions/7/kick"):
            answer = owner.get(path)
            assert (answer.status_code, "data-plane-away" in answer.text) == (503, True), path
        assert owner.client.post("/sessions/7/kick", data=form, headers={"origin": world.url}).status_code == 503
        for path, said in (("/", "does not answer"), ("/names", "not known now"), ("/usage", "Requests")):
            answer = owner.get(path)
            assert (answer.status_code, said in answer.text) == (200, True), path
        page = operator.get("/").text
        assert "not ready" in page
        assert "nothing here about it is current" in page


@pytest.mark.shows("DASH-PAGE-005", "DASH-RIGHT-001")
def test_live_parts_are_those_of_the_page_for_this_reader_and_end_with_their_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.05)
    with served(tmp_path) as world:
        reader = Reader(world).sign_in("developer")
        page = reader.get("/sessions").text
        source = re.search(r'data-live-source="([^"]+)"', page)
        assert source
        told: list[dict[str, str]] = []
        is_over = False
        with reader.client.stream("GET", source[1]) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                is_over = is_over or line == "event: over"
                if line.startswith("data: {") and not is_over:
                    told.append(json.loads(line.removeprefix("data: ")))
                    if len(told) == 1:
                        world.feed.busy = 4321
                    if len(told) == 2:
                        world.told(world.store.drop_web_sessions("key:" + world.keys["developer"][5:23]))
        assert is_over
        # The first part is the markup of the page itself; only what changed came after it.
        assert [each["id"] for each in told] == ["live_sessions", "live_sessions"]
        inside = re.search(r'id="live_sessions">(.*?)</section>', page, re.DOTALL)
        assert inside
        assert _without_times(told[0]["markup"]) == _without_times(inside[1])
        assert "4,321" in told[1]["markup"]


def _without_times(markup: str) -> str:
    return re.sub(r"<time.*?</time>", "", markup, flags=re.DOTALL).strip()


@pytest.mark.shows("DASH-RIGHT-001")
def test_nothing_is_live_that_its_reader_may_not_see(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        reader = Reader(world).sign_in("developer")
        for page in ("/audit", "/accounts", "/endpoints/rival-shop", "/nope", "//evil.example/", "x", "", "/sign-in"):
            answer = reader.client.get("/live", params={"page": page})
            assert answer.status_code == 404, page
        streams = [reader.client.stream("GET", "/live?page=/sessions") for _ in range(2)]
        opened = [stream.__enter__() for stream in streams]
        assert [answer.status_code for answer in opened] == [200, 200]
        for stream in streams:
            stream.__exit__(None, None, None)


def test_what_the_feed_says_otherwise_is_left_out_and_nothing_raises() -> None:

    class Odd:
        async def ask(self, question: str, /, **facts: object) -> Outcome[dict[str, object], str]:
            return Success({"items": ["no row", {"session": "x", "names": 7, "hops": 1, "at": "soon"}, None], **facts})

    class Nothing:
        async def ask(self, question: str, /, **facts: object) -> Outcome[dict[str, object], str]:
            return Failure("away")

    async def all_of(feed: Odd | Nothing | Scripted) -> list[bool]:
        asked = (live_sessions(feed), live_endpoints(feed), recent_exchanges(feed, "app"))
        return [isinstance(await each, Success) for each in asked]

    assert asyncio.run(all_of(Odd())) == [True] * 3
    assert asyncio.run(all_of(Nothing())) == [False] * 3
    assert asyncio.run(all_of(Scripted(0))) == [True] * 3
    assert isinstance(asyncio.run(reading_of(Odd(), Instant(0.0))), Failure)
    assert isinstance(asyncio.run(reading_of(Nothing(), Instant(0.0))), Failure)


def test_counters_of_several_processes_are_added_up() -> None:

    one: dict[str, object] = {
        "counters": {"exchanges": {"ok": 3, "local-refused": 1}, "bytes": {"up": 5, "down": 7}},
        "histograms": {"exchange_seconds": {"le": [0.1, 1.0], "counts": [1, 2, 1], "sum": 1.0}},
    }

    class Workers:
        def __init__(self, told: dict[str, object]) -> None:
            self.told = told

        async def ask(self, question: str, /, **facts: object) -> Outcome[dict[str, object], str]:
            return Success(self.told)

    alone = asyncio.run(reading_of(Workers(one), Instant(1.0)))
    both = asyncio.run(reading_of(Workers({"items": [one, one]}), Instant(1.0)))
    assert isinstance(alone, Success)
    assert isinstance(both, Success)
    assert (value_of(alone).exchanges, value_of(alone).latency) == (4, (1, 2, 1))
    assert (value_of(both).exchanges, value_of(both).latency, value_of(both).bytes_down) == (8, (2, 4, 2), 14)


@pytest.mark.shows("DASH-SIGN-006")
def test_a_forgotten_tab_that_goes_on_asking_is_no_sign_of_a_person(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        reader = Reader(world).sign_in("owner")
        cookie = digest_of(reader.client.cookies.get("tunnel_session") or "")
        now = world.plane.clock.unix()
        held = world.told(world.store.web_session(cookie, now))
        half_an_hour = UnixSeconds(now - 1800)
        world.told(world.store.put_web_session(replace(held, seen=half_an_hour)))
        with reader.client.stream("GET", "/live?page=/sessions") as answer:
            assert next(line for line in answer.iter_lines() if line.startswith("data:"))
        assert world.told(world.store.web_session(cookie, now)).seen == half_an_hour
        # A page that somebody opens is one.
        assert reader.get("/sessions").status_code == 200
        assert world.told(world.store.web_session(cookie, now)).seen >= now
