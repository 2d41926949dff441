"""What one worker knows: every lease of the server in a table of its own, so that a request asks nobody.

The supervisor's words change it, and what is given up here. Besides, the worker's questions: each has an answer that
comes later.
"""

from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Epoch, Instant, Label, SessionId
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import first_keys, seconds_of
from tunnel.core.base.problem import AGENT_OFFLINE, EXPOSURE_OVER, Problem
from tunnel.core.cluster.codec import MessageReader, encode_message
from tunnel.core.cluster.errors import ClusterError, OutOfTurn
from tunnel.core.cluster.messages import (
    CLUSTER_VERSION,
    AskName,
    Attend,
    CutDone,
    DropSession,
    GiveUp,
    LeaseDown,
    LeaseEnd,
    LeaseHealth,
    LeaseUp,
    LookAgain,
    Message,
    NameDenied,
    NameGranted,
    NameOffline,
    NoteHealth,
    OpenSession,
    Ready,
    Retire,
    Serve,
    SessionOpened,
    SessionRefused,
    Supersede,
    Tally,
    WorkerDown,
    WorkerId,
    WorkerMessage,
    WorkerTally,
    WorkerUp,
)
from tunnel.core.cluster.tally import Used
from tunnel.core.link.messages import Expose, Hello
from tunnel.core.route.granting import claim_of
from tunnel.core.route.table import Lease, Offline, RouteTable, Unhealthy
from tunnel.core.token.codec import decode_token


@final
class LeaseGranted:
    """The answer to a question of the session that holds `lease`."""

    def __init__(self, lease: Lease) -> None:
        self.lease: Final = lease


@final
class LeaseOver:
    """A lease of any worker has ended. `end` FENCED is owed a `cut_done` once not one byte of it passes here."""

    def __init__(self, lease: Lease, worker: WorkerId, end: LeaseEnd) -> None:
        self.lease: Final = lease
        self.worker: Final = worker
        self.end: Final = end


@final
class PortServed:
    """The first lease of a public TCP port is in force: let its visitors in, at the sockets of this opening."""

    def __init__(self, opening: int, port: int, name: Label) -> None:
        self.opening: Final = opening
        self.port: Final = port
        self.name: Final = name


@final
class PortOver:
    """The last lease of a port has ended: its sockets are not needed any more."""

    def __init__(self, opening: int) -> None:
        self.opening: Final = opening


PASSED_MAX: Final = 4096
"""Leases that moved or lapsed and are remembered for visitors on the way: those of one reload, a second or two."""

ReplicaEvent: TypeAlias = (
    Serve
    | Retire
    | LookAgain
    | SessionOpened
    | SessionRefused
    | NameDenied
    | Supersede
    | WorkerUp
    | WorkerDown
    | LeaseGranted
    | LeaseOver
    | PortServed
    | PortOver
    | WorkerTally
)


@final
class Replica:
    """One worker's end of its conversation with the supervisor; it ends with that."""

    def __init__(self, table: RouteTable, number: WorkerId) -> None:
        self._table: Final = table
        self._number: Final = number
        self._reader: Final = MessageReader()
        self._leases: Final[dict[Epoch, tuple[Lease, WorkerId]]] = {}
        self._promised: Final[dict[Epoch, Lease]] = {}
        """Our own, until their agent is told: a visitor's stream that was there before would mean nothing to it."""
        self._passed: Final[dict[Epoch, Label]] = {}
        """Leases that are over, by whose name a visitor on the way is still helped."""
        self._ports: Final[dict[Epoch, tuple[int, int]]] = {}
        """Opening and port of each lease that was announced with one."""
        self._served: Final[dict[int, set[Epoch]]] = {}
        """Of each opening, the leases in force."""
        self._newest = Epoch(0)
        self._output = b""
        self._asked = 0
        self._say(Attend(CLUSTER_VERSION))

    # Getters.

    def lease(self, epoch: Epoch) -> Lease | None:
        """The lease in force under this epoch."""
        found = self._leases.get(epoch)
        return None if found is None else found[0]

    def is_coming(self, epoch: Epoch) -> bool:
        """Whether a lease of this epoch is yet to be announced here: another worker may have been told before."""
        return epoch > self._newest

    def successor(self, epoch: Epoch, now: Instant) -> Lease | None:
        """Who has the name of a lease that moved: a visitor that was on the way meanwhile goes there."""
        found = self._found_since(epoch, now)
        return found if isinstance(found, Lease) else None

    def refusal(self, epoch: Epoch, now: Instant) -> Problem:
        """What a visitor on the way to a lease that is over is told where there is no successor."""
        found = self._found_since(epoch, now)
        return EXPOSURE_OVER if isinstance(found, Offline) and found.has_lapsed else AGENT_OFFLINE

    def worker_of(self, lease: Lease) -> WorkerId | None:
        """Which worker has the link of a lease in force."""
        found = self._leases.get(lease.epoch)
        return None if found is None else found[1]

    def port_of(self, lease: Lease) -> int:
        """The public TCP port of a lease, or 0."""
        return self._ports.get(lease.epoch, (0, 0))[1]

    def leases_of(self, worker: WorkerId) -> list[Lease]:
        """What the sessions of a worker hold."""
        return [lease for lease, holder in self._leases.values() if holder == worker]

    # Commands.

    def ready(self) -> None:
        """Say that we could serve."""
        self._say(Ready())

    def open_session(self, hello: Hello, peer: str) -> int:
        """Ask for a session; answers the number under which the answer comes."""
        self._asked += 1
        self._say(OpenSession(self._asked, hello.instance, hello.link, hello.token, peer))
        return self._asked

    def ask_name(self, session: SessionId, asked: Expose) -> None:
        """Ask for a name; the answer names session and endpoint."""
        self._say(AskName(session, asked))

    def give_up(self, lease: Lease) -> None:
        """Give a name back for good, and say whether because its time was over: no visitor finds the lease here now."""
        if self.worker_of(lease) == self._number:
            self._table.remove(lease.name, lease.epoch)
        self._say(GiveUp(lease.name, lease.epoch, lease.has_lapsed))

    def drop_session(self, session: SessionId) -> None:
        """A session is over, or takes nothing new."""
        self._say(DropSession(session))

    def note_health(self, lease: Lease, *, is_up: bool) -> None:
        """Pass on what one of our agents says of its local service."""
        self._say(NoteHealth(lease.epoch, is_up))

    def tell_uses(self, uses: tuple[Used, ...]) -> None:
        """Tell the other workers what was used of limits here."""
        self._say(Tally(uses))

    def cut_done(self, lease: Lease) -> None:
        """Say that not one more byte of a fenced lease passes here."""
        self._say(CutDone(lease.epoch))

    def poll_output(self) -> bytes:
        """The bytes for the supervisor, handed over once."""
        output, self._output = self._output, b""
        return output

    # The world.

    def on_worker_unreachable(self, worker: WorkerId, now: Instant) -> None:
        """Another worker does not answer: its names are without an agent here, until it does or the supervisor says."""
        for lease in self.leases_of(worker):
            self._table.remove(lease.name, lease.epoch)
            self._table.note_offline(lease.name, lease.account, now, lease.kind)

    def on_worker_reachable(self, worker: WorkerId) -> None:
        """Another worker answers again."""
        for lease in self.leases_of(worker):
            self._table.install(lease)

    def receive(self, data: bytes, now: Instant) -> Outcome[list[ReplicaEvent], ClusterError]:
        """What the supervisor's words mean for us; the table is brought up to date before. An error is final."""
        read = self._reader.receive(data)
        if not isinstance(read, Success):
            return Failure(error_of(read))
        events: list[ReplicaEvent] = []
        for message in value_of(read):
            wrong = self._take(message, now, events)
            if wrong is not None:
                return Failure(wrong)
        return Success(events)

    # Helpers.

    def _take(self, message: Message, now: Instant, events: list[ReplicaEvent]) -> OutOfTurn | None:
        match message:
            case LeaseUp():
                return self._install(message, now, events)
            case LeaseDown():
                self._remove(message, now, events)
            case NameGranted():
                lease = self._promised.pop(message.epoch, None)
                if lease is not None:
                    self._hold(lease, self._number, events)
                    events.append(LeaseGranted(lease))
            case NameOffline():
                since = Instant(now - seconds_of(message.seconds))
                self._table.note_offline(
                    message.name, message.account, since, message.kind, has_lapsed=message.has_lapsed
                )
            case LeaseHealth():
                held = self.lease(message.epoch)
                if held is not None:
                    self._table.on_health(held, is_up=message.is_up)
            case (
                Attend()
                | Ready()
                | OpenSession()
                | AskName()
                | GiveUp()
                | DropSession()
                | CutDone()
                | NoteHealth()
                | Tally()
            ):
                return OutOfTurn(message.message_kind)
            case _:
                events.append(message)
        return None

    def _install(self, word: LeaseUp, now: Instant, events: list[ReplicaEvent]) -> OutOfTurn | None:
        decoded = decode_token(word.token)
        if not isinstance(decoded, Success):
            return OutOfTurn(word.message_kind)
        claim = claim_of(word.asked, word.name, word.session, value_of(decoded), word.peer)
        lease = self._table.lease_for(claim, word.epoch, now, word.instance)
        lease.distance = 0 if word.worker == self._number else 1
        if word.opening:
            self._ports[word.epoch] = (word.opening, word.port)
        if word.worker == self._number:
            self._promised[word.epoch] = lease
        else:
            self._hold(lease, word.worker, events)
        return None

    def _hold(self, lease: Lease, worker: WorkerId, events: list[ReplicaEvent]) -> None:
        opening, port = self._ports.get(lease.epoch, (0, 0))
        if opening and opening not in self._served:
            self._served[opening] = set()
            events.append(PortServed(opening, port, lease.name))
        self._served.get(opening, set()).add(lease.epoch)
        self._leases[lease.epoch] = (lease, worker)
        self._table.install(lease)
        self._newest = max(self._newest, lease.epoch)

    def _remove(self, word: LeaseDown, now: Instant, events: list[ReplicaEvent]) -> None:
        self._table.remove(word.name, word.epoch)
        found = self._leases.pop(word.epoch, None)
        self._leave_port(word.epoch, events)
        if found is None:
            if word.end is LeaseEnd.FENCED:
                self._say(CutDone(word.epoch))  # it was never known here, so nothing of it passes
            return
        lease, worker = found
        if word.end is LeaseEnd.MOVED or word.end is LeaseEnd.LAPSED:
            self._passed[word.epoch] = word.name
            for epoch in first_keys(self._passed, len(self._passed) - PASSED_MAX):
                self._passed.pop(epoch, None)
        if word.end is LeaseEnd.OFFLINE:
            self._table.note_offline(lease.name, lease.account, now, lease.kind)
        elif word.end is LeaseEnd.LAPSED:
            lease.has_lapsed = True
            self._table.note_lapsed(lease, now)
        events.append(LeaseOver(lease, worker, word.end))

    def _found_since(self, epoch: Epoch, now: Instant) -> Lease | Unhealthy | Offline | None:
        name = self._passed.get(epoch)
        return None if name is None else self._table.find(name, now)

    def _leave_port(self, epoch: Epoch, events: list[ReplicaEvent]) -> None:
        opening, _ = self._ports.pop(epoch, (0, 0))
        held = self._served.get(opening)
        if held is not None:
            held.discard(epoch)
            if not held:
                self._served.pop(opening, None)
                events.append(PortOver(opening))

    def _say(self, message: WorkerMessage) -> None:
        self._output += encode_message(message)
