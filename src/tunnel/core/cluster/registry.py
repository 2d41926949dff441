"""The one authority over the names of all workers: who asks, what is decided, and who is to be told.

A name passes from one agent to another in two steps. Every worker first says that not one more byte of the old lease
passes there (`CutDone`); only then is the new lease announced. So fencing is exact over all processes.
"""

from dataclasses import replace
from typing import Final, final

from tunnel.core.base.ids import Epoch, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import whole_seconds
from tunnel.core.cluster.errors import ClusterError, OtherVersion, OutOfTurn
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
    SupervisorMessage,
    Tally,
    WorkerDown,
    WorkerId,
    WorkerTally,
    WorkerUp,
)
from tunnel.core.cluster.ports import PortDesk, PortOrder
from tunnel.core.cluster.roster import Member, Uncut, Worker
from tunnel.core.directory.directory import UNTOLD, Directory
from tunnel.core.link.messages import DenialCode
from tunnel.core.route.errors import describe
from tunnel.core.route.granting import Denial, Granting, expose
from tunnel.core.route.table import Claimed, Lease, RouteTable
from tunnel.core.token.codec import decode_token


@final
class ClusterRegistry:
    """Sessions, names and workers of one server; it lives as long as its supervisor."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._table: Final = RouteTable(limits)
        self._workers: Final[dict[WorkerId, Worker]] = {}
        self._members: Final[dict[SessionId, Member]] = {}
        self._announced: Final[dict[Epoch, LeaseUp]] = {}
        self._waiting: Final[dict[Epoch, LeaseUp]] = {}
        """Decided, and announced as soon as their name is in `_uncut` no more."""
        self._uncut: Final[dict[Label, Uncut]] = {}
        self._desk: Final = PortDesk()
        self._behind: Final[dict[Epoch, list[Lease]]] = {}
        """What moves to a waiting lease, and ends behind its announcement."""
        self._down: Final[set[Epoch]] = set()
        """Leases whose agent says that its local service fails its checks."""
        self._output: list[tuple[WorkerId, SupervisorMessage]] = []
        self._directory = UNTOLD
        self._sessions_begun = 0

    # Getters.

    def is_ready(self, worker: WorkerId) -> bool:
        """Whether the worker has said that it could serve."""
        found = self._workers.get(worker)
        return found is not None and found.is_ready

    def session_count(self) -> int:
        """Sessions of all workers."""
        return len(self._members)

    def names(self) -> list[str]:
        """The names that are announced, in order."""
        return sorted(word.name for word in self._announced.values())

    def overdue(self, now: Instant) -> list[WorkerId]:
        """Workers that have not cut a fenced lease in time: they hold others up and may still pass its bytes."""
        late: set[WorkerId] = set()
        for uncut in list(self._uncut.values()):
            if now - uncut.since >= self._limits.worker_answer_seconds_max:
                late.update(worker for worker, _ in uncut.awaited)
        return sorted(late)

    # Commands of the supervisor.

    def serve(self, worker: WorkerId) -> None:
        """Let a worker that is ready accept connections."""
        self._say(worker, Serve())

    def retire(self, worker: WorkerId) -> None:
        """Let a worker accept nothing more and end; its agents move while their old links still serve."""
        found = self._workers.get(worker)
        if found is not None and not found.is_retiring:
            found.is_retiring = True
            self._say(worker, Retire())

    def end(self) -> None:
        """All workers are to end: an agent that dials another one meanwhile cuts nothing that its older link runs."""
        for each in self._workers.values():
            each.is_retiring = True

    def learn(self, directory: Directory) -> None:
        """Decide by this directory from now on, and let the workers look at it, too."""
        self._directory = directory
        self._tell_all(LookAgain())

    def poll_output(self) -> list[tuple[WorkerId, SupervisorMessage]]:
        """What to tell whom, in order, handed over once."""
        output, self._output = self._output, []
        return output

    def poll_ports(self) -> list[PortOrder]:
        """What to do with public TCP ports, in order, handed over once."""
        return self._desk.poll_orders()

    # The world.

    def on_port(self, lease: Lease, port: int, opening: int) -> None:
        """The port of a lease accepts connections; workers are given its sockets under this number."""
        word = self._waiting.get(lease.epoch)
        if word is not None:
            self._waiting[lease.epoch] = replace(word, port=port, opening=opening)
            self._desk.settle(lease.epoch)
            self._announce(lease.name)

    def on_no_port(self, lease: Lease, denial: Denial) -> None:
        """There is no port for a lease, so the name is given back; what it replaced has ended all the same."""
        word = self._waiting.pop(lease.epoch, None)
        if word is not None:
            self._desk.settle(lease.epoch)
            self._table.withdraw(lease.name, lease.epoch)
            self._say(word.worker, NameDenied(lease.session, lease.endpoint, denial.code, denial.detail))
            self._end_moved(lease.epoch)

    def on_worker(self, worker: WorkerId, path: str) -> None:
        """A worker process was started; `path` is where the others reach it."""
        self._workers[worker] = Worker(path)

    def on_worker_lost(self, worker: WorkerId, now: Instant) -> None:
        """A worker process is gone, and with it its sessions; a second call does nothing."""
        lost = self._workers.pop(worker, None)
        if lost is None:
            return
        for session in sorted(lost.sessions):
            self._drop(session, now)
        self._tell_all(WorkerDown(worker))
        for name, uncut in list(self._uncut.items()):
            for key in list(uncut.awaited):
                if key[0] == worker:
                    uncut.awaited.discard(key)
            self._announce(name)

    def receive(
        self, worker: WorkerId, message: Message, now: Instant, unix: UnixSeconds, entropy: bytes
    ) -> Outcome[None, ClusterError]:
        """What a worker said; after an error it is to be ended. `entropy`: 16 bytes, for one who asks for any name."""
        found = self._workers.get(worker)
        if found is None:
            return Success(None)
        if isinstance(message, Attend) and not found.has_attended:
            return self._attend(worker, found, message, now)
        if not found.has_attended:
            return Failure(OutOfTurn(message.message_kind))
        if isinstance(message, OpenSession):
            return self._open(worker, found, message)
        if isinstance(message, AskName):
            return self._ask(worker, message, now, unix, entropy)
        return self._note(worker, found, message, now)

    # Helpers.

    def _note(self, worker: WorkerId, found: Worker, message: Message, now: Instant) -> Outcome[None, ClusterError]:
        match message:
            case Ready():
                found.is_ready = True
            case GiveUp():
                self._give_up(worker, message, now)
            case DropSession():
                if message.session in found.sessions:
                    self._drop(message.session, now)
            case CutDone():
                self._cut(worker, message.epoch)
            case NoteHealth():
                self._note_health(worker, message)
            case Tally():
                self._tell_others(worker, WorkerTally(worker, message.uses))
            case _:
                return Failure(OutOfTurn(message.message_kind))
        return Success(None)

    def _attend(self, worker: WorkerId, found: Worker, message: Attend, now: Instant) -> Outcome[None, ClusterError]:
        """Bring a worker up to date, and make it known to the others."""
        if message.version != CLUSTER_VERSION:
            return Failure(OtherVersion(message.version))
        self._tell_all(WorkerUp(worker, found.path))
        found.has_attended = True
        for number, other in list(self._workers.items()):
            if number != worker and other.has_attended:
                self._say(worker, WorkerUp(number, other.path))
        for word in list(self._announced.values()):
            self._say(worker, word)
            if word.epoch in self._down:
                self._say(worker, LeaseHealth(word.epoch, is_up=False))
        for name, gone in self._table.offline_names():
            ago = whole_seconds(now - gone.since)
            self._say(worker, NameOffline(name, gone.account, ago, gone.kind, gone.has_lapsed))
        if self._directory.is_known:
            self._say(worker, LookAgain())  # what the worker read at its start may be older
        return Success(None)

    def _open(self, worker: WorkerId, found: Worker, message: OpenSession) -> Outcome[None, ClusterError]:
        decoded = decode_token(message.token)
        if not isinstance(decoded, Success):
            return Failure(OutOfTurn(message.message_kind))
        session = SessionId(self._sessions_begun + 1)
        opened = self._table.open_session(session, value_of(decoded), message.instance, message.link)
        if not isinstance(opened, Success):
            self._say(worker, SessionRefused(message.asking, describe(error_of(opened))))
            return Success(None)
        self._sessions_begun = session
        self._members[session] = Member(worker, message, value_of(decoded))
        found.sessions.add(session)
        self._supersede(value_of(opened).retired)
        self._say(worker, SessionOpened(message.asking, session))
        return Success(None)

    def _supersede(self, retired: SessionId | None) -> None:
        """End the older link of an agent that came back; if it was asked to come back, what runs there may finish."""
        member = None if retired is None else self._members.get(retired)
        if retired is not None and member is not None and not self._is_retiring(member.worker):
            self._say(member.worker, Supersede(retired))

    def _ask(
        self, worker: WorkerId, message: AskName, now: Instant, unix: UnixSeconds, entropy: bytes
    ) -> Outcome[None, ClusterError]:
        member = self._members.get(message.session)
        if member is None:
            return Success(None)  # it ended while the question was on its way
        if member.worker != worker:
            return Failure(OutOfTurn(message.message_kind))
        granting = Granting(self._table, member.token, message.session, member.peer, unix, now, self._directory)
        decided = expose(message.asked, granting, entropy)
        if isinstance(decided, Success):
            self._grant(member, message, value_of(decided), now)
        else:
            denial = error_of(decided)
            asked = message.asked
            self._say(worker, NameDenied(message.session, asked.endpoint, denial.code, denial.detail))
        return Success(None)

    def _grant(self, member: Member, message: AskName, claimed: Claimed, now: Instant) -> None:
        lease = claimed.lease
        word = LeaseUp(
            member.worker,
            lease.session,
            lease.epoch,
            lease.name,
            member.raw_token,
            message.asked,
            member.peer,
            member.instance,
        )
        self._desk.want(lease, message.asked.port)
        moved = [fenced for fenced in claimed.fenced if self._is_move(fenced, member)]
        for fenced in claimed.fenced:
            if fenced not in moved:
                self._end_fenced(fenced, now)
        self._waiting[lease.epoch] = word
        # Behind its successor, so that a move leaves no moment in which nobody answers. It never waits for a cut: that
        # is only while nothing of the name is announced, and what moves is.
        self._behind[lease.epoch] = moved
        self._announce(lease.name)

    def _end_fenced(self, fenced: Lease, now: Instant) -> None:
        """Take a lease out of force for the sake of another."""
        overtaken = self._waiting.pop(fenced.epoch, None)
        if overtaken is not None:
            # Never announced: its asker hears no.
            detail = f"A newer agent with the same token took `{fenced.name}`; stop one of the two."
            denied = NameDenied(fenced.session, fenced.endpoint, DenialCode.NAME_TAKEN, detail)
            self._say(overtaken.worker, denied)
            self._desk.leave(fenced, for_good=False)
            self._end_moved(fenced.epoch)
            return
        self._take_down(fenced, LeaseEnd.FENCED)
        uncut = self._uncut.get(fenced.name) or Uncut(now)
        uncut.awaited.update([(worker, fenced.epoch) for worker, each in self._workers.items() if each.has_attended])
        self._uncut[fenced.name] = uncut

    def _is_move(self, lease: Lease, by: Member) -> bool:
        """Whether an agent leaves a worker that retires: then what runs there may finish."""
        holder = self._members.get(lease.session)
        was_told = lease.epoch in self._announced
        return was_told and holder is not None and holder.instance == by.instance and self._is_retiring(holder.worker)

    def _announce(self, name: Label) -> None:
        """Let everybody know what was decided about a name, once nothing of what was before is left anywhere."""
        uncut = self._uncut.get(name)
        if uncut is not None and uncut.awaited:
            return
        self._uncut.pop(name, None)
        for epoch, word in list(self._waiting.items()):
            if word.name == name and not self._desk.is_waiting(epoch):
                self._waiting.pop(epoch, None)
                self._announced[epoch] = word
                self._tell_all(word)
                self._say(word.worker, NameGranted(word.session, epoch))
                self._end_moved(epoch)

    def _end_moved(self, successor: Epoch) -> None:
        for past in self._behind.pop(successor, []):
            self._take_down(past, LeaseEnd.MOVED)

    def _cut(self, worker: WorkerId, fenced: Epoch) -> None:
        for name, uncut in list(self._uncut.items()):
            uncut.awaited.discard((worker, fenced))
            self._announce(name)

    def _give_up(self, worker: WorkerId, message: GiveUp, now: Instant) -> None:
        """A name is free at once, but for one whose time was over: that is its account's for a while (ADR 0096)."""
        word = self._announced.get(message.epoch)
        lease = None
        if word is not None and word.worker == worker:
            lease = self._table.withdraw(word.name, word.epoch)
        if lease is None:
            return
        if message.has_lapsed:
            self._table.note_lapsed(lease, now)
        self._take_down(lease, LeaseEnd.LAPSED if message.has_lapsed else LeaseEnd.FREE)

    def _drop(self, session: SessionId, now: Instant) -> None:
        member = self._members.pop(session, None)
        holder = None if member is None else self._workers.get(member.worker)
        if holder is not None:
            holder.sessions.discard(session)
        for lease in self._table.drop_session(session, now):
            self._waiting.pop(lease.epoch, None)
            self._take_down(lease, LeaseEnd.OFFLINE)
            self._end_moved(lease.epoch)

    def _take_down(self, lease: Lease, end: LeaseEnd) -> None:
        self._announced.pop(lease.epoch, None)
        self._down.discard(lease.epoch)
        self._tell_all(LeaseDown(lease.epoch, lease.name, end))
        self._desk.leave(lease, for_good=end in (LeaseEnd.FREE, LeaseEnd.LAPSED))

    def _note_health(self, worker: WorkerId, message: NoteHealth) -> None:
        """What the agent of a worker's lease says of its local service is told to the other workers, and kept."""
        word = self._announced.get(message.epoch)
        if word is None or word.worker != worker:
            return
        if message.is_up:
            self._down.discard(message.epoch)
        else:
            self._down.add(message.epoch)
        self._tell_others(worker, LeaseHealth(message.epoch, message.is_up))

    def _is_retiring(self, worker: WorkerId) -> bool:
        found = self._workers.get(worker)
        return found is not None and found.is_retiring

    def _tell_all(self, message: SupervisorMessage) -> None:
        for worker, each in self._workers.items():
            if each.has_attended:
                self._output.append((worker, message))

    def _tell_others(self, worker: WorkerId, message: SupervisorMessage) -> None:
        for other, each in self._workers.items():
            if other != worker and each.has_attended:
                self._output.append((other, message))

    def _say(self, worker: WorkerId, message: SupervisorMessage) -> None:
        if worker in self._workers:
            self._output.append((worker, message))
