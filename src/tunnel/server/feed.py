"""What the feed of one process answers (ADR 0065); `server/merged_feed.py` asks all workers and answers as one."""

import os
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, final, runtime_checkable

from tunnel.core.base.ids import Instant, Label, SessionId
from tunnel.core.route.table import Lease
from tunnel.core.token.token import Token
from tunnel.drive.feed import Answer, Facts, Subscription
from tunnel.drive.link import Link
from tunnel.observe.escapes import handler_escapes_total
from tunnel.observe.measures import answer_of
from tunnel.server.gate import Gate
from tunnel.server.hub import Hub
from tunnel.server.measuring import measures

_REASON_CHARS_MAX: Final = 200
Answering: TypeAlias = Callable[[Facts], Answer]


@runtime_checkable
class Told(Protocol):
    """A session, as people want to know of it."""

    @property
    def token(self) -> Token | None:
        """What it was opened with."""

    @property
    def peer(self) -> str:
        """Where its agent dialled from."""

    @property
    def began_at(self) -> Instant:
        """When its connection was accepted."""

    @property
    def visitors(self) -> int:
        """Streams of visitors open now."""

    @property
    def link(self) -> Link:
        """Its link."""


@final
class HubFeed:
    """The answers of a process that serves. Lists are under `items`, so that those of several workers can be joined."""

    def __init__(self, hub: Hub, gate: Gate) -> None:
        self._hub: Final = hub
        self._gate: Final = gate
        self._host: Final = socket.gethostname()
        self._process: Final = hub.entropy.random_bytes(8).hex()
        """Names this process for as long as it runs."""
        self._answers: Final[dict[str, Answering]] = {
            "ping": self._ping,
            "health": self._health,
            "sessions": self._sessions,
            "endpoints": self._endpoints,
            "holder": self._holder,
            "recent": self._recent,
            "metrics": self._metrics,
            "directory": self._directory,
            "kick": self._kick,
            "drain": self._drain,
        }

    async def answer(self, question: str, facts: Facts) -> Answer:
        """At once: all of it is in this process."""
        found = self._answers.get(question)
        if found is None:
            known = ", ".join(sorted(self._answers))
            return {"ok": False, "detail": f"unknown question {question[:40]!r}; known are {known}, events"}
        return {"ok": True, **found(facts)}

    def subscribe(self) -> Subscription:
        """News from now on."""
        return self._hub.recent.subscribe()

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more."""
        self._hub.recent.unsubscribe(subscription)

    # Questions.

    def _ping(self, facts: Facts) -> Answer:
        return {"pid": os.getpid()}

    def _health(self, facts: Facts) -> Answer:
        hub = self._hub
        told: Answer = {
            "pid": os.getpid(),
            "sessions": len(hub.sessions),
            "visits": len(hub.visits),
            "draining": hub.is_draining,
            "handler_escapes": handler_escapes_total(),
            "directory": self._gate.facts(),
        }
        return {"items": [told], "directory": self._gate.facts()}

    def _sessions(self, facts: Facts) -> Answer:
        names: dict[SessionId, list[str]] = {}
        for lease in self._hub.table.leases():
            names.setdefault(lease.session, []).append(lease.name)
        told = [(number, session) for number, session in self._hub.sessions.items() if isinstance(session, Told)]
        return {"items": [self._session(number, session, names.get(number, [])) for number, session in told]}

    def _endpoints(self, facts: Facts) -> Answer:
        return {"items": [self._endpoint(lease) for lease in self._hub.table.leases() if self._is_here(lease)]}

    def _holder(self, facts: Facts) -> Answer:
        name, hub = Label(str(facts.get("name", ""))), self._hub
        owner = self._gate.directory.names.get(name)
        here = [self._endpoint(lease) for lease in hub.table.members(name) if self._is_here(lease)]
        told: Answer = {"name": name, "items": here, "reserved": "" if owner is None else owner.hex()}
        gone = dict(hub.table.offline_names()).get(name)
        if gone is not None and not hub.table.members(name):
            away = int(hub.clock.now() - gone.since)
            told["offline"] = {
                "account": gone.account.hex(),
                "since": hub.clock.unix() - away,
                "lapses": hub.clock.unix() - away + int(hub.limits.lease_lapse_seconds),
            }
        return told

    def _recent(self, facts: Facts) -> Answer:
        return {"items": [*self._hub.recent.of(str(facts.get("name", "")))]}

    def _metrics(self, facts: Facts) -> Answer:
        return answer_of(measures(self._hub, self._process))

    # Orders.

    def _directory(self, facts: Facts) -> Answer:
        return {"taken": self._gate.look_again(), **self._gate.facts()}

    def _kick(self, facts: Facts) -> Answer:
        reason = str(facts.get("reason", ""))[:_REASON_CHARS_MAX] or "no reason was given"
        ended = 0
        for number in self._meant(facts):
            session = self._hub.holder(number)
            if session is not None:
                session.dismiss(f"an operator ended this session: {reason}")
                ended += 1
        return {"count": ended}

    def _drain(self, facts: Facts) -> Answer:
        moved = 0
        for number in self._meant(facts):
            session = self._hub.holder(number)
            if session is not None:
                session.announce(self._hub.limits.grace_seconds)
                moved += 1
        return {"count": moved}

    # Helpers.

    def _meant(self, facts: Facts) -> list[SessionId]:
        """The sessions that an order is for: one by its number, or all that answer for a name."""
        number, name = facts.get("session"), facts.get("name")
        if isinstance(number, int):
            return [SessionId(number)]
        if isinstance(name, str):
            return sorted({lease.session for lease in self._hub.table.members(Label(name))})
        return []

    def _is_here(self, lease: Lease) -> bool:
        return lease.session in self._hub.sessions

    def _session(self, number: SessionId, session: "Told", names: list[str]) -> Answer:
        now, token = self._hub.clock.now(), session.token
        return {
            "session": number,
            "account": "" if token is None else token.account.hex(),
            "token": "" if token is None else token.token_id.hex(),
            "peer": session.peer,
            "host": self._host,
            "since": self._hub.clock.unix() - int(now - session.began_at),
            "heard_seconds": round(now - session.link.heard_at, 3),
            "streams": session.visitors,
            "names": names,
        }

    def _endpoint(self, lease: Lease) -> Answer:
        hub = self._hub
        session = hub.holder(lease.session)
        heard = 0.0 if session is None else hub.clock.now() - session.link.heard_at
        unix = hub.clock.unix()
        return {
            "name": lease.name,
            "kind": lease.kind.name.lower(),
            "session": lease.session,
            "epoch": lease.epoch,
            "account": lease.account.hex(),
            "token": lease.token_id.hex(),
            "peer": lease.peer,
            "host": self._host,
            "share": lease.share.name.lower(),
            "since": unix - int(hub.clock.now() - lease.since),
            "heartbeat": unix - int(heard),
            "lapses": unix - int(heard) + int(hub.limits.heartbeat_deadline_seconds),
            "outstanding": lease.outstanding,
            "healthy": not lease.health.is_down,
        }
