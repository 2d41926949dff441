"""One request and its answer, from the moment its head is whole to its one end."""

from typing import Final, final

from tunnel.core.base.ids import Instant, RequestId
from tunnel.core.http.body import BodyReader
from tunnel.core.http.request import RequestHead
from tunnel.core.policy.door import Entry
from tunnel.core.relay.hops import Marks
from tunnel.core.route.group import Spent
from tunnel.core.route.table import Lease

_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
"""RFC 9110 section 9.2.2."""


def is_repeatable(head: RequestHead) -> bool:
    """Whether the request may be sent a second time by an intermediary: idempotent, and all of it still at hand."""
    return head.length == 0 and not head.upgrade and head.method in _IDEMPOTENT


@final
class Answering:
    """The body of a final response on its way to the visitor, whose head is sent."""

    def __init__(self, body: BodyReader, *, is_chunked: bool, ends_by_close: bool) -> None:
        self.body: Final = body
        self.is_chunked: Final = is_chunked
        """The visitor gets it in chunks of ours."""
        self.ends_by_close: Final = ends_by_close
        """The visitor knows the end of it by the end of the connection alone (HTTP/1.0)."""


@final
class Exchange:
    """What is known of the running exchange. It ends when the edge reports it."""

    def __init__(self, head: RequestHead, request_id: RequestId, started_at: Instant, *, is_last: bool) -> None:
        self.head: Final = head
        self.request_id: Final = request_id
        self.marks: Final = Marks(started_at)
        self.name = ""
        """The endpoint that it is for; "" while none is found."""
        self.lease: Lease | None = None
        """Where it runs, and is counted, since its head was sent."""
        self.entry: Entry | None = None
        """Where it is counted as running, until it is reported."""
        self.has_signed_in = False
        """At our door: what it showed is not for the local service."""
        self.may_repeat = False
        """It went out on a stream used before, and may be sent once more on a fresh one."""
        self.is_repeated = False
        """It was sent a second time although somebody may have begun it."""
        self.spent: list[Spent] = []
        """Who could not have it."""
        self.keeps = False
        """What is sent of the body is kept for another member, until the first has it."""
        self.kept: list[bytes] = []
        self.kept_bytes = 0
        self.is_at_hand = True
        """Nothing of the body was sent that is not kept."""
        self.request_is_complete = head.length == 0
        self.interims = 0
        self.status = 0
        """Of the final response, once it has begun; 0 before."""
        self.answering: Answering | None = None
        """What is left of a final response that did not come in one read."""
        self.is_early = False
        """The response began before the request was whole."""
        self.is_answered = False
        """The response is whole and sent, and the rest of the request is still on its way to who may want it."""
        self.local_keeps_alive = False
        """The local service takes another request on its connection."""
        self.must_close = is_last or not head.keep_alive or head.minor == 0
        """The visitor's connection ends with this exchange."""
        self.bytes_up = 0
        self.bytes_down = 0

    def note_sent(self, framed: bytes, kept_max: int) -> None:
        """Bytes of the body went out: keep them, if they are kept and not too many."""
        if self.keeps:
            self.kept.append(framed)
            self.kept_bytes += len(framed)
            if self.kept_bytes <= kept_max:
                return
            self.forget_kept()
        self.is_at_hand = False

    def on_replied(self, now: Instant) -> bool:
        """The local connection stands; whether what is kept of the request was kept for another."""
        self.marks.replied_at = now
        return self.keeps

    def forget_kept(self) -> None:
        """Keep nothing more: a local service has the request, or it is too long."""
        self.keeps = False
        self.is_at_hand = False
        self.kept.clear()
        self.kept_bytes = 0

    @property
    def awaits_continue(self) -> bool:
        """Whether the visitor holds its body back until the local service says 100 (RFC 9110 section 10.1.1)."""
        return self.head.expects_continue and not self.bytes_up and not self.interims and self.answering is None
