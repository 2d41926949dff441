"""Events as words for people and as objects for programs."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from tunnel.core.token.moments import duration_text
from tunnel.observe.events import (
    AgentReady,
    ConnectionDone,
    ControlEnded,
    ControlReady,
    EndpointLapsed,
    Event,
    ExchangeDone,
    FromWorker,
    LinkLost,
    LinkRefused,
    LinkUp,
    LocalHealth,
    LocalUnreachable,
    MemberHealth,
    NameGranted,
    NameReleased,
    NotReloaded,
    Reloaded,
    Reloading,
    ServerReady,
    SessionEnded,
    SessionOpened,
    ShuttingDown,
    Warned,
    WorkerEnded,
    WorkerStarted,
)

EVENT_NAMES: Final[Mapping[type[Event], str]] = {
    ServerReady: "ready",
    AgentReady: "ready",
    ExchangeDone: "request",
    ConnectionDone: "connection",
    SessionOpened: "session_opened",
    SessionEnded: "session_ended",
    NameGranted: "name_granted",
    NameReleased: "name_released",
    EndpointLapsed: "endpoint_lapsed",
    MemberHealth: "member_health",
    LinkRefused: "link_refused",
    LinkUp: "link_up",
    LinkLost: "link_lost",
    LocalUnreachable: "local_unreachable",
    LocalHealth: "local_health",
    ShuttingDown: "shutting_down",
    Warned: "warning",
    WorkerStarted: "worker_started",
    WorkerEnded: "worker_ended",
    Reloading: "reloading",
    NotReloaded: "not_reloaded",
    Reloaded: "reloaded",
    ControlReady: "control_ready",
    ControlEnded: "control_ended",
}
"""The `event` of each object; a contract with programs (OPS-CLI-006)."""


def object_of(event: Event) -> dict[str, object]:
    """The event as a JSON object: its name first, then its fields by their own names, the URL before all others."""
    if isinstance(event, FromWorker):
        return {**object_of(event.event), "worker": event.worker}
    told: dict[str, object] = {"event": EVENT_NAMES[type(event)]}
    if isinstance(event, ServerReady):
        told["url"] = event.url_pattern
    for field in dataclasses.fields(event):
        if field.name != "url_pattern":
            told[field.name] = getattr(event, field.name)
    return told


def line_of(event: Event) -> str:
    """The event as one line, whatever the peer put into it."""
    return printable(_words(event))


def request_words(event: ExchangeDone) -> str:
    """Method, target, status, time, and what went wrong if anything did."""
    wrong = "" if event.outcome == "ok" else f" ({event.outcome})"
    return printable(f"{event.method} {event.target} {event.status} {event.milliseconds:.1f} ms{wrong}")


def connection_words(event: ConnectionDone) -> str:
    """Kind, name, bytes, time, and what went wrong if anything did."""
    wrong = "" if event.outcome == "ok" else f" ({event.outcome})"
    passed = f"{event.bytes_up} B up, {event.bytes_down} B down"
    return printable(f"{event.kind} {event.name} {passed} {event.milliseconds:.1f} ms{wrong}")


def printable(text: str) -> str:
    """The text with everything that could move a cursor or forge a line replaced."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _words(event: Event) -> str:
    match event:
        case ServerReady():
            return f"ready: {event.url_pattern} (visitors at {event.public}, agents at {event.agents})"
        case AgentReady():
            bound = f" (for {duration_text(event.seconds_left)})" if event.seconds_left else ""
            return f"ready: {event.url}{bound}"
        case ExchangeDone():
            return request_words(event)
        case ConnectionDone():
            return connection_words(event)
        case ShuttingDown():
            return f"stopping; what is running may go on for {event.grace_seconds:g} s"
        case Warned():
            return f"warning: {event.message}"
        case FromWorker():
            return f"worker {event.worker}: {_words(event.event)}"
        case WorkerStarted() | WorkerEnded() | Reloading() | NotReloaded() | Reloaded():
            return _worker_words(event)
        case ControlReady() | ControlEnded():
            return _control_words(event)
        case _:
            return _link_words(event)


def told_by(event: Event) -> Event:
    """The event itself, whichever worker told it."""
    return event.event if isinstance(event, FromWorker) else event


def _worker_words(event: WorkerStarted | WorkerEnded | Reloading | NotReloaded | Reloaded) -> str:
    match event:
        case WorkerStarted():
            return f"worker {event.worker} serves (process {event.pid})"
        case WorkerEnded():
            how = f"signal {-event.code}" if event.code < 0 else f"exit code {event.code}"
            asked = "ended" if event.expected else "died"
            words = f": {event.words}" if event.words else ""
            return f"worker {event.worker} {asked} (process {event.pid}, {how}){words}"
        case Reloading():
            return "reloading: new workers are started by what is on the disk now"
        case NotReloaded():
            return f"not reloaded, everything is as before: {event.reason}"
        case Reloaded():
            return f"reloaded: {event.workers} new workers serve after {event.seconds:.1f} s; the old ones finish"


def _control_words(event: ControlReady | ControlEnded) -> str:
    match event:
        case ControlReady():
            return f"dashboard and API at {event.url}"
        case ControlEnded():
            how = f"signal {-event.code}" if event.code < 0 else f"exit code {event.code}"
            words = f": {event.words}" if event.words else ""
            return f"the control process ended ({how}) and is begun again in {event.retry_seconds:.1f} s{words}"


def _link_words(
    event: SessionOpened
    | SessionEnded
    | NameGranted
    | NameReleased
    | EndpointLapsed
    | MemberHealth
    | LinkRefused
    | LinkUp
    | LinkLost
    | LocalUnreachable
    | LocalHealth,
) -> str:
    match event:
        case SessionOpened():
            return f"agent {event.session} connected from {event.peer} (account {event.account})"
        case SessionEnded():
            return f"agent {event.session} gone after {event.seconds:.0f} s: {event.reason}"
        case NameGranted():
            others = f", with {event.members - 1} more" if event.members > 1 else ""
            return f"agent {event.session} holds the name {event.name} (epoch {event.epoch}){others}"
        case NameReleased():
            return f"agent {event.session} holds the name {event.name} no more; {event.members or 'nobody'} left"
        case EndpointLapsed():
            return f"agent {event.session} had the name {event.name} for as long as it might"
        case MemberHealth():
            return f"agent {event.session} is {event.state} for {event.name}: {event.detail}"
        case LinkRefused():
            return f"agent from {event.peer} refused ({event.code}): {event.detail}"
        case _:
            return _agent_words(event)


def _agent_words(event: LinkUp | LinkLost | LocalUnreachable | LocalHealth) -> str:
    match event:
        case LinkUp():
            return f"link {event.link} is up; {event.up} of {event.of} links are"
        case LinkLost():
            left = f"{event.up} of {event.of} links left" if event.up else "no link"
            return f"{left}: {event.reason}; dialling again in {event.retry_seconds:.1f} s"
        case LocalUnreachable():
            return f"the local service {event.target} does not answer: {event.reason}"
        case LocalHealth():
            state = "passes its checks" if event.is_up else "fails its checks and gets no requests"
            return f"the local service {event.target} {state}: {event.detail}"
