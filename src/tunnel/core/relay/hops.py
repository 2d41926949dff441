"""Where the seconds of an exchange go: three moments on the way, and what lies between them (ADR 0059)."""

from typing import Final, final

from tunnel.core.base.ids import Instant

NOT_YET: Final = Instant(-1.0)


@final
class Hops:
    """The seconds of one exchange, which together are all of them.

    A hop that was never reached has none: what ends early has its last seconds where it ended.
    """

    def __init__(self, edge: float, link: float, local: float, body: float) -> None:
        self.edge: Final = edge
        """From the head of the request to its sending on the stream that answered; attempts that failed are in it."""
        self.link: Final = link
        """From there to the agent's word that its local service took the connection; 0 on a stream used before."""
        self.local: Final = local
        """From there to the head of the response. On a stream used before the way to the agent and back is in it."""
        self.body: Final = body
        """From there to the end."""


NOWHERE: Final = Hops(0.0, 0.0, 0.0, 0.0)


@final
class Marks:
    """The moments of the running exchange, each set when it is there; finished with it."""

    def __init__(self, started_at: Instant) -> None:
        self.started_at: Final = started_at
        self.sent_at = NOT_YET
        """When its head went out, last."""
        self.replied_at = NOT_YET
        """When the agent said that the local connection stands; on a stream used before, when the head went out."""
        self.spoke_at = NOT_YET
        """When the head of the response was whole."""

    def on_sent(self, now: Instant, *, is_connected: bool) -> None:
        """The head went out on a stream whose local connection stands already, or does not yet."""
        self.sent_at = now
        self.replied_at = now if is_connected else NOT_YET

    def on_spoken(self, now: Instant) -> None:
        """The head of the response is whole, now or before."""
        if self.spoke_at < 0:
            self.spoke_at = now

    def hops(self, now: Instant) -> Hops:
        """Where the seconds went, should it end now."""
        if self.sent_at < 0:
            return Hops(now - self.started_at, 0.0, 0.0, 0.0)
        edge = self.sent_at - self.started_at
        if self.replied_at < 0:
            return Hops(edge, now - self.sent_at, 0.0, 0.0)
        link = self.replied_at - self.sent_at
        if self.spoke_at < 0:
            return Hops(edge, link, now - self.replied_at, 0.0)
        return Hops(edge, link, self.spoke_at - self.replied_at, now - self.spoke_at)
