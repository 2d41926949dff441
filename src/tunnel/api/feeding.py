"""What the control process asks of the data plane, and the orders it gives, as a Protocol (ADR 0072)."""

from typing import Protocol, final

from tunnel.core.base.outcome import Failure, Outcome


class Feed(Protocol):
    """The data plane beside us; it may be gone at any time, and every call says so instead of raising."""

    async def ask(self, question: str, /, **facts: object) -> Outcome[dict[str, object], str]:
        """The answer to one question or order, or why there is none."""


@final
class NoFeed:
    """A control process whose server has no feed."""

    async def ask(self, question: str, /, **facts: object) -> Outcome[dict[str, object], str]:
        """Always that there is none."""
        return Failure("the server has no feed socket")
