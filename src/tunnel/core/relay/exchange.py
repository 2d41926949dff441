"""One request and its answer, from the moment its head is whole to its one end."""

from typing import Final, final

from tunnel.core.base.ids import Instant, RequestId
from tunnel.core.http.request import RequestHead
from tunnel.core.http.response import ResponseHead

_REPEATABLE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
"""The idempotent methods of RFC 9110 section 9.2.2."""


def is_repeatable(head: RequestHead) -> bool:
    """Whether the request may be sent a second time by an intermediary: idempotent, and all of it still at hand."""
    return head.length == 0 and not head.upgrade and head.method in _REPEATABLE


@final
class Exchange:
    """What is known of the running exchange. It ends when the edge reports it."""

    def __init__(self, head: RequestHead, request_id: RequestId, started_at: Instant) -> None:
        self.head: Final = head
        self.request_id: Final = request_id
        self.started_at: Final = started_at
        self.name = ""
        self.replay = b""
        """The forwarded head, kept while the request may be sent again on a fresh stream."""
        self.request_is_complete = False
        self.response: ResponseHead | None = None
        self.is_chunked_down = False
        """The visitor gets the body in chunks of ours."""
        self.interims = 0
        self.must_close = not head.keep_alive or head.minor == 0
        """The visitor's connection ends with this exchange."""
        self.status = 0
        self.bytes_up = 0
        self.bytes_down = 0
