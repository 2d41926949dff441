"""`tunnel reload`: new workers for a server that runs, by what is on the disk now."""

from typing import Final

from tunnel.cli.commands import ReloadCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.report import refuse, say
from tunnel.cli.settings import state_of
from tunnel.cli.words import printable
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.server.control import ask

_SECONDS: Final = 120.0
"""More than workers get to be ready; nobody waits for this who is not waiting for a server that hangs."""


def reload_server(command: ReloadCommand) -> ExitCode:
    """Reload, or say why the server goes on as before."""
    state = state_of(command)
    if not isinstance(state, Success):
        return refuse(error_of(state))
    asked = ask(value_of(state), "reload", _SECONDS)
    if not isinstance(asked, Success):
        say(f"tunnel: not reloaded: {printable(error_of(asked))}")
        return ExitCode.UNCHANGED
    answer = value_of(asked)
    if answer.get("ok") is not True:
        say(f"tunnel: not reloaded, the server goes on as before: {printable(str(answer.get('detail')))}")
        return ExitCode.UNCHANGED
    print(f"reloaded: {answer.get('workers')} new workers serve; the old ones finish what runs")
    return ExitCode.OK
