"""The flags that say how a command that runs on tells what happens."""

from argparse import ArgumentParser, Namespace
from typing import Final

from tunnel.cli.commands import Output
from tunnel.cli.places import LOG_FORMATS

_KEYLOG: Final = "append the keys of TLS to this file, to read captures in Wireshark; for debugging only"
_LOG: Final = "a log on standard error in place of the screen: one line an exchange, a session, an event"
_JSON: Final = 'one JSON object a line on standard output, the first {"event":"ready","url":...}'


class OutputTyped(Namespace):
    """What argparse fills in of them."""

    output: str | None = None
    quiet: bool = False
    log_format: str | None = None
    keylog: str | None = None


def output_of(typed: OutputTyped) -> Output:
    """What was asked for."""
    return Output(is_json=typed.output == "json", is_quiet=typed.quiet, log_format=typed.log_format)


def add_output(parser: ArgumentParser) -> None:
    """What every such command takes."""
    parser.add_argument("--output", choices=["json"], help=_JSON)
    parser.add_argument("--quiet", action="store_true", help="say nothing of single requests")
    parser.add_argument("--log-format", choices=LOG_FORMATS, help=_LOG)


def add_keylog(parser: ArgumentParser) -> None:
    """What those take that have links."""
    parser.add_argument("--keylog", metavar="F", help=_KEYLOG)
