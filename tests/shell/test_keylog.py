"""The keys of TLS: written when a file is named, and to nobody else's eyes; never because of the environment.

The handshakes are real ones in memory, between the contexts that server and agent use.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import hello, serving
from tests.support.shell_world import DOMAIN, LOOPBACK, Log, world

from tunnel.agent.end import SettingsUnusable
from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings, LocalService
from tunnel.cli.arguments import read_arguments
from tunnel.cli.commands import HttpCommand, ServerCommand
from tunnel.cli.main import run
from tunnel.cli.settings import agent_settings, server_settings
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.link.messages import Keep
from tunnel.drive.address import Address
from tunnel.drive.keylog import log_keys, warning_of
from tunnel.drive.tls import agent_context
from tunnel.observe.events import Warned
from tunnel.server.end import StateUnusable
from tunnel.server.run import serve
from tunnel.server.settings import ServerSettings

pytestmark = pytest.mark.anyio

ANYWHERE: Final = Address(LOOPBACK, 0)
NOBODY: Final[Mapping[str, str]] = {}


def client() -> ssl.SSLContext:
    made = agent_context(None)
    assert isinstance(made, Success)
    return value_of(made)


@pytest.mark.shows("OPS-KEYLOG-002")
def test_the_file_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    before = os.umask(0)
    try:
        assert log_keys(client(), file) == Success(None)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.shows("OPS-KEYLOG-002")
def test_a_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.touch()
    file.chmod(0o640)
    context = client()
    refused = log_keys(context, file)
    assert isinstance(refused, Failure)
    assert error_of(refused).path == str(file)
    assert "0640" in error_of(refused).detail
    assert f"chmod 600 {file}" in error_of(refused).detail
    assert context.keylog_filename is None


@pytest.mark.shows("OPS-KEYLOG-002")
def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    read = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for place in (pipe, Path("/dev/null"), tmp_path, tmp_path / "no" / "where"):
            context = client()
            refused = log_keys(context, place)
            assert isinstance(refused, Failure), place
            assert error_of(refused).path == str(place)
            assert context.keylog_filename is None
    finally:
        os.close(read)


@pytest.mark.shows("OPS-KEYLOG-002", "OPS-KEYLOG-003")
async def test_server_and_agent_append_the_keys_of_their_link_and_warn(tmp_path: Path, state: Path) -> None:
    """Both ends write the same five secrets of one handshake, which is how we know that they are the right ones."""
    files = {end: tmp_path / end for end in ("server", "agent")}
    files["agent"].write_text("# kept\n")
    files["agent"].chmod(0o600)
    async with serving(hello) as local, world(state, keylog=files["server"]) as running:
        async with running.agent(local.address, keylog=files["agent"]) as agent:
            assert agent.log.all(Warned) == [Warned(warning_of(files["agent"]))]
        assert running.log.all(Warned)[:1] == [Warned(warning_of(files["server"]))]
    text = {end: file.read_text() for end, file in files.items()}
    assert text["agent"].startswith("# kept\n")
    secrets = {end: {line for line in content.splitlines() if line.startswith(("CLIENT_", "SERVER_", "EXPORTER_"))}
               for end, content in text.items()}  # fmt: skip
    assert secrets["agent"] == secrets["server"]
    assert {line.split()[0] for line in secrets["agent"]} >= {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}


@pytest.mark.shows("OPS-KEYLOG-001")
async def test_the_environment_makes_nobody_log_keys(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own default context would: `create_default_context` obeys SSLKEYLOGFILE."""
    file = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    async with serving(hello) as local, world(state) as running, running.agent(local.address):
        pass
    assert not file.exists()


@pytest.mark.shows("OPS-KEYLOG-002")
async def test_a_key_log_that_cannot_be_had_ends_the_start(tmp_path: Path, state: Path) -> None:
    place = tmp_path / "no" / "keys"
    server = await serve(ServerSettings(DOMAIN, ANYWHERE, ANYWHERE, state, keylog=place), Log(), asyncio.Event())
    assert isinstance(server, Failure)
    end = error_of(server)
    assert isinstance(end, StateUnusable)
    assert end.what == str(place)
    settings = AgentSettings(Address(LOOPBACK, 1), LocalService(ANYWHERE), "demo", b"", Keep(), keylog=place)
    agent = await run_agent(settings, Log(), asyncio.Event())
    assert isinstance(agent, Failure)
    assert isinstance(error_of(agent), SettingsUnusable)


@pytest.mark.shows("OPS-KEYLOG-001", "OPS-CLI-004")
def test_flag_before_file_and_nothing_unless_asked(tmp_path: Path, state: Path) -> None:
    config = tmp_path / "c.toml"
    token = tmp_path / "token"
    assert run(["token", "mint", "--state", str(state), "--name", "demo", "--out", str(token)], NOBODY) == 0
    config.write_text('version = 1\n[server]\nkeylog = "s.keys"\n[agent]\nkeylog = "a.keys"\n')

    def server(*more: str) -> Path | None:
        asked = read_arguments(
            ["server", "--state", "s", "--domain", "a.b", "--public", "h:1", "--agents", "h:2", *more]
        )
        assert isinstance(asked, ServerCommand)
        settings = server_settings(asked)
        assert isinstance(settings, Success), settings
        return value_of(settings).keylog

    assert server() is None
    assert server("--config", str(config)) == tmp_path / "s.keys"
    assert server("--config", str(config), "--keylog", "k") == Path("k")

    def agent(*more: str) -> Path | None:
        asked = read_arguments(["http", "3000", "--server", "h:1", "--token-file", str(token), *more])
        assert isinstance(asked, HttpCommand)
        settings = agent_settings(asked, NOBODY)
        assert isinstance(settings, Success), settings
        return value_of(settings).keylog

    assert agent() is None
    assert agent("--config", str(config)) == tmp_path / "a.keys"
    assert agent("--config", str(config), "--keylog", "k") == Path("k")
