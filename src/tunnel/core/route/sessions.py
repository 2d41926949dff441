"""Which sessions are live, which token each speaks for, and which one a reconnecting agent leaves behind."""

from typing import Final, final

from tunnel.core.base.ids import SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.route.errors import TooManySessions
from tunnel.core.token.token import Token, TokenId, bounds_of, ids_of


@final
class Opened:
    """A session is live. `retired` is the same agent's older one, to be closed: it claims nothing from now on."""

    def __init__(self, session: SessionId, retired: SessionId | None) -> None:
        self.session: Final = session
        self.retired: Final = retired


@final
class Sessions:
    """Live sessions by number, by link of an agent process and by token."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._agents: dict[SessionId, tuple[TokenId, bytes, int]] = {}
        self._of_agent: dict[tuple[TokenId, bytes, int], SessionId] = {}
        self._ids: dict[SessionId, tuple[TokenId, ...]] = {}
        self._counts: dict[TokenId, int] = {}
        """Of each token with all that was narrowed from it (TOKEN-RIGHT-004)."""
        self.latest = SessionId(0)
        """The newest that was ever live."""

    def open(self, session: SessionId, token: Token, instance: bytes, link: int) -> Outcome[Opened, TooManySessions]:
        """Make a session live. An older one of the same token, agent process and link is retired by it, not counted."""
        agent = (token.token_id, instance, link)
        retired = self._of_agent.get(agent)
        limit = None if retired is not None else self._limit_reached(token)
        if limit is not None:
            return Failure(TooManySessions(limit))
        if retired is not None:
            self.close(retired)
        self._agents[session] = agent
        self._ids[session] = ids_of(token)
        self.latest = max(self.latest, session)
        self._of_agent[agent] = session
        for token_id in ids_of(token):
            self._counts[token_id] = self._counts.get(token_id, 0) + 1
        return Success(Opened(session, retired))

    def close(self, session: SessionId) -> None:
        """End a session; nothing happens when it is not live."""
        agent = self._agents.pop(session, None)
        if agent is None:
            return
        self._of_agent.pop(agent, None)
        for token_id in self._ids.pop(session, ()):
            left = self._counts.get(token_id, 0) - 1
            if left > 0:
                self._counts[token_id] = left
            else:
                self._counts.pop(token_id, None)

    def instance_of(self, session: SessionId) -> bytes | None:
        """The agent process of a session that is live: opened, and neither closed nor retired. None when it is not."""
        agent = self._agents.get(session)
        return None if agent is None else agent[1]

    def count(self, token_id: TokenId) -> int:
        """How many sessions the token has live, with those of tokens narrowed from it."""
        return self._counts.get(token_id, 0)

    def _limit_reached(self, token: Token) -> int | None:
        """The limit of the token, or of one that it was narrowed from, that leaves no room for one more session."""
        for bound in bounds_of(token):
            limit = min(bound.sessions_max, self._limits.sessions_per_token_max)
            if self._counts.get(bound.token_id, 0) >= limit:
                return limit
        return None
