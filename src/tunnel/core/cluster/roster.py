"""Who takes part in one server of several processes, as its supervisor remembers them."""

from typing import Final, final

from tunnel.core.base.ids import Epoch, Instant, SessionId
from tunnel.core.cluster.messages import OpenSession, WorkerId
from tunnel.core.token.token import Token


@final
class Worker:
    """One worker process."""

    def __init__(self, path: str) -> None:
        self.path: Final = path
        self.has_attended = False
        self.is_ready = False
        self.is_retiring = False
        self.sessions: Final[set[SessionId]] = set()


@final
class Member:
    """One session of one worker."""

    def __init__(self, worker: WorkerId, asked: OpenSession, token: Token) -> None:
        self.worker: Final = worker
        self.instance: Final = asked.instance
        self.raw_token: Final = asked.token
        self.token: Final = token
        self.peer: Final = asked.peer


@final
class Uncut:
    """Whose word about which fenced lease of a name is awaited, and since when the oldest."""

    def __init__(self, since: Instant) -> None:
        self.since: Final = since
        self.awaited: Final[set[tuple[WorkerId, Epoch]]] = set()
