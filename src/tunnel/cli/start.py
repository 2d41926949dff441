"""`tunnel server` and `tunnel http`: settings, a screen, the event loop, and how it ended."""

import asyncio
import sys
from collections.abc import Mapping
from importlib import import_module

from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings
from tunnel.cli.auditing import run_audit
from tunnel.cli.commands import ControlCommand, HttpCommand, MigrateCommand, ServerCommand, WatchCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import describe
from tunnel.cli.reload import reload_server
from tunnel.cli.report import refuse, say
from tunnel.cli.running import run_on_screen
from tunnel.cli.service import run_service
from tunnel.cli.settings import agent_settings, output_of_agent, output_of_server, server_settings
from tunnel.cli.store_run import run_store_command
from tunnel.cli.tokens import secret_file_warning
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive.manager import given_sockets
from tunnel.server.doors import Doors
from tunnel.server.run import serve
from tunnel.server.settings import ControlChoice, ServerSettings
from tunnel.server.steward import attended
from tunnel.server.supervisor import Staff, supervise

__all__ = (
    "reload_server",
    "run_audit",
    "run_migrate",
    "run_service",
    "run_store_command",
    "run_watch",
    "start_agent",
    "start_control",
    "start_server",
)


def start_server(command: ServerCommand, environment: Mapping[str, str]) -> ExitCode:
    """A server until a signal, or until it cannot start."""
    settings = server_settings(command, environment)
    if not isinstance(settings, Success):
        return refuse(error_of(settings))
    asked: ServerSettings = value_of(settings)
    given = _given_doors(environment)
    if not isinstance(given, Success):
        say(f"tunnel: sockets of the service manager: {error_of(given)}")
        return ExitCode.USAGE
    doors = value_of(given)
    if not asked.workers:
        return run_on_screen(
            lambda screen, stop: attended(
                lambda events: serve(asked, events, stop, doors), asked.control, asked.state, screen
            ),
            output_of_server(command),
            environment,
        )
    # Whoever closes a terminal wants to be rid of what runs in it; elsewhere a hang-up means: read everything anew.
    again = asyncio.Event()
    staff = Staff(
        [sys.executable, "-P", "-m", "tunnel.cli.worker", *command.typed], lambda: _reread(command, environment)
    )
    return run_on_screen(
        lambda screen, stop: attended(
            lambda events: supervise(asked, staff, events, stop, again, doors),
            asked.control,
            asked.state,
            screen,
            lambda: _control_now(command, environment),
        ),
        output_of_server(command),
        environment,
        None if sys.stdin.isatty() else again,
    )


def _given_doors(environment: Mapping[str, str]) -> Outcome[Doors | None, str]:
    """The doors that a service manager opened for us, if it did."""
    given = given_sockets(environment)
    if not isinstance(given, Success):
        return Failure(error_of(given).detail)
    by_name = value_of(given)
    if not by_name:
        return Success(None)
    doors = Doors(by_name.get("public", []), by_name.get("agents", []))
    if set(by_name) != {"public", "agents"}:
        seen = ", ".join(sorted(by_name))
        return Failure(f"they are named {seen}; FileDescriptorName= must say public for some and agents for the others")
    return Success(doors)


def _control_now(command: ServerCommand, environment: Mapping[str, str]) -> ControlChoice | None:
    """The control process by the same arguments and the config file as it is now; None when it is as it was."""
    settings = server_settings(command, environment)
    return value_of(settings).control if isinstance(settings, Success) else None


def _reread(command: ServerCommand, environment: Mapping[str, str]) -> Outcome[ServerSettings, str]:
    """The settings by the same arguments and the config file as it is now."""
    settings = server_settings(command, environment)
    if not isinstance(settings, Success):
        return Failure("; ".join(describe(problem) for problem in error_of(settings)))
    if not value_of(settings).workers:
        return Failure("the configuration names no workers any more: restart the server instead of reloading it")
    return settings


def start_control(command: ControlCommand, environment: Mapping[str, str]) -> ExitCode:
    """A control process in the foreground; its libraries are loaded for it alone."""
    code: ExitCode = import_module("tunnel.cli.control").run_by_hand(command, environment)
    return code


def run_migrate(command: MigrateCommand, environment: Mapping[str, str]) -> ExitCode:
    """The drivers of both databases are loaded for it alone."""
    code: ExitCode = import_module("tunnel.cli.migrating").run_migrate(command, environment)
    return code


def run_watch(command: WatchCommand, environment: Mapping[str, str]) -> ExitCode:
    """What a running server knows; the database it may look into is loaded for it alone."""
    code: ExitCode = import_module("tunnel.cli.watching").run_watch(command, environment)
    return code


def start_agent(command: HttpCommand, environment: Mapping[str, str]) -> ExitCode:
    """An agent until a signal, or until going on makes no sense."""
    settings = agent_settings(command, environment)
    if not isinstance(settings, Success):
        return refuse(error_of(settings))
    asked: AgentSettings = value_of(settings)
    token_file = command.token_file or environment.get("TUNNEL_TOKEN_FILE")
    for file, secret in ((token_file, "token"), (command.policy.basic_auth_file, "passwords")):
        warning = secret_file_warning(file, secret)
        if warning is not None:
            say(f"tunnel: warning: {warning}")
    return run_on_screen(lambda screen, stop: run_agent(asked, screen, stop), output_of_agent(command), environment)
