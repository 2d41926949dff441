"""An edge between a scripted visitor and a scripted local service; time is a number that is added to.

`World` does what a shell does, in the same order, and checks on every action what must hold of any list of actions.
What came out is read by a small reader of its own, so that one misreading cannot hide another.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, final

from tunnel.core.base.ids import EndpointId, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS, READ_BYTES, Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.problem import Problem
from tunnel.core.http.forward import Visitor
from tunnel.core.link.messages import HostHeader, Keep, Share
from tunnel.core.link.preface import StreamReply, encode_reply
from tunnel.core.policy.door import Door
from tunnel.core.policy.rules import OPEN, Policy, Rates, ServerPolicy
from tunnel.core.relay.actions import (
    Action,
    CloseVisitor,
    EndOrigin,
    EndVisitor,
    HealthNews,
    LeaveOrigin,
    OpenOrigin,
    Report,
    SendOrigin,
    SendVisitor,
)
from tunnel.core.relay.edge import Edge
from tunnel.core.relay.state import Phase
from tunnel.core.relay.waits import NEVER
from tunnel.core.route.table import Claim, Lease, RouteTable
from tunnel.core.token.token import (
    AccountId,
    EndpointKind,
    KeyId,
    NamePattern,
    Token,
    TokenId,
)

ZONE: Final = "tunnel.test"
CONNECTED: Final = encode_reply(StreamReply.CONNECTED)
GET: Final = b"GET / HTTP/1.1\r\nHost: app.tunnel.test\r\n\r\n"
"""A request that may be repeated."""
POST: Final = b"POST /form HTTP/1.1\r\nHost: app.tunnel.test\r\nContent-Length: 5\r\n\r\n"
"""The head of one that may not; five bytes follow."""
UPGRADE: Final = b"GET /ws HTTP/1.1\r\nHost: app.tunnel.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
HELLO: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
_FORWARDED_ID: Final = re.compile(rb"X-Request-Id: (p{16}[0-9a-f]{8})")
TOKEN: Final = Token(
    key_id=KeyId(bytes(8)),
    token_id=TokenId(bytes(16)),
    account=AccountId(bytes(16)),
    pattern=NamePattern("*"),
    kinds=frozenset((EndpointKind.HTTP,)),
    names_max=100,
    streams_max=100,
    sessions_max=100,
    not_before=UnixSeconds(0),
    expiry=UnixSeconds(2_000_000_000),
)
COUNTING: Final = ServerPolicy(address=Rates(exchanges=1000))
"""Lets everybody in and counts who is inside, so that every test that comes to rest sees what was not given back."""


def table_of(
    *names: str, limits: Limits = DEFAULT_LIMITS, host: HostHeader | None = None, policy: Policy = OPEN
) -> RouteTable:
    """A route table in which session 1 holds these names."""
    table = RouteTable(limits)
    assert isinstance(table.open_session(SessionId(1), TOKEN, bytes(16)), Success)
    for number, name in enumerate(names, 1):
        claim_name(table, name, SessionId(1), EndpointId(number), host, policy)
    return table


def pool_of(count: int, limits: Limits = DEFAULT_LIMITS) -> RouteTable:
    """A route table in which sessions 1 and up, of one agent each, share the name `app`."""
    table = RouteTable(limits)
    for number in range(1, count + 1):
        join_pool(table, number)
    return table


def join_pool(table: RouteTable, number: int, agent: int = 0, link: int = 0) -> Lease:
    """One more shares the name `app`: session `number`, which is a link of `agent`, by itself if not said."""
    token = replace(TOKEN, token_id=TokenId(bytes([agent or number]) * 16))
    assert isinstance(table.open_session(SessionId(number), token, bytes([agent or number]), link), Success)
    asked = Claim(
        *(Label("app"), SessionId(number), EndpointId(number), EndpointKind.HTTP, token, Keep(), "198.51.100.7:1"),
        share=Share.POOL,
    )
    claimed = table.claim(asked, Instant(0.0))
    assert isinstance(claimed, Success), claimed
    return value_of(claimed).lease


def claim_name(
    table: RouteTable,
    name: str,
    session: SessionId,
    endpoint: EndpointId,
    host: HostHeader | None = None,
    policy: Policy = OPEN,
) -> Lease:
    """The lease of a claim that must be granted."""
    asked = Claim(
        Label(name), session, endpoint, EndpointKind.HTTP, TOKEN, host or Keep(), "198.51.100.7:1", policy=policy
    )
    claimed = table.claim(asked, Instant(0.0))
    assert isinstance(claimed, Success)
    return value_of(claimed).lease


@final
@dataclass
class Stream:
    """One stream the edge opened, as the agent sees it."""

    lease: Lease
    up: bytearray = field(default_factory=bytearray)
    up_ended: bool = False
    has_replied: bool = False
    down_ended: bool = False
    was_refused: bool = False
    reply: StreamReply | None = None
    left: LeaveOrigin | None = None

    def was_reset(self) -> bool:
        """Whether the edge left it by a reset."""
        return self.left is not None and self.left.reset

    def was_ended(self) -> bool:
        """Whether the edge left it by its FIN, both sides having said all."""
        return self.left is not None and not self.left.reset


def check_hops(report: Report) -> None:
    """The seconds of an exchange went somewhere, each of them once (OBS-HOP-002)."""
    hops = report.hops
    parts = (hops.edge, hops.link, hops.local, hops.body)
    assert min(parts) >= 0.0
    assert abs(sum(parts) - report.seconds) < 1e-6 * max(1.0, report.seconds)


@final
class World:
    """One public connection and everything around it."""

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        table: RouteTable | None = None,
        scheme: str = "http",
        door: Door | None = None,
    ) -> None:
        self.limits: Final = limits
        self.table: Final = table_of("app", "other", limits=limits) if table is None else table
        self.now = Instant(1000.0)
        self.door: Final = Door(COUNTING, 16) if door is None else door
        visitor = Visitor("192.0.2.9", 40_000, scheme)
        self.edge: Final = Edge(visitor, self.table, ZONE, limits, "p" * 16, self.now, self.door)
        self.streams: list[Stream] = []
        self.stream: Stream | None = None
        """The one that is open."""
        self.refuses: Problem | None = None
        """Why the next stream cannot be opened, if it cannot."""
        self.seen = bytearray()
        """What the visitor was sent."""
        self.actions: list[Action] = []
        self.reports: list[Report] = []
        self.visitor_ended = False
        self.closed: CloseVisitor | None = None
        self.takes_rest = True
        """The visitor takes what is sent, so that a gentle close is soon done."""
        self.is_over = False
        self.news: list[HealthNews] = []
        self.has_company = False
        """Other visitors use the table, too."""

    # What the world does.

    def visitor(self, *pieces: bytes) -> "World":
        """The visitor sends these pieces, one read each; a shell reads no more from one that is full."""
        for piece in pieces:
            for at in range(0, len(piece), READ_BYTES):
                if not self.edge.is_full and not self.is_over:
                    self.edge.receive_visitor(piece[at : at + READ_BYTES], self.now)
                    self.pump()
        return self

    def local(self, *pieces: bytes) -> "World":
        """The local service sends these pieces; the agent says first that it is connected."""
        stream = self.stream
        assert stream is not None, "nobody asks the local service anything"
        if not stream.has_replied:
            stream.has_replied = True
            self.stream_bytes(CONNECTED)
        for piece in pieces:
            if self.stream is stream:
                self.stream_bytes(piece)
        return self

    def stream_bytes(self, data: bytes) -> "World":
        """The stream brings bytes, whatever they are."""
        self.edge.receive_origin(data, self.now)
        self.pump()
        return self

    def reply(self, code: StreamReply) -> "World":
        """The agent says what became of the local connection."""
        stream = self.stream
        assert stream is not None
        assert not stream.has_replied
        stream.has_replied = code is StreamReply.CONNECTED
        stream.reply = code
        return self.stream_bytes(encode_reply(code))

    def agent_reset(self) -> "World":
        """The agent itself resets the stream, over a link that stands."""
        self.stream = None
        self.edge.on_origin_reset(self.now, is_refused=True)
        self.pump()
        return self

    def link_lost(self) -> "World":
        """The link under the stream breaks: its leases are gone before the stream is told."""
        stream = self.stream
        assert stream is not None
        self.table.drop_session(stream.lease.session, self.now)
        return self.stream_reset()

    def visitor_fin(self) -> "World":
        """The visitor ends its side."""
        self.edge.on_visitor_end(self.now)
        self.pump()
        return self

    def visitor_lost(self) -> "World":
        """The visitor's connection breaks."""
        self.is_over = True
        self.edge.on_visitor_lost(self.now)
        self.pump()
        return self

    def local_fin(self) -> "World":
        """The local service ends its side."""
        if self.stream is not None:
            self.stream.down_ended = True
        self.edge.on_origin_end(self.now)
        self.pump()
        return self

    def stream_reset(self) -> "World":
        """The stream is reset by the other side."""
        self.stream = None
        self.edge.on_origin_reset(self.now)
        self.pump()
        return self

    def tick(self, seconds: float) -> "World":
        """Time passes; the alarm rings if it is due."""
        self.now = Instant(self.now + seconds)
        self.edge.on_time(self.now)
        self.pump()
        return self

    def stuck(self) -> "World":
        """What was sent waits in front of the visitor."""
        self.edge.on_visitor_stuck(self.now)
        self.pump()
        return self

    def flowing(self) -> "World":
        """The visitor takes bytes again."""
        self.edge.on_visitor_flowing(self.now)
        self.pump()
        return self

    def drain(self) -> "World":
        """The server shuts down."""
        self.edge.on_drain(self.now)
        self.pump()
        return self

    def last_call(self) -> "World":
        """Another process takes over."""
        self.edge.on_last_call(self.now)
        self.pump()
        return self

    def grace_over(self) -> "World":
        """The server waits no longer."""
        self.edge.on_grace_over(self.now)
        self.pump()
        return self

    def until_closed(self) -> float:
        """Let deadlines alone pass until nothing more happens; the seconds that took."""
        began = self.now
        for _ in range(50):
            if self.edge.is_closed:
                return self.now - began
            assert self.edge.next_deadline() < NEVER, self.edge.phase
            self.tick(self.edge.next_deadline() - self.now)
        raise AssertionError(self.edge.phase)

    # What came out.

    @property
    def up(self) -> bytes:
        """What the latest stream was sent."""
        return bytes(self.streams[-1].up)

    def ending(self) -> str:
        """How the visitor's connection was asked to close so far."""
        if self.closed is None:
            return "open"
        return "abort" if self.closed.abort else "gentle"

    @property
    def outcomes(self) -> list[str]:
        """How the exchanges ended so far."""
        return [report.outcome for report in self.reports]

    def answers(self, *methods: bytes) -> "list[Message]":
        """What the visitor reads as the responses to requests of these methods (GET unless said)."""
        return responses(bytes(self.seen), methods)

    @property
    def statuses(self) -> list[int]:
        """The statuses of those to GETs."""
        return [one.status for one in self.answers()]

    # What a shell does.

    def pump(self) -> None:
        """Do what the edge asks for until it asks for nothing."""
        actions = self.edge.poll_actions(self.now)
        while actions:
            for action in actions:
                self.actions.append(action)
                self._do(action)
            actions = self.edge.poll_actions(self.now)
        if self.closed is not None and not self.is_over and (self.closed.abort or self.takes_rest):
            self.visitor_lost()
        self.check()

    def check(self) -> None:
        """What holds after anything at all."""
        held_max = self.limits.head_bytes_max + self.limits.ahead_bytes_max + 2 * READ_BYTES
        assert self.edge.held_bytes <= held_max
        assert len({report.request_id for report in self.reports}) == len(self.reports)
        assert self.edge.is_closed == (self.edge.next_deadline() >= NEVER)
        if self.edge.is_closed:
            assert self.stream is None
        running = sum({stream.lease.epoch: stream.lease.outstanding for stream in self.streams}.values())
        assert self.has_company or running == (self.edge.phase in {Phase.EXCHANGE, Phase.UPGRADED})
        if self.closed is not None:
            assert self.edge.held_bytes == 0

    def settle(self) -> None:
        """What holds once the connection has come to rest, which deadlines alone must bring about.

        Each request that was forwarded has one report; the answers that the visitor reads are those of the reports, in
        order; and one of the local service is whole exactly when its exchange ended well.
        """
        self.until_closed()
        self.check()
        assert self.edge.held_bytes == 0
        assert self.door.sizes()[2::3] == (0, 0), "an exchange is still counted as running"
        assert self.edge.poll_actions(self.now) == []
        asked = [one for stream in self.streams for one in _FORWARDED_ID.findall(bytes(stream.up))]
        assert set(asked) <= {report.request_id.encode() for report in self.reports}
        answered = [report for report in self.reports if report.status]
        finals = [
            one
            for one in self.answers(*[report.method for report in answered])
            if one.status >= 200 or one.status == 101
        ]
        assert [one.one("x-request-id") for one in finals] == [report.request_id for report in answered]
        for one, report in zip(finals, answered, strict=True):
            assert one.status == report.status
            if one.one("cache-control") == "no-store":
                assert one.is_whole
            elif one.is_delimited and one.status != 101:
                # Whole, it may still not be taken; then it is the visitor that failed.
                assert one.is_whole == (report.outcome == "ok") or report.outcome == "visitor-stalled"
            elif report.outcome not in {"ok", "visitor-left"}:
                assert self.closed is not None
                assert self.closed.abort

    def _do(self, action: Action) -> None:
        if self.closed is not None:
            assert isinstance(action, CloseVisitor)
            assert action.abort
            assert not self.closed.abort
        match action:
            case OpenOrigin() | SendOrigin() | EndOrigin() | LeaveOrigin():
                self._do_up(action)
            case SendVisitor(data=data):
                assert not self.visitor_ended
                assert data
                self.seen += data
            case EndVisitor():
                assert not self.visitor_ended
                self.visitor_ended = True
            case CloseVisitor():
                assert self.stream is None
                self.closed = action
            case Report():
                check_hops(action)
                self.reports.append(action)
            case HealthNews():
                self.news.append(action)

    def _do_up(self, action: OpenOrigin | SendOrigin | EndOrigin | LeaveOrigin) -> None:
        stream = self.stream
        if isinstance(action, OpenOrigin):
            assert stream is None
            self.stream = Stream(action.lease)
            self.streams.append(self.stream)
            if self.refuses is not None:
                self.stream.was_refused = True
                self.stream = None
                problem, self.refuses = self.refuses, None
                self.edge.on_origin_refused(problem, "", self.now)
            return
        if stream is None:
            # Only what was listed together with a stream that was refused comes without one; a shell drops it.
            assert isinstance(action, SendOrigin | LeaveOrigin)
            assert self.streams[-1].was_refused
            return
        assert not stream.up_ended or isinstance(action, LeaveOrigin)
        if isinstance(action, SendOrigin):
            assert action.data
            stream.up += action.data
        elif isinstance(action, EndOrigin):
            stream.up_ended = True
        else:
            if not action.reset and not stream.down_ended:
                assert all(one.is_whole for one in requests(bytes(stream.up))), "a FIN short of the length"
            stream.left = action
            self.stream = None


# A reader of what came out, independent of `tunnel.core.http`.


@final
@dataclass(frozen=True)
class Message:
    """One message as it was read."""

    first: tuple[str, str, str]
    fields: dict[str, list[str]]
    body: bytes
    is_whole: bool
    trailers: tuple[str, ...] = ()

    @property
    def is_delimited(self) -> bool:
        """Whether the end of a response shows without the end of the connection."""
        return self.is_whole or "content-length" in self.fields or "transfer-encoding" in self.fields

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.first[1])

    def one(self, name: str) -> str | None:
        """The value of a field that may come once."""
        values = self.fields.get(name, [])
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


def responses(raw: bytes, methods: Sequence[bytes] = ()) -> list[Message]:
    """Responses as a strict client reads them; the last may be cut. Interim ones are among them."""
    found: list[Message] = []
    asked = list(methods)
    while raw:
        head, end, rest = raw.partition(b"\r\n\r\n")
        if not end:
            break
        first, fields = _head(head)
        status = int(first[1])
        interim = 100 <= status < 200 and status != 101
        method = b"GET" if interim or not asked else asked.pop(0)
        empty = status < 200 or status in {204, 304} or method == b"HEAD"
        message, raw = _message(first, fields, rest, empty=empty, is_response=True)
        found.append(message)
        if status == 101:
            break
    return found


def requests(raw: bytes) -> list[Message]:
    """Requests as a strict server reads them; the last may be cut."""
    found: list[Message] = []
    while raw:
        head, end, rest = raw.partition(b"\r\n\r\n")
        if not end:
            break
        first, fields = _head(head)
        message, raw = _message(first, fields, rest, empty=False, is_response=False)
        found.append(message)
    return found


def piped(raw: bytes) -> bytes:
    """What follows the first head: the bytes of an upgraded connection."""
    return raw.partition(b"\r\n\r\n")[2]


def _head(head: bytes) -> tuple[tuple[str, str, str], dict[str, list[str]]]:
    lines = head.decode("latin-1").split("\r\n")
    one, two, three = lines[0].split(" ", 2)
    fields: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        assert colon, line
        assert name.strip() == name, line
        fields.setdefault(name.lower(), []).append(value.strip(" \t"))
    return (one, two, three), fields


def _message(
    first: tuple[str, str, str], fields: dict[str, list[str]], rest: bytes, *, empty: bool, is_response: bool
) -> tuple[Message, bytes]:
    lengths, codings = fields.get("content-length", []), fields.get("transfer-encoding", [])
    assert len(lengths) + len(codings) <= 1, fields
    if empty:
        return Message(first, fields, b"", is_whole=True), rest
    if codings:
        return _chunked(first, fields, rest)
    if lengths:
        length = int(lengths[0])
        return Message(first, fields, rest[:length], is_whole=len(rest) >= length), rest[length:]
    if is_response:
        return Message(first, fields, rest, is_whole=False), b""
    return Message(first, fields, b"", is_whole=True), rest


def _chunked(first: tuple[str, str, str], fields: dict[str, list[str]], rest: bytes) -> tuple[Message, bytes]:
    body = b""
    while True:
        line, end, after = rest.partition(b"\r\n")
        if not end:
            return Message(first, fields, body, is_whole=False), b""
        assert b";" not in line
        size = int(line, 16)
        if size == 0:
            break
        assert len(after) >= size + 2, "a chunk is forwarded whole"
        assert after[size : size + 2] == b"\r\n"
        body += after[:size]
        rest = after[size + 2 :]
    trailers: list[str] = []
    while True:
        line, end, after = after.partition(b"\r\n")
        if not end:
            return Message(first, fields, body, is_whole=False), b""
        if not line:
            return Message(first, fields, body, is_whole=True, trailers=tuple(trailers)), after
        trailers.append(line.decode("latin-1"))


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """The data in pieces, cut at these offsets (taken modulo its length)."""
    points = sorted({one % (len(data) + 1) for one in at} | {0, len(data)})
    return [data[begin:end] for begin, end in pairwise(points)]
