"""Exit codes: a contract with scripts (OPS-CLI-002). The table is also part of `tunnel --help`."""

from enum import IntEnum
from typing import Final, final

from tunnel.agent.end import (
    AgentEnd,
    ExposureOver,
    NameDenied,
    NotAuthorised,
    PortDenied,
    ServerUntrusted,
    SettingsUnusable,
)
from tunnel.server.end import CannotListen, ServerEnd, StateUnusable, WorkersUnable


@final
class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    UNCHANGED = 1
    USAGE = 2
    NAME_TAKEN = 3
    NOT_AUTHORISED = 4
    NETWORK = 5
    INTERNAL = 6
    LAPSED = 7
    TAMPERED = 8
    CUT_OFF = 130


EXIT_HELP: Final = """\
exit codes:
  0    done, or ended in order by Ctrl-C or SIGTERM
  1    not reloaded, no such session, or migrations pending; all is as before
  2    usage: an argument or a file of ours is not right, or the store says no
  3    the name or the port is taken by somebody else
  4    not authorised: the token was refused or does not permit this
  5    network: an address, the database, a running server or Stripe cannot be
       reached or used, or the server cannot be trusted
  6    internal: a defect of this program; please report it
  7    of http, tcp, tls: the time of the exposure is over
  8    of audit verify: tampered with, the export is not what was written
  130  cut off by a second Ctrl-C or SIGTERM
"""


def exit_of(end: AgentEnd | ServerEnd) -> ExitCode:
    """The exit code of an end that nobody asked for."""
    match end:
        case NameDenied() | PortDenied():
            return ExitCode.NAME_TAKEN
        case NotAuthorised():
            return ExitCode.NOT_AUTHORISED
        case ServerUntrusted() | CannotListen():
            return ExitCode.NETWORK
        case SettingsUnusable() | StateUnusable():
            return ExitCode.USAGE
        case WorkersUnable():
            return ExitCode.INTERNAL
        case ExposureOver():
            return ExitCode.LAPSED


def sentence_of(end: AgentEnd | ServerEnd) -> str:
    """What happened and what to do about it."""
    match end:
        case NameDenied(name=name, detail=detail):
            return f"the name {name!r} is not ours: {detail} Leave --name out for any free one."
        case PortDenied(detail=detail):
            return f"the port is not ours: {detail}"
        case NotAuthorised(code=code, detail=detail):
            return f"not authorised ({code}): {detail}"
        case ServerUntrusted(server=server, detail=detail):
            return f"cannot trust {server}: {detail}; for a private authority give its certificate with --ca F"
        case ExposureOver(name=name, detail=detail):
            return f"{name!r} is exposed no more: {detail}"
        case CannotListen(address=address, detail=detail):
            return f"cannot listen on {address}: {detail}"
        case WorkersUnable(detail=detail):
            return f"no worker could be started: {detail}"
        case SettingsUnusable(what=what, detail=detail) | StateUnusable(what=what, detail=detail):
            return f"{what}: {detail}"
