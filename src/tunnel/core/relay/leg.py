"""The origin side of a public connection: one stream to one agent, one local connection behind it."""

from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.http.reader import HeadReader
from tunnel.core.link.preface import ReplyReader
from tunnel.core.route.table import Lease


@final
class Leg:
    """What one stream carries. It is finished when the edge leaves it; it is never shared between visitors."""

    def __init__(self, lease: Lease, limits: Limits) -> None:
        self.lease: Final = lease
        self.heads: Final = HeadReader(limits.head_bytes_max)
        self.reply: Final = ReplyReader()
        self.has_replied = False
        """The agent said that the local connection stands."""
        self.has_spoken = False
        """A byte of an answer to the running exchange has come."""
        self.has_ended = False
        """FIN received: the local service says no more."""
