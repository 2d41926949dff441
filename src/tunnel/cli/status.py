"""The state of a running command as one immutable value, and what each event makes of it; `live.py` draws it."""

from dataclasses import dataclass, replace
from typing import Final, TypeAlias, final

from tunnel.cli.words import line_of
from tunnel.observe.events import (
    AgentReady,
    Event,
    ExchangeDone,
    LinkLost,
    LinkUp,
    NameGranted,
    NameReleased,
    ServerReady,
    SessionEnded,
    SessionOpened,
    ShuttingDown,
)

REQUESTS_SHOWN: Final = 10
HINTS_SHOWN: Final = 3
NOTES_SHOWN: Final = 3


@final
@dataclass(frozen=True, slots=True)
class Starting:
    """Nothing is ready yet."""


@final
@dataclass(frozen=True, slots=True)
class Up:
    """Requests can come, over `up` of all `of` links."""

    up: int = 1
    of: int = 1


@final
@dataclass(frozen=True, slots=True)
class Down:
    """The agent has no link; `told` says why and what happens next."""

    told: str


@final
@dataclass(frozen=True, slots=True)
class Stopping:
    """No new request is taken."""


@final
@dataclass(frozen=True, slots=True)
class Stopped:
    """The end."""


Link: TypeAlias = Starting | Up | Down | Stopping | Stopped


@final
@dataclass(frozen=True, slots=True)
class Status:
    """Everything a person sees: where, whether, how much, and the newest requests and notes, oldest first."""

    url: str = ""
    link: Link = Starting()
    agents: int | None = None
    names: tuple[tuple[str, int], ...] = ()
    """The names of a server that are answered, in order, and by how many links each."""
    requests: int = 0
    failures: int = 0
    newest: tuple[ExchangeDone, ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def after(status: Status, event: Event) -> Status:
    """The status once `event` has happened."""
    match event:
        case ServerReady():
            return replace(status, url=event.url_pattern, link=Up(), agents=status.agents or 0)
        case AgentReady():
            return replace(status, url=event.url, link=Up())
        case LinkUp():
            return replace(status, link=Up(event.up, event.of))
        case LinkLost():
            return replace(status, link=Up(event.up, event.of) if event.up else Down(line_of(event)))
        case ShuttingDown():
            return replace(status, link=Stopping())
        case SessionOpened():
            return replace(status, agents=(status.agents or 0) + 1)
        case SessionEnded():
            return replace(status, agents=max((status.agents or 0) - 1, 0))
        case ExchangeDone():
            return _after_request(status, event)
        case NameGranted() | NameReleased():
            return replace(status, names=_names_after(status.names, event))
        case _:
            return replace(status, notes=(*status.notes, line_of(event))[-NOTES_SHOWN:])


def _names_after(names: tuple[tuple[str, int], ...], event: NameGranted | NameReleased) -> tuple[tuple[str, int], ...]:
    others = [each for each in names if each[0] != event.name]
    return tuple(sorted([*others, (event.name, event.members)] if event.members else others))


def _after_request(status: Status, event: ExchangeDone) -> Status:
    return replace(
        status,
        requests=status.requests + 1,
        failures=status.failures + (event.outcome != "ok"),
        newest=(*status.newest, event)[-REQUESTS_SHOWN:],
    )


def after_hint(status: Status, text: str) -> Status:
    """The status with one more hint that a person can use."""
    return replace(status, hints=(*status.hints, text)[-HINTS_SHOWN:])


def at_end(status: Status) -> Status:
    """The status that is left standing."""
    return replace(status, link=Stopped())
