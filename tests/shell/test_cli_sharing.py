"""`--links`, `--pool` and the checks: from the flags and the file to settings, and all that is refused, in words."""

from pathlib import Path

import pytest

from tunnel.agent.settings import AgentSettings, Checks
from tunnel.cli.arguments import read_arguments
from tunnel.cli.commands import HttpCommand
from tunnel.cli.live import picture
from tunnel.cli.main import run
from tunnel.cli.problems import describe
from tunnel.cli.settings import agent_settings
from tunnel.cli.status import Status, Up, after
from tunnel.cli.words import line_of
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.link.messages import Share
from tunnel.observe.events import AgentReady, Event, LinkLost, LinkUp, NameGranted, NameReleased

pytestmark = pytest.mark.shows("OPS-CLI-001")


@pytest.fixture(name="token_file")
def _token_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "token"
    assert run(["token", "mint", "--state", str(tmp_path / "s"), "--name", "demo", "--out", str(file)], {}) == 0
    capsys.readouterr()
    return file


def read(token_file: Path, *arguments: str, config: str = "") -> AgentSettings | list[str]:
    """The settings, or what was wrong."""
    file = token_file.parent / "agent.toml"
    file.write_text(f"version = 1\n[agent]\n{config}", encoding="utf-8")
    words = ["http", "3000", "--server", "h:1", "--token-file", str(token_file), "--config", str(file), *arguments]
    command = read_arguments(words)
    assert isinstance(command, HttpCommand)
    done = agent_settings(command, {})
    return value_of(done) if isinstance(done, Success) else [describe(problem) for problem in error_of(done)]


def test_nothing_is_shared_or_checked_unless_it_is_said(token_file: Path) -> None:
    settings = read(token_file)
    assert isinstance(settings, AgentSettings)
    assert (settings.links, settings.share, settings.checks) == (1, Share.ALONE, None)


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        ("--links 3 --pool --health-path /up --health-interval 2m", ""),
        ("", 'links = 3\npool = true\nhealth_path = "/up"\nhealth_interval = "2m"'),
        ("--links 3 --health-interval 2m", 'links = 5\npool = true\nhealth_path = "/up"\nhealth_interval = "9s"'),
    ],
)
def test_flags_and_the_file_say_the_same_and_flags_win(token_file: Path, arguments: str, config: str) -> None:
    settings = read(token_file, *arguments.split(), config=config)
    assert isinstance(settings, AgentSettings)
    assert (settings.links, settings.share, settings.checks) == (3, Share.POOL, Checks("/up", 120.0))


@pytest.mark.parametrize(
    ("arguments", "config", "words"),
    [
        ("--links 0", "", "--links"),
        ("--links two", "", "--links"),
        ("--links 17", "", "links_per_agent_max"),
        ("--health-path healthz", "", "--health-path"),
        ("--health-path /a --health-interval 0s", "", "--health-interval"),
        ("--health-path /a --health-interval 2h", "", "--health-interval"),
        ("--health-interval 5s", "", "--health-path"),
        ("--ttl 0s", "", "--ttl"),
        ("", 'ttl = "soon"', "agent.ttl"),
        ("", "links = 0", "agent.links"),
        ("", 'links = "2"', "agent.links"),
        ("", "links = true", "agent.links"),
        ("", 'pool = "yes"', "agent.pool"),
        ("", 'health_path = "a b"', "agent.health_path"),
        ("", 'health_interval = "soon"', "agent.health_interval"),
    ],
)
def test_what_is_not_right_is_said(token_file: Path, arguments: str, config: str, words: str) -> None:
    problems = read(token_file, *arguments.split(), config=config)
    assert isinstance(problems, list)
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.shows("TOKEN-EXPOSE-001")
@pytest.mark.parametrize(
    ("arguments", "config", "seconds"),
    [("", "", 0), ("--ttl 2h", "", 7200), ("", 'ttl = "30m"', 1800), ("--ttl 2h", 'ttl = "30m"', 7200)],
)
def test_how_long_to_expose_is_said_by_flag_or_file(
    token_file: Path, arguments: str, config: str, seconds: int
) -> None:
    settings = read(token_file, *arguments.split(), config=config)
    assert isinstance(settings, AgentSettings)
    assert settings.ttl_seconds == seconds


def test_no_request_line_can_be_written_by_a_path(token_file: Path) -> None:
    for path in ("/a b", "/a\r\nHost: x", "/\u00e9", "", "http://x/"):
        assert isinstance(read(token_file, "--health-path", path), list)


def test_the_status_counts_links_and_members() -> None:
    events: list[Event] = [AgentReady("u", "demo", 1), LinkUp(1, 1, 2), LinkUp(2, 2, 2), LinkLost("reset", 1.0, 1, 2)]
    status = Status()
    links = []
    for event in events:
        status = after(status, event)
        links.append(status.link)
    assert links == [Up(), Up(1, 2), Up(2, 2), Up(1, 2)]
    server = after(Status(agents=2), NameGranted(1, "demo", 1))
    server = after(after(server, NameGranted(2, "demo", 2, 2)), NameGranted(3, "www", 3))
    assert server.names == (("demo", 2), ("www", 1))
    assert after(server, NameReleased(3, "www", 3)).names == (("demo", 2),)
    assert picture("tunnel", server, is_quiet=True).renderables


def test_lines_of_links_and_members() -> None:
    assert line_of(LinkLost("reset", 1.0)) == "no link: reset; dialling again in 1.0 s"
    assert line_of(LinkLost("reset", 1.0, 1, 2)) == "1 of 2 links left: reset; dialling again in 1.0 s"
    assert line_of(NameGranted(2, "demo", 2, 2)) == "agent 2 holds the name demo (epoch 2), with 1 more"
    assert line_of(NameReleased(2, "demo", 2)) == "agent 2 holds the name demo no more; nobody left"
