"""Who owns the names of a server, as one agent's session sees it: questions go out, answers come back as calls.

A single process owns its names itself and answers at once; a worker asks its supervisor, and the answer comes later.
"""

from typing import Final, Protocol, final

from tunnel.core.base.ids import EndpointId, Instant, SessionId
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.directory.directory import UNTOLD, Directory
from tunnel.core.link.messages import Expose, Hello
from tunnel.core.route.errors import describe
from tunnel.core.route.granting import Denial, Granting, expose
from tunnel.core.route.table import Lease, RouteTable
from tunnel.core.token.token import Token
from tunnel.ports import Clock, Entropy


class Holder(Protocol):
    """A session that holds, or held, what somebody else asks for."""

    def supersede(self) -> None:
        """The same agent process has a newer link: end this one."""

    def fence(self, lease: Lease, detail: str, now: Instant) -> None:
        """The lease is another's now: its streams end, and the agent is told."""


class Asker(Protocol):
    """A session that asks. It may have ended by the time of an answer, and then gives back what it got."""

    @property
    def peer(self) -> str:
        """Where its agent dialled from."""

    def on_opened(self, session: SessionId, retired: Holder | None, now: Instant) -> None:
        """It is a session now, and `retired` is the same agent's before."""

    def on_open_refused(self, detail: str) -> None:
        """It is one too many."""

    def on_granted(self, lease: Lease, now: Instant) -> bool:
        """An endpoint has its name; answers whether it is still wanted."""

    def on_denied(self, endpoint: EndpointId, denial: Denial) -> None:
        """An endpoint gets no name."""


class Registry(Protocol):
    """The one place that decides about sessions and names."""

    def open(self, asker: Asker, token: Token, hello: Hello) -> None:
        """Ask to be a session; `token` is that of the hello, and was verified."""

    def expose(self, session: SessionId, asker: Asker, token: Token, asked: Expose) -> None:
        """Ask for a name."""

    def withdraw(self, lease: Lease) -> None:
        """Give a name up for good."""

    def drop(self, session: SessionId) -> None:
        """A session is over, or takes no new visitors; its names are without an agent. A second call does nothing."""

    def learn(self, directory: Directory) -> None:
        """Decide by this directory from now on."""

    def note_health(self, lease: Lease, *, is_up: bool) -> None:
        """The agent of a lease says whether its local service passes its checks; the table here knows it already."""


class Sessions(Protocol):
    """The sessions of this process, by number."""

    def holder(self, number: SessionId) -> Holder | None:
        """The session, while it lives."""


@final
class LocalRegistry:
    """The registry of a server that is one process: it decides by its own table, at once."""

    def __init__(self, table: RouteTable, sessions: Sessions, clock: Clock, entropy: Entropy) -> None:
        self._table: Final = table
        self._sessions: Final = sessions
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._begun = 0
        self._directory = UNTOLD

    def open(self, asker: Asker, token: Token, hello: Hello) -> None:
        """Decide now; a session has a number that no session of this process had before."""
        self._begun += 1
        number = SessionId(self._begun)
        opened = self._table.open_session(number, token, hello.instance, hello.link)
        if not isinstance(opened, Success):
            asker.on_open_refused(describe(error_of(opened)))
            return
        retired = value_of(opened).retired
        asker.on_opened(number, None if retired is None else self._sessions.holder(retired), self._clock.now())

    def expose(self, session: SessionId, asker: Asker, token: Token, asked: Expose) -> None:
        """Decide now; who is replaced is fenced at once."""
        now = self._clock.now()
        granting = Granting(self._table, token, session, asker.peer, self._clock.unix(), now, self._directory)
        decided = expose(asked, granting, self._entropy.random_bytes(16))
        if not isinstance(decided, Success):
            asker.on_denied(asked.endpoint, error_of(decided))
            return
        lease, fenced = value_of(decided).lease, value_of(decided).fenced
        if not asker.on_granted(lease, now):
            # Withdrawn in the same breath; the leases that it replaced have ended all the same.
            self.withdraw(lease)
        for replaced in fenced:
            previous = self._sessions.holder(replaced.session)
            if previous is not None:
                previous.fence(replaced, f"a newer link with the same token took {lease.name}", now)

    def withdraw(self, lease: Lease) -> None:
        """The name is free at once."""
        self._table.withdraw(lease.name, lease.epoch)

    def drop(self, session: SessionId) -> None:
        """The names of the session are offline."""
        self._table.drop_session(session, self._clock.now())

    def learn(self, directory: Directory) -> None:
        """Grant by this one."""
        self._directory = directory

    def note_health(self, lease: Lease, *, is_up: bool) -> None:
        """Nothing: nobody else has to know."""
