"""Whom a server has to do with, as its hub sees them: agents' sessions, visitors, and the ways between the two."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.outcome import Outcome
from tunnel.core.base.problem import Problem
from tunnel.core.directory.directory import Directory
from tunnel.core.link.preface import StreamPreface
from tunnel.core.route.table import Lease
from tunnel.drive.link import Link, StreamHandler


class OpenStream(Protocol):
    """A stream just opened for a visitor."""

    @property
    def link(self) -> Link:
        """The link that carries it."""

    @property
    def stream(self) -> StreamId:
        """Its number there."""

    @property
    def is_direct(self) -> bool:
        """Whether that link is the agent's own, so that a reset of the stream is the agent's word."""


@final
@dataclass(frozen=True, slots=True)
class VisitorStream:
    """A stream opened for a visitor."""

    link: Link
    stream: StreamId
    is_direct: bool = False


class Opener(Protocol):
    """Who opens streams to an agent: its session, or the way to the worker that has it."""

    def open_for(self, lease: Lease, preface: StreamPreface, handler: StreamHandler) -> Outcome[OpenStream, Problem]:
        """A stream for one visitor; the preface is queued already."""


class Elsewhere(Protocol):
    """The other workers of this server."""

    def opener(self, lease: Lease) -> Opener | None:
        """The way to the agent of a lease that is not here."""


class Session(Protocol):
    """One agent's link, as the visitors' side sees it."""

    @property
    def link(self) -> Link:
        """Its link."""

    @property
    def visitors(self) -> int:
        """Streams of visitors open now."""

    @property
    def is_needed(self) -> bool:
        """Whether its agent holds a name over this link."""

    def announce(self, grace_seconds: float) -> None:
        """Ask the agent to dial again; until it has, this link serves on."""

    def on_moved(self, lease: Lease, now: Instant) -> None:
        """The agent holds the name over a newer link: what runs here is the last."""

    def open_for(self, lease: Lease, preface: StreamPreface, handler: StreamHandler) -> Outcome[OpenStream, Problem]:
        """A stream for one visitor, if the lease still permits it; the preface is queued already."""

    def fence(self, lease: Lease, detail: str, now: Instant) -> None:
        """The lease is another's now: its streams end, and the agent is told."""

    def drain(self, grace_seconds: float, now: Instant) -> None:
        """Tell the agent that this server goes."""

    def supersede(self) -> None:
        """The same agent process has a newer link: end this one."""

    def judge(self, directory: Directory, now: Instant) -> None:
        """End, or give up what is not ours any more, if a directory says so."""

    def dismiss(self, detail: str) -> None:
        """An operator ended it: the agent is told, and does not come back by itself."""

    def close(self, reason: str) -> None:
        """End the link."""

    def abort_session(self) -> None:
        """End the link at once."""


@runtime_checkable
class Tenant(Protocol):
    """Who reads a visitor's stream, as the session that opened it sees it."""

    def holds(self, lease: Lease) -> bool:
        """Whether the current stream was opened under `lease`."""

    def on_fenced(self, now: Instant) -> None:
        """The lease of the current stream is another's now."""

    def on_agent_leaving(self, now: Instant) -> None:
        """The agent of the current stream takes no new one."""


@runtime_checkable
class Refusable(Protocol):
    """Who waits for a stream that may be refused after it was opened."""

    def on_stream_refused(self, problem: Problem, now: Instant) -> None:
        """There is no such stream; the handler is forgotten already."""


class Crossed(Protocol):
    """A visitor of another worker, on its way to one of our agents."""

    def cut(self) -> None:
        """Break it now."""


class Visit(Protocol):
    """One public connection, as the server that shuts down sees it."""

    def last_call(self) -> None:
        """Take one more request, if it comes, and close after its answer."""

    def drain(self) -> None:
        """Close when idle, else after the running exchange."""

    def cut(self) -> None:
        """Close now, whatever runs: the grace period is over."""

    def abort_session(self) -> None:
        """Close now."""
