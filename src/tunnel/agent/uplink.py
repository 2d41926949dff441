"""One link of the agent, from TLS to its end: hello, the endpoint, and a pipe for each visitor's stream."""

import asyncio
from math import inf
from time import monotonic
from typing import Final, Protocol, assert_never, final

from tunnel import __version__
from tunnel.agent.end import AgentEnd, ExposureOver, NameDenied, NotAuthorised, PortDenied, ServerUntrusted
from tunnel.agent.local import LocalGround, LocalPipe
from tunnel.agent.settings import AgentSettings
from tunnel.core.base.ids import EndpointId, Instant, StreamId
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.link.agent_side import AgentConversation, AgentEvent
from tunnel.core.link.errors import describe
from tunnel.core.link.messages import DenialCode, Denied, Drain, Fenced, Granted, Lapsed, RefusalCode, Refused, Welcome
from tunnel.core.mux.session import Role
from tunnel.drive.alarm import Alarm
from tunnel.drive.link import Link, StreamHandler

SOFTWARE: Final = f"tunnel {__version__}"

_TRANSIENT: Final = frozenset(
    (
        RefusalCode.TOO_SLOW,
        RefusalCode.SHUTTING_DOWN,
        RefusalCode.SUPERSEDED,
        RefusalCode.TOO_MANY_SESSIONS,
        RefusalCode.NOT_YET_VALID,
    )
)
"""Refusals that another try may mend."""


class UplinkOwner(Protocol):
    """Who keeps the links up."""

    def on_granted(self, uplink: "Uplink", granted: Granted) -> None:
        """The server has given the name to the endpoint of this link."""

    def seconds_left(self) -> int:
        """For how long the endpoint is still to be exposed; 0 leaves that to the server."""


@final
class Uplink:
    """The agent's side of one link.

    `leaving` is set when a successor should be dialled, `closed` when nothing passes any more, `gone` when the
    connection under it is gone, too.
    """

    def __init__(
        self,
        settings: AgentSettings,
        ground: LocalGround,
        instance: bytes,
        name: str,
        number: int,
        owner: "UplinkOwner",
    ) -> None:
        now = Instant(monotonic())
        self._settings: Final = settings
        self._ground: Final = ground
        self._instance: Final = instance
        self._name: Final = name
        self._owner: Final = owner
        self.number: Final = number
        """Which of the agent's links it is, counted from 0."""
        self._conversation: Final = AgentConversation(settings.limits, now)
        self._alarm: Final = Alarm(ground.loop, self)
        self._control: StreamId | None = None
        self.link: Final = Link(Role.CLIENT, settings.limits, self, ground.loop, ground.buffer)
        self.leaving: Final = asyncio.Event()
        self.closed: Final = asyncio.Event()
        self.gone: Final = asyncio.Event()
        self._endpoints: Final[set[EndpointId]] = set()
        self._visitors = 0
        self._visitor_left: Final = asyncio.Event()
        self.granted_name = ""
        self.reason = ""
        self.end: AgentEnd | None = None
        """Set when going on makes no sense."""

    def leave(self) -> None:
        """Take no new visitors; what runs goes on.

        The name is not withdrawn: its visitors are then told for a day that the agent is offline (503, try again),
        not that there is no such name (404), after which senders of webhooks give up for good.
        """
        self.link.go_away()
        if not self.is_granted:
            self.link.close("stopped before the server granted anything")

    @property
    def is_granted(self) -> bool:
        """Whether the server granted the name at some time."""
        return bool(self.granted_name)

    def tell_health(self, *, is_up: bool, detail: str) -> None:
        """Say how the local service does, for all that is exposed on this link."""
        for endpoint in self._endpoints:
            self._conversation.tell_health(endpoint, is_up=is_up, detail=detail)
        self._say()

    async def farewell(self) -> None:
        """Return once the server has answered our GOAWAY by its own: all that it opened before that is here."""
        await self.leaving.wait()

    async def no_visitors(self) -> None:
        """Return once no visitor's stream is left or the link is gone."""
        while self._visitors and not self.closed.is_set():
            self._visitor_left.clear()
            await self._visitor_left.wait()

    # The visitors' streams.

    def exposes(self, endpoint: EndpointId) -> bool:
        """Whether the server granted this endpoint on this link and did not take it back."""
        return endpoint in self._endpoints

    def on_pipe_over(self) -> None:
        """One visitor's stream is done with."""
        self._visitors -= 1
        self._visitor_left.set()

    # The link.

    def on_link_up(self, link: Link, now: Instant) -> None:
        """TLS stands and has verified the server: say hello, ask for the name."""
        if not link.speaks_tunnel():
            # Asked before the hello: the token is a secret, and another service of the same host is not to have it.
            detail = "it does not speak tunnel/1; is this the agents' port?"
            self.end = ServerUntrusted(str(self._settings.server), detail)
            self._fail(detail)
            return
        opened = link.open_stream(self)
        if not isinstance(opened, Success):
            link.close("the control stream could not be opened")
            return
        self._control = value_of(opened)
        self._conversation.hello(self._settings.token, self._instance, SOFTWARE, self.number)
        self._conversation.expose(
            self._settings.kind,
            self._name,
            self._settings.host_header,
            port=self._settings.port,
            share=self._settings.share,
            policy=self._settings.policy,
            ttl_seconds=self._owner.seconds_left(),
        )
        self._alarm.set_by(self._conversation.next_deadline() or now)
        self._say()

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """A visitor's connection comes through."""
        self._visitors += 1
        return LocalPipe(self.link, stream, self._ground, self)

    def on_peer_leaving(self, now: Instant) -> None:
        """The server opens nothing more here."""
        self.leaving.set()

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """The link is over; visitors' streams are told next."""
        self._alarm.cancel()
        self._endpoints.clear()
        self.reason = self.reason or reason
        self.closed.set()
        self._visitor_left.set()
        self.leaving.set()

    def on_link_gone(self) -> None:
        """Nothing is left of it."""
        self.gone.set()

    # The control stream.

    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """The server said something."""
        if self._control is not None:
            self.link.return_credit(self._control, len(data))
        received = self._conversation.receive(data, now)
        if isinstance(received, Success):
            for event in value_of(received):
                self._take(event)
        else:
            self._fail(describe(error_of(received)))
        self._say()

    def on_stream_end(self, now: Instant) -> None:
        """Without a control stream there is no link."""
        self._fail("the server ended the control stream")

    def on_stream_reset(self, now: Instant) -> None:
        """Likewise."""
        self._fail("the server reset the control stream")

    def on_stream_writable(self, now: Instant) -> None:
        """Control messages are few; nobody waits for this."""

    def on_alarm(self, now: Instant) -> Instant:
        """The server has not answered the hello in time."""
        late = self._conversation.on_time(now)
        if not isinstance(late, Success):
            self._fail(describe(error_of(late)))
        return self._conversation.next_deadline() or Instant(inf)

    def abort_session(self) -> None:
        """End the link at once."""
        self.link.abort_session()

    # Helpers.

    def _take(self, event: AgentEvent) -> None:
        match event:
            case Welcome() | Drain():
                pass
            case Granted(endpoint=endpoint, name=name):
                self._endpoints.add(endpoint)
                self.granted_name = name
                self._owner.on_granted(self, event)
            case Refused(code=code, detail=detail):
                if code not in _TRANSIENT:
                    self.end = NotAuthorised(code.name.lower().replace("_", "-"), detail)
                self._fail(detail)
            case Denied(code=code, detail=detail):
                self._denied(code, detail)
            case Fenced(detail=detail):
                self.end = NameDenied(self.granted_name, detail)
                self._fail(detail)
            case Lapsed(detail=detail):
                self.end = ExposureOver(self.granted_name, detail)
                self._fail(detail)
            case _:
                assert_never(event)
        if isinstance(event, Drain):
            self.leaving.set()

    def _denied(self, code: DenialCode, detail: str) -> None:
        if code is DenialCode.NAME_TAKEN:
            self.end = NameDenied(self._name, detail)
        elif code is DenialCode.PORT_TAKEN:
            self.end = PortDenied(self._settings.port, detail)
        elif code is not DenialCode.SHUTTING_DOWN:
            self.end = NotAuthorised(code.name.lower().replace("_", "-"), detail)
        self._fail(detail)

    def _fail(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.link.close(reason)

    def _say(self) -> None:
        if self._control is not None:
            words = self._conversation.poll_output()
            if words:
                self.link.send(self._control, words)
