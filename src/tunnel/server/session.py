"""One agent on the server: its link, its conversation on the control stream, and the names it holds."""

from typing import Final, assert_never, final

from tunnel import __version__
from tunnel.core.base.ids import EndpointId, Instant, SessionId, StreamId
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, EXPOSURE_OVER, LINK_BUSY, NOT_PERMITTED, Problem
from tunnel.core.directory.decisions import may_hold
from tunnel.core.directory.directory import Directory
from tunnel.core.directory.errors import describe as describe_refusal
from tunnel.core.link.errors import describe as describe_link
from tunnel.core.link.errors import refusal_code
from tunnel.core.link.messages import DenialCode, Expose, Health, Hello, RefusalCode, Withdraw
from tunnel.core.link.preface import StreamPreface, encode_preface
from tunnel.core.link.server_side import ServerConversation, ServerEvent
from tunnel.core.mux.errors import StreamLimitReached
from tunnel.core.mux.session import Role
from tunnel.core.route.granting import Denial
from tunnel.core.route.table import Lease
from tunnel.core.token.rights import permits
from tunnel.core.token.token import EndpointKind, Token
from tunnel.drive.address import Address
from tunnel.drive.alarm import Alarm
from tunnel.drive.link import Link, StreamHandler
from tunnel.observe.events import LinkRefused, NameGranted, SessionEnded, SessionOpened
from tunnel.server.exposure import LAPSED, begin_exposure, cut_tenants, end_exposure, is_past, next_look, release_all
from tunnel.server.gate import refusal_of
from tunnel.server.hub import Hub
from tunnel.server.outlived import Outlived
from tunnel.server.parties import Tenant, VisitorStream
from tunnel.server.registry import Holder
from tunnel.server.telling import note_health, note_released
from tunnel.server.vetting import vet

SOFTWARE: Final = f"tunnel {__version__}"


@final
class AgentSession:
    """The server's side of one link, from the moment its connection is accepted. Finished when that is gone."""

    def __init__(self, hub: Hub, peer: Address, began_at: Instant) -> None:
        self._hub: Final = hub
        self._peer: Final = peer
        self._conversation: Final = ServerConversation(hub.limits, began_at)
        self.began_at: Final = began_at
        self._alarm: Final = Alarm(hub.loop, self)
        self._id = SessionId(0)
        """Nought until the registry has opened the session."""
        self._presented: Token | None = None
        """Verified, while the registry is asked."""
        self.link: Final = Link(Role.SERVER, hub.limits, self, hub.loop, hub.buffer)
        self._control: StreamId | None = None
        self.token: Token | None = None
        self._leases: Final[dict[EndpointId, Lease]] = {}
        self._outlived: Final = Outlived(self.link)
        self._ports_wanted: Final[dict[EndpointId, int]] = {}
        """For each endpoint that was asked for and not answered yet."""
        self._is_stranger = True
        self._is_stuck = False
        """The agent does not take what was said: the rest waits in the conversation, which bounds it."""
        self._is_over = False

    # The connection.

    def on_handed_over(self, detail: str) -> None:
        """TLS stands, and has told the link so; or else it will not, and `detail` says why."""
        if self.link.is_up or self.link.is_gone:
            return
        self._hub.events.emit(LinkRefused(str(self._peer), "no-tls", detail))
        self.link.abort_session()

    def on_link_up(self, link: Link, now: Instant) -> None:
        """TLS stands; the handshake clock runs since the connection was accepted."""
        if not link.speaks_tunnel():
            # Not a frame to it: whatever it speaks, it is not this.
            detail = "a TLS client that does not speak tunnel/1"
            self._hub.events.emit(LinkRefused(str(self._peer), "no-alpn", detail))
            link.close(detail)
            return
        self._alarm.set_by(self._conversation.next_deadline() or now)

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """The agent's first stream is the control stream; it has no business to open another."""
        if self._control is not None:
            return None
        self._control = stream
        return self

    def on_peer_leaving(self, now: Instant) -> None:
        """The agent takes no new visitors: its names are without an agent at once, what runs may finish.

        We answer alike, so that it knows when nothing that we opened is on its way any more.
        """
        self._hub.registry.drop(self._id)
        self._outlived.keep(self._leases.values())
        release_all(self._hub, self._leases)
        self.link.go_away()
        for handler in self.link.handlers():
            if isinstance(handler, Tenant):
                handler.on_agent_leaving(now)

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """The link is over, and with it all that this session held."""
        self._is_over = True
        self._alarm.cancel()
        self._hub.registry.drop(self._id)
        release_all(self._hub, self._leases)
        self._recognise()
        token = self.token
        if token is not None and self._hub.end(self._id, token):
            self._hub.events.emit(SessionEnded(self._id, reason, now - self.began_at))

    def on_link_gone(self) -> None:
        """Nothing is left of it."""
        self._hub.dismiss_link(self)

    # The control stream.

    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """The agent said something."""
        if self._control is not None:
            self.link.return_credit(self._control, len(data))
        received = self._conversation.receive(data, now)
        if isinstance(received, Success):
            for event in value_of(received):
                self._answer(event, now)
        else:
            error = error_of(received)
            self._turn_away(refusal_code(error).name.lower().replace("_", "-"), describe_link(error))
        self._say()

    def on_stream_end(self, now: Instant) -> None:
        """An agent without a control stream is none."""
        self._end("the agent ended the control stream")

    def on_stream_reset(self, now: Instant) -> None:
        """Likewise."""
        self._end("the agent reset the control stream")

    def on_stream_writable(self, now: Instant) -> None:
        """The agent takes words again."""
        self._is_stuck = False
        self._say()

    # The visitors' side.

    @property
    def visitors(self) -> int:
        """Streams of visitors open now."""
        return self.link.live_streams - 1

    def open_for(self, lease: Lease, preface: StreamPreface, handler: StreamHandler) -> Outcome[VisitorStream, Problem]:
        """A stream for one visitor: authorised here and now, from the token that this session was opened with."""
        token = self.token
        if token is None or not self._hub.table.is_current(lease) or self._leases.get(lease.endpoint) is not lease:
            # A visitor of another worker, on its way when the name was given up here.
            return Failure(EXPOSURE_OVER if lease.has_lapsed else AGENT_OFFLINE)
        allowed = permits(token, lease.kind, lease.name, self._hub.clock.unix())
        if not isinstance(allowed, Success):
            return Failure(NOT_PERMITTED)
        if self._hub.is_full(token):
            return Failure(LINK_BUSY)
        opened = self.link.open_stream(handler)
        if not isinstance(opened, Success):
            return Failure(LINK_BUSY if isinstance(error_of(opened), StreamLimitReached) else AGENT_OFFLINE)
        stream = value_of(opened)
        self.link.send(stream, encode_preface(preface))
        return Success(VisitorStream(self.link, stream, is_direct=True))

    def fence(self, lease: Lease, detail: str, now: Instant) -> None:
        """The lease is another's now: not one byte more passes on its streams."""
        self._hub.ports.close(lease, for_good=False)
        if self._leases.pop(lease.endpoint, None) is not None:
            note_released(self._hub, lease)
        self._conversation.fence(lease.endpoint, detail)
        self._say()
        cut_tenants(self.link, lease, now)

    def supersede(self) -> None:
        """The same agent process dialled again: this link is dead, or will be."""
        self._conversation.refuse(RefusalCode.SUPERSEDED, "a newer link of the same agent took over")
        self._end("superseded by a newer link of the same agent")

    def judge(self, directory: Directory, now: Instant) -> None:
        """End, or give up the names that are another account's now; the agent is told why."""
        token = self.token
        if token is None:
            return
        refused = refusal_of(directory, token)
        if refused is not None:
            self._refuse(*refused)
            return
        for lease in list(self._leases.values()):
            held = may_hold(directory, token, lease.name)
            if not isinstance(held, Success):
                self._hub.registry.withdraw(lease)
                self.fence(lease, describe_refusal(error_of(held)), now)
        self._outlived.judge(directory, now)

    def dismiss(self, detail: str) -> None:
        """An operator ended it."""
        self._refuse(RefusalCode.ENDED_BY_OPERATOR, detail)

    def drain(self, grace_seconds: float, now: Instant) -> None:
        """Say that this server goes, and open nothing more."""
        self.announce(grace_seconds)
        self.link.go_away()

    def announce(self, grace_seconds: float) -> None:
        """Ask the agent to dial again; until it has, this link serves on."""
        self._conversation.drain(int(grace_seconds * 1000))
        self._say()

    @property
    def is_needed(self) -> bool:
        """Whether the agent holds a name over this link."""
        return bool(self._leases)

    def on_moved(self, lease: Lease, now: Instant) -> None:
        """The agent holds the name over a newer link: what runs on this one is the last."""
        self._leases.pop(lease.endpoint, None)
        self._outlived.keep([lease])
        for handler in self.link.handlers():
            if isinstance(handler, Tenant) and handler.holds(lease):
                handler.on_agent_leaving(now)
        if not self._leases:
            self.link.go_away()
            self._hub.on_session_moved()

    def close(self, reason: str) -> None:
        """End the link, with what is queued."""
        self.link.close(reason)

    def abort_session(self) -> None:
        """End the link at once."""
        self.link.abort_session()

    def on_alarm(self, now: Instant) -> Instant:
        """The handshake took too long, or the token's time is over."""
        token = self.token
        if token is None:
            late = self._conversation.on_time(now)
            if not isinstance(late, Success):
                self._turn_away("too-slow", describe_link(error_of(late)))
            return self._conversation.next_deadline() or self._expiry(now)
        is_over = self._hub.clock.unix() >= token.expiry
        if is_over:
            self._conversation.refuse(RefusalCode.EXPIRED, "the token's time is over; mint a new one")
        for lease in [each for each in self._leases.values() if is_over or is_past(each, now)]:
            self._lapse(lease, now)
        self._outlived.end(now)
        if is_over:
            self._end("the token expired")
        return self._expiry(now)

    # The registry.

    @property
    def peer(self) -> str:
        """Where the agent dialled from."""
        return str(self._peer)

    def on_opened(self, session: SessionId, retired: Holder | None, now: Instant) -> None:
        """The hello is believed; an older link of the same agent process ends."""
        hub, token = self._hub, self._presented
        if self._is_over or token is None:
            hub.registry.drop(session)
            return
        self._id = session
        self.token = token
        self._recognise()
        hub.begin(session, self, token)
        if retired is not None:
            retired.supersede()
        limits = hub.limits
        self._conversation.welcome(
            session, int(limits.heartbeat_seconds * 1000), int(limits.heartbeat_deadline_seconds * 1000), SOFTWARE
        )
        hub.events.emit(SessionOpened(session, token.account.hex(), str(self._peer), token.token_id.hex()))
        self._alarm.set_by(self._expiry(now))
        self._say()
        # What was told while the registry was asked reached those that were sessions already.
        self.judge(hub.directory, now)

    def on_open_refused(self, detail: str) -> None:
        """The token holds as many links as it may."""
        self._refuse(RefusalCode.TOO_MANY_SESSIONS, detail)

    def on_granted(self, lease: Lease, now: Instant) -> bool:
        """The endpoint has its name; False when it cannot have its port, or the agent does not want it any more."""
        held = may_hold(self._hub.directory, lease.token, lease.name)
        if not isinstance(held, Success):
            # Told while the grant waited for others to cut what was before: who was judged then did not hold it yet.
            self.on_denied(lease.endpoint, Denial(DenialCode.NAME_TAKEN, describe_refusal(error_of(held))))
            return False
        opened = self._port_for(lease)
        if not isinstance(opened, Success):
            self.on_denied(lease.endpoint, error_of(opened))
            return False
        url = self._hub.urls.of_lease(lease, value_of(opened))
        left = 0 if self.token is None else begin_exposure(self._hub, self.token, lease, now)
        if self._is_over or not self._conversation.grant(lease.endpoint, lease.name, url, lease.epoch, left):
            self._hub.ports.close(lease, for_good=True)
            return False
        self._leases[lease.endpoint] = lease
        self._alarm.set_by(self._expiry(now))
        members = len(self._hub.table.members(lease.name))
        self._hub.events.emit(NameGranted(self._id, lease.name, lease.epoch, members))
        # Queued before a fence: a request that it cuts off may be repeated on this link, behind the grant.
        self._say()
        return True

    def on_denied(self, endpoint: EndpointId, denial: Denial) -> None:
        """The endpoint gets no name, or no port."""
        self._ports_wanted.pop(endpoint, None)
        self._conversation.deny(endpoint, denial.code, denial.detail)
        self._say()

    # Helpers.

    def _answer(self, event: ServerEvent, now: Instant) -> None:
        match event:
            case Hello():
                self._authenticate(event)
            case Expose():
                token = self.token
                if token is not None:
                    self._ports_wanted[event.endpoint] = event.port
                    self._hub.registry.expose(self._id, self, token, event)
            case Withdraw(endpoint=endpoint):
                lease = self._leases.pop(endpoint, None)
                if lease is not None:
                    self._outlived.keep([lease])
                    self._hub.ports.close(lease, for_good=True)
                    self._hub.registry.withdraw(lease)
                    note_released(self._hub, lease)
            case Health(endpoint=endpoint, is_up=is_up, detail=detail):
                lease = self._leases.get(endpoint)
                if lease is not None:
                    note_health(self._hub, lease, detail, is_up=is_up)
            case _:
                assert_never(event)

    def _authenticate(self, hello: Hello) -> None:
        vetted = vet(self._hub, hello)
        if not isinstance(vetted, Success):
            self._refuse(error_of(vetted).code, error_of(vetted).detail)
            return
        self._presented = value_of(vetted)
        self._hub.registry.open(self, value_of(vetted), hello)

    def _lapse(self, lease: Lease, now: Instant) -> None:
        """Its time is over, or that of the token, of which the agent knows already."""
        self._leases.pop(lease.endpoint, None)
        self._conversation.lapse(lease.endpoint, LAPSED)
        self._say()
        note_released(self._hub, lease)
        end_exposure(self._hub, self.link, lease, now)

    def _port_for(self, lease: Lease) -> Outcome[int, Denial]:
        """The public port of a lease that needs one, else 0."""
        wanted = self._ports_wanted.pop(lease.endpoint, 0)
        return self._hub.ports.open(lease, wanted) if lease.kind is EndpointKind.TCP else Success(0)

    def _refuse(self, code: RefusalCode, detail: str) -> None:
        """Tell the agent why it is not served, or not any more."""
        self._conversation.refuse(code, detail)
        if self.token is None:
            self._turn_away(code.name.lower().replace("_", "-"), detail)
        else:
            self._end(detail)

    def _turn_away(self, code: str, detail: str) -> None:
        if not self._is_over:
            self._hub.events.emit(LinkRefused(str(self._peer), code, detail))
            self._end(detail)

    def _end(self, reason: str) -> None:
        """Close once what the conversation still has to say is queued."""
        if not self._is_over:
            self._is_over = True
            self._say()
            self.link.go_away()
            self.link.close(reason)

    def _recognise(self) -> None:
        if self._is_stranger:
            self._is_stranger = False
            self._hub.recognise(self._peer.host)

    def _say(self) -> None:
        if self._control is not None and not self._is_stuck:
            words = self._conversation.poll_output()
            if words:
                self._is_stuck = self.link.send(self._control, words) > self._hub.limits.stream_queue_bytes

    def _expiry(self, now: Instant) -> Instant:
        return next_look(self.token, [*self._leases.values(), *self._outlived.leases], self._hub.clock.unix(), now)
