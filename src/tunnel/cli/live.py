"""The live status of a terminal: where, whether, and the newest requests, drawn in place (ADR 0022)."""

from typing import Final, final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tunnel.cli.status import Down, Link, Starting, Status, Stopped, Stopping, Up, after, after_hint, at_end
from tunnel.cli.words import printable, told_by
from tunnel.observe.events import Event, ExchangeDone

DRAWN_PER_SECOND: Final = 8
NAMES_SHOWN: Final = 5
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400


@final
class LiveScreen:
    """Draws the status from a thread of its own, eight times a second at most; the event loop only replaces a value.

    Finished after `close`, which leaves the last picture standing.
    """

    def __init__(self, title: str, console: Console, *, is_quiet: bool) -> None:
        self._title = title
        self._is_quiet = is_quiet
        self._status = Status()
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=DRAWN_PER_SECOND)
        self._live.start()

    def emit(self, event: Event) -> None:
        """Show one event."""
        self._status = after(self._status, told_by(event))

    def hint(self, text: str) -> None:
        """Show a hint below the URL."""
        self._status = after_hint(self._status, text)

    def close(self) -> None:
        """Draw once more and leave the picture."""
        self._status = at_end(self._status)
        self._live.stop()

    def _picture(self) -> Group:
        return picture(self._title, self._status, is_quiet=self._is_quiet)


def picture(title: str, status: Status, *, is_quiet: bool) -> Group:
    """The whole status, top to bottom. Texts of peers are `Text`, never markup."""
    head = Table.grid(padding=(0, 2))
    head.add_row(Text("link"), _link_text(status.link))
    if status.url:
        head.add_row(Text("url"), Text(printable(status.url), style="bold cyan"))
    for number, hint in enumerate(status.hints):
        head.add_row(Text("" if number else "try"), Text(printable(hint)))
    if status.agents is not None:
        head.add_row(Text("agents"), Text(str(status.agents)))
    if status.names:
        head.add_row(Text("names"), Text(_names_text(status.names)))
    head.add_row(Text("requests"), Text(_count_text(status)))
    notes = (Text(note, style="yellow") for note in status.notes)
    parts: list[Table | Text] = [Text(title, style="bold"), head, *notes]
    if status.newest and not is_quiet:
        parts.extend((Text(), *_requests(status.newest)))
    return Group(*parts)


_METHOD_CHARS: Final = 7
_TIME_CHARS: Final = 10
"""`12345.6 ms`."""


def _requests(newest: tuple[ExchangeDone, ...]) -> list[Text]:
    """One line each. The target stands last, where a narrow terminal may cut it: what became of it stays readable."""
    outcomes = ["" if event.outcome == "ok" else printable(event.outcome) for event in newest]
    widest = max((len(outcome) for outcome in outcomes), default=0)
    lines: list[Text] = []
    for event, outcome in zip(newest, outcomes, strict=True):
        line = Text(f"{printable(event.method):<{_METHOD_CHARS}} ", no_wrap=True, overflow="ellipsis")
        line.append(f"{event.status:>3} ", style=_status_style(event.status))
        if widest:
            line.append(f"{outcome:<{widest}} ", style="red")
        line.append(f"{f'{event.milliseconds:.1f} ms':>{_TIME_CHARS}}  {printable(event.target)}")
        lines.append(line)
    return lines


def _names_text(names: tuple[tuple[str, int], ...]) -> str:
    """The first few, and how many links answer for each if it is more than one."""
    shown = [printable(name) + (f" ({members} links)" if members > 1 else "") for name, members in names[:NAMES_SHOWN]]
    more = len(names) - NAMES_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _count_text(status: Status) -> str:
    return f"{status.requests}, {status.failures} failed" if status.failures else str(status.requests)


def _status_style(status: int) -> str:
    if status >= _SERVER_ERROR:
        return "bold red"
    return "yellow" if status >= _CLIENT_ERROR else "green"


def _link_text(link: Link) -> Text:
    match link:
        case Starting():
            return Text("connecting", style="yellow")
        case Up(up=up, of=of):
            return Text("up" if of == 1 else f"up, {up} of {of} links", style="bold green" if up == of else "yellow")
        case Down(told=told):
            return Text(told, style="bold red")
        case Stopping():
            return Text("stopping", style="yellow")
        case Stopped():
            return Text("stopped")
