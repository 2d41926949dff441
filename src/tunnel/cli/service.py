"""`tunnel service`: a server or an agent that the system starts, watches and restarts (systemd)."""

import asyncio
import os
import pwd
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from tunnel.cli.arguments import read_arguments
from tunnel.cli.commands import HttpCommand, ServerCommand, ServiceCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import BadArgument, Problem, Problems
from tunnel.cli.report import refuse, say
from tunnel.cli.settings import server_settings
from tunnel.cli.units import Service, may_be_anybody, service_unit, socket_units
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.store.open import whole_url

_PATHS: Final = frozenset(
    ("--state", "--config", "--cert", "--key", "--keylog", "--ca", "--local-ca", "--token-file", "--basic-auth-file")
)
"""Flags whose value is a path: a service has another working directory than the one who installs it."""
_STOP_SECONDS: Final = 15.0
_SYSTEM_UNITS: Final = Path("/etc/systemd/system")


def run_service(command: ServiceCommand) -> ExitCode:
    """Install, uninstall, or show."""
    match command.action:
        case "install":
            return _install(command)
        case "uninstall":
            return _uninstall(command)
        case _:
            return _status(command)


def units_directory(command: ServiceCommand) -> Path:
    """Where the unit files belong."""
    if command.directory is not None:
        return Path(command.directory)
    if not command.is_of_user:
        return _SYSTEM_UNITS
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def service_of(command: ServiceCommand) -> Outcome[Service, Problems]:
    """What is to be installed, or what is wrong with it."""
    arguments = _absolute(command.arguments)
    inner = read_arguments(arguments)
    if isinstance(inner, ServerCommand):
        settings = server_settings(inner)
        if not isinstance(settings, Success):
            return settings
        asked = value_of(settings)
        arguments = [_absolute_database(each, asked.state) for each in arguments]
        service = Service(
            command.name or "tunnel-server",
            program(),
            tuple(arguments),
            asked.state,
            asked.public,
            asked.agents,
            is_reloadable=asked.workers > 0,
            stop_seconds=asked.limits.grace_seconds + _STOP_SECONDS,
            is_of_user=command.is_of_user,
            account="",
        )
    elif isinstance(inner, HttpCommand):
        named = command.name or f"tunnel-{inner.name or 'agent'}"
        grace = DEFAULT_LIMITS.grace_seconds + _STOP_SECONDS
        places = (program(), tuple(arguments), None, None, None)
        service = Service(
            named, *places, is_reloadable=False, stop_seconds=grace, is_of_user=command.is_of_user, account=""
        )
    else:
        return Failure(
            (BadArgument("service install", " ".join(arguments), "a server or an agent: server ..., http ..."),)
        )
    problems: list[Problem] = []
    if "-" in arguments:
        problems.append(BadArgument("--token-file", "-", "a file: a service has no standard input"))
    if problems:
        return Failure(tuple(problems))
    reached = reaches_anybody(Path(service.command[0]), Path(sys.executable), Path(sys.prefix), Path(__file__))
    anybody = may_be_anybody(service.state) and not _reads_secrets(arguments) and reached
    return Success(service if anybody else replace(service, account=_account()))


def program() -> tuple[str, ...]:
    """How to run this very program from anywhere."""
    script = Path(sys.executable).with_name("tunnel")
    return (str(script),) if script.exists() else (sys.executable, "-P", "-m", "tunnel")


def reaches_anybody(*programs: Path) -> bool:
    """Whether each can be used by a user made up by systemd: none is within a folder that is closed to others.

    An interpreter is often in somebody's home, which is; a unit would then end with 203/EXEC for ever.
    """
    folders = {folder for each in programs for way in (each.absolute(), each.resolve()) for folder in way.parents}
    try:
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)
    except OSError:
        return False


def _install(command: ServiceCommand) -> ExitCode:
    made = service_of(command)
    if not isinstance(made, Success):
        return refuse(error_of(made))
    service, directory = value_of(made), units_directory(command)
    files = {f"{service.name}.service": service_unit(service)}
    if command.with_sockets:
        files.update(socket_units(service))
    if command.is_dry_run:
        for name, text in files.items():
            print(f"# {directory / name}\n{text}")
        return ExitCode.OK
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if command.directory is None:
            _make_state(service)
        for name, text in files.items():
            (directory / name).write_text(text)
            print(f"wrote {directory / name}")
    except LookupError:
        say(f"tunnel: {service.account}: no such user, as whom the service would run; unset SUDO_USER or set it right")
        return ExitCode.USAGE
    except OSError as cause:
        say(f"tunnel: {cause.filename or directory}: {cause.strerror}; for a service of your own give --user")
        return ExitCode.USAGE
    wanted = [name for name in files if name.endswith(".socket")] or [f"{service.name}.service"]
    return _systemctl(command, ["daemon-reload"], ["enable", "--now", *wanted])


def _make_state(service: Service) -> None:
    """The directory it writes to, where systemd makes none: a unit that may write to what is not there never starts."""
    state = service.state
    if state is None or service.is_of_user or may_be_anybody(state) or state.exists():
        return
    state.mkdir(mode=0o700, parents=True)
    shutil.chown(state, service.account)
    print(f"made {state}, of {service.account}")


def _uninstall(command: ServiceCommand) -> ExitCode:
    name, directory = command.name or "tunnel-server", units_directory(command)
    found = [each for each in _file_names(name) if (directory / each).exists()]
    if not found:
        say(f"tunnel: no unit of {name} in {directory}")
        return ExitCode.USAGE
    if command.is_dry_run:
        print("\n".join(f"would remove {directory / each}" for each in found))
        return ExitCode.OK
    code = _systemctl(command, ["disable", "--now", *found])
    try:
        for each in found:
            (directory / each).unlink()
            print(f"removed {directory / each}")
    except OSError as cause:
        say(f"tunnel: {directory}: {cause.strerror}")
        return ExitCode.USAGE
    _systemctl(command, ["daemon-reload"])
    return code


def _status(command: ServiceCommand) -> ExitCode:
    name, directory = command.name or "tunnel-server", units_directory(command)
    found = [each for each in _file_names(name) if (directory / each).exists()]
    print("\n".join(f"{directory / each}" for each in found) or f"no unit of {name} in {directory}")
    return _systemctl(command, ["--no-pager", "status", *found]) if found else ExitCode.USAGE


def _systemctl(command: ServiceCommand, *calls: list[str]) -> ExitCode:
    """Each call, shown; OK when all went well. Units in a directory of one's own are nobody's to start."""
    if command.directory is not None:
        return ExitCode.OK
    found = shutil.which("systemctl")
    if found is None:
        say("tunnel: systemctl is not here; the unit files are, for when it is")
        return ExitCode.USAGE
    for call in calls:
        whole = [found, *(["--user"] if command.is_of_user else []), *call]
        print(f"$ {' '.join(['systemctl', *whole[1:]])}", flush=True)
        if asyncio.run(_called(whole)):
            return ExitCode.USAGE
    return ExitCode.OK


async def _called(command: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(*command)
    return await process.wait()


def _file_names(name: str) -> list[str]:
    return [f"{name}.service", f"{name}-public.socket", f"{name}-agents.socket"]


def _absolute(arguments: tuple[str, ...]) -> list[str]:
    """The arguments with every path made one that does not depend on where we are."""
    told: list[str] = []
    for each in arguments:
        flag, equals, value = each.partition("=")
        if told and told[-1] in _PATHS and each != "-":
            told.append(str(Path(each).absolute()))
        elif equals and flag in _PATHS and value != "-":
            told.append(f"{flag}={Path(value).absolute()}")
        else:
            told.append(each)
    return told


def _absolute_database(argument: str, state: Path) -> str:
    """The argument, where it names a file of SQLite with its whole path: a relative one is from the state directory."""
    flag, equals, value = argument.partition("=") if argument.startswith("--database=") else ("", "", argument)
    return f"{flag}{equals}{whole_url(value, state.absolute())}"


def _reads_secrets(arguments: list[str]) -> bool:
    """Whether files are named that a user made up by systemd could not read."""
    return any(each.partition("=")[0] in _PATHS - {"--state"} for each in arguments)


def _account() -> str:
    """Who installs it, also through sudo."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
