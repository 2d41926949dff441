"""`tunnel server` and `tunnel http`: settings, a screen, the event loop, and how it ended."""

from collections.abc import Mapping

from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings
from tunnel.cli.arguments import HttpCommand, ServerCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.report import refuse, say
from tunnel.cli.running import run_on_screen
from tunnel.cli.settings import agent_settings, server_settings
from tunnel.cli.tokens import token_file_warning
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.server.run import serve
from tunnel.server.settings import ServerSettings


def start_server(command: ServerCommand, environment: Mapping[str, str]) -> ExitCode:
    """A server until a signal, or until it cannot start."""
    settings = server_settings(command)
    if not isinstance(settings, Success):
        return refuse(error_of(settings))
    asked: ServerSettings = value_of(settings)
    return run_on_screen(lambda screen, stop: serve(asked, screen, stop), command.output, environment)


def start_agent(command: HttpCommand, environment: Mapping[str, str]) -> ExitCode:
    """An agent until a signal, or until going on makes no sense."""
    settings = agent_settings(command, environment)
    if not isinstance(settings, Success):
        return refuse(error_of(settings))
    asked: AgentSettings = value_of(settings)
    warning = token_file_warning(command.token_file or environment.get("TUNNEL_TOKEN_FILE"))
    if warning is not None:
        say(f"tunnel: warning: {warning}")
    return run_on_screen(lambda screen, stop: run_agent(asked, screen, stop), command.output, environment)
