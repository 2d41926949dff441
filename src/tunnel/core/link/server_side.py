"""The server's end of a control stream: nothing but a hello first, nothing but a welcome opens it."""

from enum import Enum
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import EndpointId, Epoch, Instant, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.codec import MessageReader, encode_message
from tunnel.core.link.errors import (
    AnswersNotTaken,
    EndpointReused,
    HandshakeTooSlow,
    LinkError,
    OutOfTurn,
    TurnError,
    UnaskedEndpoint,
    describe,
    refusal_code,
)
from tunnel.core.link.messages import (
    DenialCode,
    Denied,
    Drain,
    Expose,
    Fenced,
    Granted,
    Health,
    Hello,
    Lapsed,
    Message,
    RefusalCode,
    Refused,
    ServerMessage,
    Welcome,
    Withdraw,
    kind_of,
)

ServerEvent: TypeAlias = Hello | Expose | Withdraw | Health
"""What the agent asks for. Each `Expose` is owed a `grant` or a `deny`; `Withdraw` names an endpoint that is live and
`Health` one that is granted."""


@final
class _State(Enum):
    """Where the conversation stands; the value is how errors call it."""

    AWAITING_HELLO = "awaiting a hello"
    AUTHENTICATING = "authenticating"
    OPEN = "open"
    CLOSED = "closed"


@final
class ServerConversation:
    """One control stream, from accept to its end; finished when `is_closed`, once its last output is polled."""

    def __init__(self, limits: Limits, now: Instant) -> None:
        self._limits: Final = limits
        self._deadline: Final = Instant(now + limits.handshake_seconds_max)
        self._reader: Final = MessageReader()
        self._state = _State.AWAITING_HELLO
        self._error: LinkError | None = None
        self._output = b""
        self._highest = EndpointId(0)
        self._endpoints: dict[EndpointId, bool] = {}  # whether it is granted; what is not here is not live
        self._is_draining = False

    @property
    def is_open(self) -> bool:
        """Welcomed, and not ended since."""
        return self._state is _State.OPEN

    @property
    def is_closed(self) -> bool:
        """Refused or broken; nothing more is read, and what is still to be sent is its last word."""
        return self._state is _State.CLOSED

    def receive(self, data: bytes, now: Instant) -> Outcome[list[ServerEvent], LinkError]:
        """What the agent asked for in these bytes; an error is final and has already queued the refusal."""
        if self._state is _State.CLOSED:
            return Success([]) if self._error is None else Failure(self._error)
        late = self.on_time(now)
        if not isinstance(late, Success):
            return late
        if len(self._output) > self._limits.link_output_bytes_max:
            return self._fail(AnswersNotTaken(len(self._output), self._limits.link_output_bytes_max))
        read = self._reader.receive(data)
        if not isinstance(read, Success):
            return self._fail(error_of(read))
        events: list[ServerEvent] = []
        for message in value_of(read):
            wrong = self._take(message, events)
            if wrong is not None:
                return self._fail(wrong)
        return Success(events)

    def on_time(self, now: Instant) -> Outcome[None, LinkError]:
        """Look at the clock: a link that is not open at its deadline is refused."""
        if self.next_deadline() is not None and now >= self._deadline:
            return self._fail(HandshakeTooSlow(self._limits.handshake_seconds_max))
        return Success(None)

    def welcome(self, session: SessionId, heartbeat_ms: int, deadline_ms: int, software: str) -> bool:
        """Believe the hello. Whether the link is open now: it is not when it was refused or broken meanwhile."""
        if self._state is not _State.AUTHENTICATING:
            return False
        self._state = _State.OPEN
        self._send(Welcome(session, heartbeat_ms, deadline_ms, software))
        return True

    def refuse(self, code: RefusalCode, detail: str) -> None:
        """End the link with a reason; the first end counts."""
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._endpoints.clear()
            self._send(Refused(code, detail))

    def grant(self, endpoint: EndpointId, name: str, url: str, epoch: Epoch, seconds_left: int = 0) -> bool:
        """Answer an `Expose`. False when nobody waits for it any more: the caller then gives the name back."""
        if self._endpoints.get(endpoint) is not False:
            return False
        self._endpoints[endpoint] = True
        self._send(Granted(endpoint, name, url, epoch, seconds_left))
        return True

    def deny(self, endpoint: EndpointId, code: DenialCode, detail: str) -> bool:
        """Answer an `Expose`. False when nobody waits for it any more."""
        if self._endpoints.get(endpoint) is not False:
            return False
        self._endpoints.pop(endpoint, None)
        self._send(Denied(endpoint, code, detail))
        return True

    def fence(self, endpoint: EndpointId, detail: str) -> bool:
        """Take a granted endpoint away, because a newer link has its name. False when it was not granted."""
        return self._take_away(endpoint, Fenced(endpoint, detail))

    def lapse(self, endpoint: EndpointId, detail: str) -> bool:
        """Take a granted endpoint away, because its time is over. False when it was not granted."""
        return self._take_away(endpoint, Lapsed(endpoint, detail))

    def drain(self, grace_ms: int) -> None:
        """Announce the end, once: what runs may finish, and every new `Expose` is denied."""
        if self._state is _State.OPEN and not self._is_draining:
            self._is_draining = True
            self._send(Drain(grace_ms))

    def poll_output(self) -> bytes:
        """The bytes to write, handed over once; to be asked for only while the stream takes more."""
        output, self._output = self._output, b""
        return output

    def next_deadline(self) -> Instant | None:
        """When to call `on_time`; None once the link is open or closed."""
        is_waiting = self._state in {_State.AWAITING_HELLO, _State.AUTHENTICATING}
        return self._deadline if is_waiting else None

    def _take_away(self, endpoint: EndpointId, word: Fenced | Lapsed) -> bool:
        if self._endpoints.get(endpoint) is not True:
            return False
        self._endpoints.pop(endpoint, None)
        self._send(word)
        return True

    def _take(self, message: Message, events: list[ServerEvent]) -> TurnError | None:
        if isinstance(message, Hello) and self._state is _State.AWAITING_HELLO:
            self._state = _State.AUTHENTICATING
            events.append(message)
            return None
        if isinstance(message, Expose) and self._state is _State.OPEN:
            return self._take_expose(message, events)
        if isinstance(message, Withdraw) and self._state is _State.OPEN:
            return self._take_withdraw(message, events)
        if isinstance(message, Health) and self._state is _State.OPEN:
            return self._take_health(message, events)
        return OutOfTurn(kind_of(message), self._state.value)

    def _take_expose(self, asked: Expose, events: list[ServerEvent]) -> TurnError | None:
        if asked.endpoint <= self._highest:
            return EndpointReused(asked.endpoint, self._highest)
        self._highest = asked.endpoint
        if self._is_draining:
            self._send(Denied(asked.endpoint, DenialCode.SHUTTING_DOWN, "The server is shutting down."))
        elif len(self._endpoints) >= self._limits.endpoints_per_session_max:
            detail = f"One link exposes at most {self._limits.endpoints_per_session_max} endpoints."
            self._send(Denied(asked.endpoint, DenialCode.TOO_MANY, detail))
        else:
            self._endpoints[asked.endpoint] = False
            events.append(asked)
        return None

    def _take_withdraw(self, asked: Withdraw, events: list[ServerEvent]) -> TurnError | None:
        if asked.endpoint > self._highest:
            return UnaskedEndpoint(asked.endpoint)
        # One that is gone already crossed our `Fenced` or `Denied` on the way; there is nothing left to do.
        if self._endpoints.pop(asked.endpoint, None) is not None:
            events.append(asked)
        return None

    def _take_health(self, told: Health, events: list[ServerEvent]) -> TurnError | None:
        if told.endpoint > self._highest:
            return UnaskedEndpoint(told.endpoint)
        # Of one that is gone already, it crossed our `Fenced` on the way.
        if self._endpoints.get(told.endpoint) is True:
            events.append(told)
        return None

    def _send(self, message: ServerMessage) -> None:
        self._output += encode_message(message)

    def _fail(self, error: LinkError) -> Failure[LinkError]:
        self._error = error
        self.refuse(refusal_code(error), describe(error))
        return Failure(error)
