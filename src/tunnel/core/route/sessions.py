"""Which sessions are live, which token each speaks for, and which one a reconnecting agent leaves behind."""

from typing import Final, final

from tunnel.core.base.ids import SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.route.errors import TooManySessions
from tunnel.core.token.token import Token, TokenId


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
        self._counts: dict[TokenId, int] = {}
        self.latest = SessionId(0)
        """The newest that was ever live."""

    def open(self, session: SessionId, token: Token, instance: bytes, link: int) -> Outcome[Opened, TooManySessions]:
        """Make a session live. An older one of the same token, agent process and link is retired by it, not counted."""
        agent = (token.token_id, instance, link)
        retired = self._of_agent.get(agent)
        limit = min(token.sessions_max, self._limits.sessions_per_token_max)
        if retired is None and self._counts.get(token.token_id, 0) >= limit:
            return Failure(TooManySessions(limit))
        if retired is not None:
            self.close(retired)
        self._agents[session] = agent
        self.latest = max(self.latest, session)
        self._of_agent[agent] = session
        self._counts[token.token_id] = self._counts.get(token.token_id, 0) + 1
        return Success(Opened(session, retired))

    def close(self, session: SessionId) -> None:
        """End a session; nothing happens when it is not live."""
        agent = self._agents.pop(session, None)
        if agent is None:
            return
        self._of_agent.pop(agent, None)
        left = self._counts.get(agent[0], 0) - 1
        if left > 0:
            self._counts[agent[0]] = left
        else:
            self._counts.pop(agent[0], None)

    def instance_of(self, session: SessionId) -> bytes | None:
        """The agent process of a session that is live: opened, and neither closed nor retired. None when it is not."""
        agent = self._agents.get(session)
        return None if agent is None else agent[1]

    def count(self, token_id: TokenId) -> int:
        """How many sessions the token has live."""
        return self._counts.get(token_id, 0)
