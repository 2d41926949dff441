"""The agent's end of a control stream: hello, then endpoints, each answered once."""

from enum import Enum
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import EndpointId, Instant
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.codec import MessageReader, encode_message
from tunnel.core.link.errors import HandshakeTooSlow, LinkError, OtherName, OutOfTurn, TurnError, UnaskedEndpoint
from tunnel.core.link.messages import (
    LINK_VERSION,
    AgentMessage,
    Denied,
    Drain,
    Expose,
    Fenced,
    Granted,
    Health,
    Hello,
    HostHeader,
    Lapsed,
    Message,
    Refused,
    ServerMessage,
    Share,
    Welcome,
    Withdraw,
    kind_of,
)
from tunnel.core.policy.rules import OPEN, Policy
from tunnel.core.token.token import EndpointKind

AgentEvent: TypeAlias = ServerMessage
"""What the server said, once it has been found to have its place. After a `Refused` the conversation is over."""


@final
class _State(Enum):
    """Where the conversation stands; the value is how errors call it."""

    SILENT = "before its hello"
    AWAITING_WELCOME = "awaiting a welcome"
    OPEN = "open"
    CLOSED = "closed"


@final
class AgentConversation:
    """One control stream, from its opening to its end; finished when `is_closed`."""

    def __init__(self, limits: Limits, now: Instant) -> None:
        self._limits: Final = limits
        self._deadline: Final = Instant(now + limits.handshake_seconds_max)
        self._reader: Final = MessageReader()
        self._state = _State.SILENT
        self._error: LinkError | None = None
        self._output = b""
        self._highest = EndpointId(0)
        self._asked: dict[EndpointId, Expose] = {}
        self._granted: set[EndpointId] = set()

    @property
    def is_open(self) -> bool:
        """Welcomed, and not ended since."""
        return self._state is _State.OPEN

    @property
    def is_closed(self) -> bool:
        """Refused or broken; nothing more is read or sent."""
        return self._state is _State.CLOSED

    def hello(self, token: bytes, instance: bytes, software: str, link: int = 0) -> None:
        """Say who we are, once: its token, 16 bytes that this process drew at its start, and which of its links."""
        if self._state is _State.SILENT:
            self._state = _State.AWAITING_WELCOME
            self._send(Hello(LINK_VERSION, instance, token, software, link))

    def expose(
        self,
        kind: EndpointKind,
        name: str,
        host_header: HostHeader,
        port: int = 0,
        share: Share = Share.ALONE,
        policy: Policy = OPEN,
        ttl_seconds: int = 0,
    ) -> EndpointId:
        """Ask for an endpoint and get the number that the answer will carry; before the welcome it waits for it."""
        asked = Expose(EndpointId(self._highest + 1), kind, name, host_header, port, share, policy, ttl_seconds)
        self._highest = asked.endpoint
        self._asked[asked.endpoint] = asked
        if self._state is _State.OPEN:
            self._send(asked)
        return asked.endpoint

    def withdraw(self, endpoint: EndpointId) -> None:
        """Give an endpoint up, granted or only asked for; an answer that is on its way is then passed over."""
        is_live = self._asked.pop(endpoint, None) is not None or endpoint in self._granted
        self._granted.discard(endpoint)
        if is_live and self._state is _State.OPEN:
            self._send(Withdraw(endpoint))

    def tell_health(self, endpoint: EndpointId, *, is_up: bool, detail: str) -> None:
        """Say how the local service behind a granted endpoint does; nothing is said of one that is not granted."""
        if endpoint in self._granted and self._state is _State.OPEN:
            self._send(Health(endpoint, is_up, detail))

    def receive(self, data: bytes, now: Instant) -> Outcome[list[AgentEvent], LinkError]:
        """What the server said in these bytes; an error is final."""
        if self._state is _State.CLOSED:
            return Success([]) if self._error is None else Failure(self._error)
        late = self.on_time(now)
        if not isinstance(late, Success):
            return late
        read = self._reader.receive(data)
        if not isinstance(read, Success):
            return self._fail(error_of(read))
        events: list[AgentEvent] = []
        for message in value_of(read):
            wrong = self._take(message, events)
            if wrong is not None:
                return self._fail(wrong)
            if self.is_closed:
                break
        return Success(events)

    def on_time(self, now: Instant) -> Outcome[None, LinkError]:
        """Look at the clock: without a welcome at its deadline the link has failed."""
        if self.next_deadline() is not None and now >= self._deadline:
            return self._fail(HandshakeTooSlow(self._limits.handshake_seconds_max))
        return Success(None)

    def poll_output(self) -> bytes:
        """The bytes to write, handed over once."""
        output, self._output = self._output, b""
        return output

    def next_deadline(self) -> Instant | None:
        """When to call `on_time`; None once the link is open or closed."""
        is_waiting = self._state in {_State.SILENT, _State.AWAITING_WELCOME}
        return self._deadline if is_waiting else None

    def _take(self, message: Message, events: list[AgentEvent]) -> TurnError | None:
        if isinstance(message, Welcome) and self._state is _State.AWAITING_WELCOME:
            self._open()
        elif isinstance(message, Refused) and self._state in {_State.AWAITING_WELCOME, _State.OPEN}:
            self._state = _State.CLOSED
        elif isinstance(message, (Granted, Denied, Fenced, Lapsed)) and self._state is _State.OPEN:
            return self._take_answer(message, events)
        elif not isinstance(message, Drain) or self._state is not _State.OPEN:
            return OutOfTurn(kind_of(message), self._state.value)
        events.append(message)
        return None

    def _open(self) -> None:
        """Now what was asked for early may be sent: a server takes nothing but a hello before its welcome."""
        self._state = _State.OPEN
        for asked in list(self._asked.values()):
            self._send(asked)

    def _take_answer(self, answer: Granted | Denied | Fenced | Lapsed, events: list[AgentEvent]) -> TurnError | None:
        """An answer for an endpoint given up meanwhile is passed over; one for an endpoint never named is not."""
        if answer.endpoint > self._highest:
            return UnaskedEndpoint(answer.endpoint)
        if isinstance(answer, (Fenced, Lapsed)):
            if answer.endpoint in self._granted:
                self._granted.discard(answer.endpoint)
                events.append(answer)
            return None
        asked = self._asked.pop(answer.endpoint, None)
        if asked is None:
            return None
        if isinstance(answer, Granted):
            if asked.name and asked.name.lower() != answer.name:
                return OtherName(asked.name, answer.name)
            self._granted.add(answer.endpoint)
        events.append(answer)
        return None

    def _send(self, message: AgentMessage) -> None:
        self._output += encode_message(message)

    def _fail(self, error: LinkError) -> Failure[LinkError]:
        self._error = error
        self._state = _State.CLOSED
        return Failure(error)
