"""The `tunnel` command: arguments to settings, settings to a running thing, its end to an exit code."""

import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tunnel import __version__
from tunnel.cli.arguments import read_arguments
from tunnel.cli.build import core_mode
from tunnel.cli.commands import (
    AuditCommand,
    AuditExportCommand,
    AuditKeyCommand,
    AuditVerifyCommand,
    CheckCommand,
    Command,
    ControlCommand,
    DemoCommand,
    ExplainCommand,
    HttpCommand,
    MigrateCommand,
    NarrowCommand,
    ReloadCommand,
    ServerCommand,
    ServiceCommand,
    SessionsCommand,
    StoreCommand,
    VersionCommand,
    WatchCommand,
    WhoHoldsCommand,
)
from tunnel.cli.config import load_config
from tunnel.cli.exits import ExitCode
from tunnel.cli.report import refuse, say
from tunnel.cli.tokens import explained, narrowed
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.observe.escapes import escape_stories, handler_escapes_total


def main() -> NoReturn:
    """Run the command that was typed and end the process with its exit code."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> ExitCode:
    """The exit code of the command. argparse ends the process by itself after `--help` and usage errors."""
    before = handler_escapes_total()
    try:
        code = _run(read_arguments(arguments), environment)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has what it wanted, as in `| head -1`; the interpreter flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:  # before or after the event loop, which takes signals itself
        return ExitCode.CUT_OFF
    except Exception:  # noqa: BLE001 - a defect of ours is an exit code and a report, too
        say(f"internal error; please report this:\n{traceback.format_exc()}")
        return ExitCode.INTERNAL
    if handler_escapes_total() > before:
        told = "\n".join(escape_stories())
        say(f"internal error: the last guard had to end a session; please report this:\n{told}")
        return ExitCode.INTERNAL
    return code


def _run(command: Command, environment: Mapping[str, str]) -> ExitCode:
    match command:
        case VersionCommand():
            print(f"tunnel {__version__} (core {core_mode()})")
            return ExitCode.OK
        case CheckCommand():
            return _check(command)
        case ExplainCommand():
            return _explain(command)
        case NarrowCommand():
            return _narrow(command)
        case DemoCommand():
            from tunnel.cli.demo import start_demo  # noqa: PLC0415 - its web server costs every other command 0.2 s

            return start_demo(command, environment)
        case _:
            return _start(command, environment)


def _start(
    command: ServerCommand
    | ControlCommand
    | ReloadCommand
    | ServiceCommand
    | HttpCommand
    | AuditCommand
    | StoreCommand
    | WatchCommand
    | MigrateCommand,
    environment: Mapping[str, str],
) -> ExitCode:
    from tunnel.cli import start  # noqa: PLC0415 - likewise, 0.2 s for the short commands

    match command:
        case ServerCommand():
            return start.start_server(command, environment)
        case ControlCommand():
            return start.start_control(command, environment)
        case ReloadCommand():
            return start.reload_server(command)
        case ServiceCommand():
            return start.run_service(command)
        case HttpCommand():
            return start.start_agent(command, environment)
        case AuditExportCommand() | AuditVerifyCommand() | AuditKeyCommand():
            return start.run_audit(command, environment)
        case WhoHoldsCommand() | SessionsCommand():
            return start.run_watch(command, environment)
        case MigrateCommand():
            return start.run_migrate(command, environment)
        case _:
            return start.run_store_command(command, environment)


def _check(command: CheckCommand) -> ExitCode:
    loaded = load_config(Path(command.file))
    if not isinstance(loaded, Success):
        return refuse(error_of(loaded))
    print(f"{command.file}: ok")
    return ExitCode.OK


def _explain(command: ExplainCommand) -> ExitCode:
    words = explained(command.file, _now())
    if not isinstance(words, Success):
        return refuse((error_of(words),))
    print("\n".join(value_of(words)))
    return ExitCode.OK


def _narrow(command: NarrowCommand) -> ExitCode:
    words = narrowed(command, _now())
    if not isinstance(words, Success):
        return refuse(error_of(words))
    say(f"token written to {command.out}")
    say("\n".join(value_of(words)))
    return ExitCode.OK


def _now() -> UnixSeconds:
    return UnixSeconds(int(time.time()))
