"""How events are shown: as JSON lines, as plain lines, as a live status, and to readers that are slow or gone.

Lines go through real pipes. The live status is drawn into memory, once with colours and once without.
"""

import dataclasses
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, get_args

import pytest
from rich.console import Console
from typing_extensions import override

from tunnel.agent.end import AgentEnd, NameDenied, NotAuthorised, ServerUntrusted, SettingsUnusable
from tunnel.cli import lines
from tunnel.cli.commands import Output
from tunnel.cli.exits import ExitCode, exit_of, sentence_of
from tunnel.cli.lines import LineWriter
from tunnel.cli.live import LiveScreen, picture
from tunnel.cli.ndjson import NdjsonScreen
from tunnel.cli.plain import PlainScreen
from tunnel.cli.report import conclude, say
from tunnel.cli.running import screen_for
from tunnel.cli.status import NOTES_SHOWN, REQUESTS_SHOWN, Down, Starting, Status, Stopped, Stopping, Up, after, at_end
from tunnel.cli.words import EVENT_NAMES, line_of, object_of, printable
from tunnel.core.base.outcome import Failure, Success
from tunnel.observe.events import (
    AgentReady,
    ConnectionDone,
    ControlEnded,
    ControlReady,
    EndpointLapsed,
    Event,
    ExchangeDone,
    FromWorker,
    LinkLost,
    LinkRefused,
    LinkUp,
    LocalHealth,
    LocalUnreachable,
    MemberHealth,
    NameGranted,
    NameReleased,
    NotReloaded,
    Reloaded,
    Reloading,
    ServerReady,
    SessionEnded,
    SessionOpened,
    ShuttingDown,
    Warned,
    WorkerEnded,
    WorkerStarted,
)
from tunnel.server.end import CannotListen, ServerEnd, StateUnusable

DONE: Final = ExchangeDone("r1", "demo", "GET", "/a?b", 200, 3.25, "ok", 0, 10, "203.0.113.9")
FAILED: Final = ExchangeDone("r2", "demo", "POST", "/x", 502, 7.0, "local-refused", 0, 10, "203.0.113.9")
READY: Final = AgentReady("http://demo.example.com/", "demo", 1)
EVENTS: Final[tuple[Event, ...]] = (
    ServerReady("http://NAME.example.com/", "127.0.0.1:80", "127.0.0.1:81"),
    READY,
    DONE,
    FAILED,
    SessionOpened(1, "ab", "198.51.100.7:5"),
    SessionEnded(1, "gone", 2.0),
    NameGranted(1, "demo", 3),
    NameReleased(1, "demo", 3, 1),
    EndpointLapsed(1, "demo", 3),
    MemberHealth(1, "demo", "down", "GET /healthz: 503"),
    LinkUp(2, 2, 3),
    LocalHealth("localhost:3000", is_up=False, detail="GET /healthz: status 503"),
    LinkRefused("198.51.100.7:5", "expired", "the token expired"),
    LinkLost("connection reset", 1.5),
    LocalUnreachable("localhost:3000", "refused"),
    ShuttingDown(30.0),
    Warned("look here"),
    WorkerStarted(1, 4711),
    WorkerEnded(1, 4711, -9, "", expected=False),
    Reloading(),
    NotReloaded("the port is taken"),
    Reloaded(2, 0.5),
    ControlReady("http://127.0.0.1:7480/"),
    ControlEnded(-9, "it said nothing for 60 s", 0.5),
    ConnectionDone("db", "tcp", 12.5, "ok", 3, 4, "203.0.113.9"),
)


def clock() -> datetime:
    return datetime(2026, 11, 22, 9, 5, 7, tzinfo=UTC)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            try:
                os.close(end)
            except OSError:
                continue


def read_to_end(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read().decode()


def test_every_event_has_a_name_words_and_an_object() -> None:
    """A new event is not forgotten here: the table and this file's examples are compared with the closed union."""
    # What a worker tells has no name of its own: it is the event, and which worker it was.
    assert {*EVENT_NAMES, FromWorker} == set(get_args(Event)) == {FromWorker, *(type(event) for event in EVENTS)}
    for event in EVENTS:
        told = object_of(event)
        assert told.pop("event") == EVENT_NAMES[type(event)]
        fields = dataclasses.asdict(event)
        if isinstance(event, ServerReady):
            fields["url"] = fields.pop("url_pattern")
        assert told == fields
        assert line_of(event).isprintable()
        named = EVENT_NAMES[type(event)]
        assert object_of(FromWorker(3, event)) == {"event": named, **fields, "worker": 3}
        assert line_of(FromWorker(3, event)) == f"worker 3: {line_of(event)}"


@pytest.mark.shows("OPS-CLI-010")
def test_no_peer_moves_the_cursor_or_forges_a_line() -> None:
    evil = "\x1b[2J\r\nready: http://evil\u202e"
    for event in (
        LinkLost(evil, 1.0),
        LinkRefused(evil, evil, evil),
        dataclasses.replace(DONE, target=evil),
        AgentReady(evil, evil, 1),
    ):
        assert line_of(event).isprintable()
        drawn = drawing(after(Status(), event), colours=False)
        assert "\x1b" not in drawn
        assert "\u202e" not in drawn
    assert printable("grüße 隧道") == "grüße 隧道"


@pytest.mark.shows("OPS-CLI-006")
def test_json_lines_begin_with_ready(capfd: pytest.CaptureFixture[str]) -> None:
    screen = NdjsonScreen(clock, is_quiet=False)
    for event in (LinkLost("no route", 1.0), DONE, READY, DONE, LinkLost("reset", 2.0)):
        screen.emit(event)
    screen.hint("try this")
    screen.close()
    screen.close()
    told = capfd.readouterr()
    objects = [json.loads(line) for line in told.out.splitlines()]
    assert [o["event"] for o in objects] == ["ready", "request", "link_lost", "hint"]
    assert told.out.startswith('{"event":"ready","url":"http://demo.example.com/",')
    assert objects[1]["status"] == 200
    assert all(o["time"].startswith("2026-11-22T") for o in objects)
    assert told.err.splitlines() == [
        "09:05:07 no link: no route; dialling again in 1.0 s",
        "09:05:07 ready: http://demo.example.com/",
        "09:05:07 no link: reset; dialling again in 2.0 s",
    ]


@pytest.mark.shows("OPS-CLI-007")
def test_plain_lines(capfd: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen(clock, is_quiet=False)
    for event in (READY, DONE, FAILED, LinkLost("reset", 2.0)):
        screen.emit(event)
    screen.hint("try this")
    screen.close()
    told = capfd.readouterr()
    assert told.out.splitlines() == [
        "09:05:07 ready: http://demo.example.com/",
        "09:05:07 GET /a?b 200 3.2 ms",
        "09:05:07 POST /x 502 7.0 ms (local-refused)",
        "try this",
    ]
    assert told.err == "09:05:07 no link: reset; dialling again in 2.0 s\n"


def test_quiet_is_about_requests_only(capfd: pytest.CaptureFixture[str]) -> None:
    for screen in (PlainScreen(clock, is_quiet=True), NdjsonScreen(clock, is_quiet=True)):
        screen.emit(READY)
        screen.emit(DONE)
        screen.close()
        told = capfd.readouterr().out
        assert "demo.example.com" in told
        assert "/a?b" not in told


@pytest.mark.shows("OPS-CLI-007")
def test_which_screen_is_chosen(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    plain, as_json = Output(is_json=False, is_quiet=False), Output(is_json=True, is_quiet=False)
    chosen = []
    for output, is_terminal, environment in (
        (plain, False, {"TERM": "xterm"}),
        (plain, True, {"TERM": "dumb"}),
        (plain, True, {}),
        (as_json, True, {"TERM": "xterm"}),
        (plain, True, {"TERM": "xterm"}),
    ):
        monkeypatch.setattr(sys.stdout, "isatty", lambda told=is_terminal: told)
        screen = screen_for(output, environment)
        screen.close()
        chosen.append(type(screen))
    capfd.readouterr()
    assert chosen == [PlainScreen, PlainScreen, PlainScreen, NdjsonScreen, LiveScreen]


def test_lines_arrive_whole_and_in_order() -> None:
    with pipe() as (reading, writing):
        writer = LineWriter(writing, str)
        wanted = [f"line {number} é" for number in range(2000)]
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.extend(read_to_end(reading).splitlines()))
        reader.start()
        for line in wanted:
            writer.write(line)
        writer.close()
        writer.write("after the end")
        os.close(writing)
        reader.join()
    assert got == wanted


@pytest.mark.shows("OPS-CLI-008")
def test_a_reader_that_stops_reading_blocks_nobody_and_is_told_what_it_missed() -> None:
    """The pipe is full and nobody reads: `write` goes on returning. Then somebody reads, and sees the gap."""
    with pipe() as (reading, writing):
        writer = LineWriter(writing, "{} left out".format, lines_max=50)
        long = "x" * 4096
        for _ in range(2000):
            writer.write(long)
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.extend(read_to_end(reading).splitlines()))
        reader.start()
        writer.close()
        os.close(writing)
        reader.join()
    told = [line for line in got if line != long]
    assert len(told) == 1
    assert int(told[0].removesuffix(" left out")) + len(got) - 1 == 2000
    assert got[-1] == told[0]


@pytest.mark.shows("OPS-CLI-008")
def test_a_gap_stands_where_it_happened() -> None:
    with pipe() as (reading, writing):
        writer = LineWriter(writing, "{} left out".format, lines_max=1)
        os.set_blocking(reading, True)
        big = "y" * 200_000  # more than any pipe holds: the thread is stuck in it until somebody reads
        writer.write(big)
        while writer.waiting():
            pass
        for line in ("a", "b", "c"):
            writer.write(line)
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.extend(read_to_end(reading).splitlines()))
        reader.start()
        while writer.waiting():
            pass
        writer.write("d")
        writer.close()
        os.close(writing)
        reader.join()
    assert got == [big, "a", "2 left out", "d"]


@pytest.mark.shows("OPS-CLI-008")
def test_a_reader_that_is_gone_is_no_error() -> None:
    with pipe() as (reading, writing):
        writer = LineWriter(writing, str)
        os.close(reading)
        for _ in range(100):
            writer.write("nobody")
        writer.close()


@pytest.mark.shows("OPS-CLI-008")
def test_nobody_waits_for_ever_for_a_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CLOSE_SECONDS", 0.01)
    with pipe() as (reading, writing):
        writer = LineWriter(writing, str)
        writer.write("x" * 1_000_000)
        writer.close()  # returns, though a megabyte waits
        os.close(reading)
        join_writers()  # before the descriptor's number can mean another file


def join_writers() -> None:
    for thread in threading.enumerate():
        if thread.name == "lines":
            thread.join()


def test_the_status_follows_events() -> None:
    status = Status()
    assert status.link == Starting()
    status = after(status, LinkLost("no route", 1.0))
    assert status.link == Down("no link: no route; dialling again in 1.0 s")
    status = after(status, READY)
    assert (status.link, status.url, status.agents) == (Up(), "http://demo.example.com/", None)
    for _ in range(REQUESTS_SHOWN):
        status = after(status, DONE)
    status = after(status, FAILED)
    assert (status.requests, status.failures) == (REQUESTS_SHOWN + 1, 1)
    assert status.newest == (*(DONE,) * (REQUESTS_SHOWN - 1), FAILED)
    for number in range(NOTES_SHOWN + 1):
        status = after(status, Warned(str(number)))
    assert status.notes == tuple(f"warning: {number}" for number in range(1, NOTES_SHOWN + 1))
    assert after(status, ShuttingDown(1.0)).link == Stopping()
    assert at_end(status).link == Stopped()


def test_the_status_of_a_server_counts_its_agents() -> None:
    status = after(Status(), EVENTS[0])
    assert (status.link, status.agents, status.url) == (Up(), 0, "http://NAME.example.com/")
    for event, agents in (
        (SessionOpened(1, "ab", "p"), 1),
        (NameGranted(1, "demo", 1), 1),
        (SessionOpened(2, "ab", "p"), 2),
        (SessionEnded(1, "gone", 1.0), 1),
        (SessionEnded(2, "gone", 1.0), 0),
        (SessionEnded(3, "never seen", 1.0), 0),
    ):
        status = after(status, event)
        assert status.agents == agents
    assert "agents" in drawing(status, colours=False)


def drawing(status: Status, *, colours: bool, is_quiet: bool = False) -> str:
    held = io.StringIO()
    console = Console(file=held, force_terminal=colours, color_system="standard" if colours else None, width=100)
    console.print(picture("tunnel", status, is_quiet=is_quiet))
    return held.getvalue()


def test_the_picture_shows_url_link_and_requests() -> None:
    status = Status()
    for event in (READY, DONE, FAILED, dataclasses.replace(DONE, status=404), Warned("[bold]look[/bold]")):
        status = after(status, event)
    drawn = drawing(status, colours=False)
    for told in ("http://demo.example.com/", "up", "3, 1 failed", "/a?b", "200", "3.2 ms", "404", "local-refused"):
        assert told in drawn
    assert "[bold]look[/bold]" in drawn
    assert "/a?b" not in drawing(status, colours=False, is_quiet=True)
    for link in (LinkLost("reset", 1.0), ShuttingDown(1.0)):
        assert drawing(after(status, link), colours=False) != drawn


def test_in_a_narrow_terminal_each_request_is_one_line_whose_target_is_cut() -> None:
    """Once the time of a request was broken over two lines, and the method was squeezed away."""
    status = Status()
    for event in (DONE, dataclasses.replace(FAILED, target="/" + "a" * 200, milliseconds=12345.6)):
        status = after(status, event)
    held = io.StringIO()
    Console(file=held, width=80).print(picture("tunnel", status, is_quiet=False))
    lines = [line.rstrip() for line in held.getvalue().splitlines() if "ms" in line]
    assert len(lines) == 2
    assert all(len(line) <= 80 and line.startswith((DONE.method, FAILED.method)) for line in lines)
    done, failed = sorted(lines, key=lambda line: "local-refused" in line)
    assert "3.2 ms" in done
    assert "12345.6 ms" in failed
    assert failed.endswith("a…")


@pytest.mark.shows("OPS-CLI-007")
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"NO_COLOR": ""}])
def test_no_color_removes_colours(environment: dict[str, str]) -> None:
    """Looks for the green of a 200; bold and cursor movements are no colours and may stay."""
    held = io.StringIO()
    no_color = bool(environment.get("NO_COLOR")) or None
    console = Console(file=held, force_terminal=True, color_system="standard", no_color=no_color, width=100)
    screen = LiveScreen("tunnel", console, is_quiet=False)
    screen.emit(READY)
    screen.emit(DONE)
    screen.hint("try this")
    screen.close()
    assert ("\x1b[32m" in held.getvalue()) == (environment.get("NO_COLOR", "") == "")
    assert "stopped" in held.getvalue()
    assert "try this" in held.getvalue()


@pytest.mark.shows("OPS-CLI-002")
def test_every_end_has_its_exit_code_and_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    ends: dict[AgentEnd | ServerEnd, ExitCode] = {
        NameDenied("demo", "it is taken"): ExitCode.NAME_TAKEN,
        NotAuthorised("expired", "it expired"): ExitCode.NOT_AUTHORISED,
        ServerUntrusted("h:1", "self-signed"): ExitCode.NETWORK,
        CannotListen("h:1", "in use"): ExitCode.NETWORK,
        SettingsUnusable("--ca", "no such file"): ExitCode.USAGE,
        StateUnusable("--state", "damaged"): ExitCode.USAGE,
    }
    for end, code in ends.items():
        assert exit_of(end) == conclude(Failure(end)) == code
        assert capsys.readouterr().err == f"tunnel: {sentence_of(end)}\n"
    assert conclude(Success(None)) == ExitCode.OK
    assert conclude(None) == ExitCode.CUT_OFF
    assert capsys.readouterr().err == ""


def test_saying_something_to_nobody_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as file:
        monkeypatch.setattr(sys, "stderr", _Gone(file.fileno(), "w", closefd=False))
        say("hello")


class _Gone(io.FileIO):
    """A standard error whose reader has left."""

    @override
    def write(self, *_args: object) -> int:
        raise BrokenPipeError
