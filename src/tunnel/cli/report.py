"""What a person is told on standard error when a command cannot be carried out or has come to its end."""

import sys

from tunnel.agent.end import AgentEnd
from tunnel.cli.exits import ExitCode, exit_of, sentence_of
from tunnel.cli.problems import Problem, describe
from tunnel.cli.words import printable
from tunnel.core.base.outcome import Outcome, Success, error_of
from tunnel.server.end import ServerEnd


def say(text: str) -> None:
    """Write lines to standard error; a reader that is gone is no error."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        return


def refuse(problems: tuple[Problem, ...]) -> ExitCode:
    """All problems, one a line, and the exit code for usage."""
    for problem in problems:
        say(f"tunnel: {describe(problem)}")
    return ExitCode.USAGE


def conclude(ended: Outcome[None, AgentEnd | ServerEnd] | None) -> ExitCode:
    """The exit code of a long-running command, and a sentence unless it ended as asked; None: it was cut off."""
    if ended is None:
        return ExitCode.CUT_OFF
    if isinstance(ended, Success):
        return ExitCode.OK
    end = error_of(ended)
    say(f"tunnel: {printable(sentence_of(end))}")
    return exit_of(end)
