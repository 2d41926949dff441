"""The messages of workers and supervisor as bytes: three bytes of length, one of kind, then the fields.

The length counts the fields; numbers are big-endian. An `Expose` stands in its form of the link, whole, so that
whatever an agent can ask for crosses without being said twice.
"""

from collections.abc import Mapping
from typing import Final, final

from tunnel.core.base.fields import Fields, text_bytes
from tunnel.core.base.ids import EndpointId, Epoch, Label, SessionId
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import item_at, uint_at, uint_bytes
from tunnel.core.cluster.errors import MessageMalformed, MessageTooLong, ReadError, UnknownMessage
from tunnel.core.cluster.messages import (
    AskName,
    Attend,
    CutDone,
    DropSession,
    GiveUp,
    LeaseDown,
    LeaseEnd,
    LeaseHealth,
    LeaseUp,
    LookAgain,
    Message,
    MessageKind,
    NameDenied,
    NameGranted,
    NameOffline,
    NoteHealth,
    OpenSession,
    Ready,
    Retire,
    Serve,
    SessionOpened,
    SessionRefused,
    Supersede,
    SupervisorMessage,
    Tally,
    WorkerDown,
    WorkerId,
    WorkerMessage,
    WorkerTally,
    WorkerUp,
)
from tunnel.core.cluster.tally import take_uses, uses_bytes
from tunnel.core.link.codec import MessageReader as LinkReader
from tunnel.core.link.codec import encode_message as encode_link_message
from tunnel.core.link.messages import INSTANCE_BYTES, DenialCode, Expose, Keep
from tunnel.core.route.name import label_of
from tunnel.core.token.token import ACCOUNT_BYTES, ENDPOINT_KINDS, TOKEN_BYTES, AccountId, EndpointKind

MESSAGE_BYTES_MAX: Final = 16 * 1024
"""A whole message with its length; an `Expose` has its own bound below that, a token and a path are short."""
PEER_CHARS_MAX: Final = 128
DETAIL_CHARS_MAX: Final = 512
PATH_CHARS_MAX: Final = 107
"""What `sockaddr_un` holds on Linux, less its final zero (unix(7))."""

_HEADER_BYTES: Final = 4
_LABEL_CHARS_MAX: Final = 63
_KINDS: Final[Mapping[int, MessageKind]] = {kind.value: kind for kind in MessageKind}
_DENIALS: Final[Mapping[int, DenialCode]] = {code.value: code for code in DenialCode}
_ENDS: Final[Mapping[int, LeaseEnd]] = {end.value: end for end in LeaseEnd}
_NOTHING_ASKED: Final = Expose(EndpointId(0), EndpointKind.HTTP, "", Keep())


@final
class MessageReader:
    """Feed the bytes of one conversation in; whole messages come out; a first error is final."""

    def __init__(self) -> None:
        self._held = b""
        self._error: ReadError | None = None

    def receive(self, data: bytes) -> Outcome[list[Message], ReadError]:
        """The messages that are complete now, in order."""
        self._held += data
        messages: list[Message] = []
        at = 0
        while self._error is None:
            size = uint_at(self._held, at, 3)
            end = at + _HEADER_BYTES + size
            if end - at > MESSAGE_BYTES_MAX:
                self._error = MessageTooLong(end - at, MESSAGE_BYTES_MAX)
            elif size < 0 or end > len(self._held):
                self._held = self._held[at:]
                return Success(messages)
            else:
                read = _decoded(uint_at(self._held, at + 3, 1), self._held[at + _HEADER_BYTES : end])
                if isinstance(read, (UnknownMessage, MessageMalformed)):
                    self._error = read
                else:
                    messages.append(read)
                    at = end
        self._held = b""
        return Failure(self._error)


def encode_message(message: Message) -> bytes:
    """The bytes of `message`; texts for people are cut to their limit."""
    if isinstance(message, (Attend, Ready, OpenSession, AskName, GiveUp, DropSession, CutDone, NoteHealth, Tally)):
        body = _worker_body(message)
    else:
        body = _supervisor_body(message)
    return uint_bytes(len(body), 3) + uint_bytes(message.message_kind.value, 1) + body


def _worker_body(message: WorkerMessage) -> bytes:
    match message:
        case Attend():
            return uint_bytes(message.version, 2)
        case Ready():
            return b""
        case OpenSession():
            numbers = uint_bytes(message.asking, 8) + message.instance + uint_bytes(message.link, 1)
            return numbers + message.token + text_bytes(message.peer, PEER_CHARS_MAX)
        case AskName():
            return uint_bytes(message.session, 8) + encode_link_message(message.asked)
        case GiveUp():
            return (
                text_bytes(message.name, _LABEL_CHARS_MAX)
                + uint_bytes(message.epoch, 8)
                + _flag(is_so=message.has_lapsed)
            )
        case DropSession():
            return uint_bytes(message.session, 8)
        case Tally():
            return uses_bytes(message.uses)
        case NoteHealth():
            return uint_bytes(message.epoch, 8) + _flag(is_so=message.is_up)
        case _:
            return uint_bytes(message.epoch, 8)


def _supervisor_body(message: SupervisorMessage) -> bytes:
    match message:
        case SessionOpened():
            return uint_bytes(message.asking, 8) + uint_bytes(message.session, 8)
        case SessionRefused():
            return uint_bytes(message.asking, 8) + text_bytes(message.detail, DETAIL_CHARS_MAX)
        case NameGranted():
            return uint_bytes(message.session, 8) + uint_bytes(message.epoch, 8)
        case NameDenied():
            numbers = uint_bytes(message.session, 8) + uint_bytes(message.endpoint, 4)
            return numbers + uint_bytes(message.code.value, 1) + text_bytes(message.detail, DETAIL_CHARS_MAX)
        case Supersede():
            return uint_bytes(message.session, 8)
        case Serve() | Retire() | LookAgain():
            return b""
        case _:
            return _directory_body(message)


def _directory_body(
    message: LeaseUp | LeaseDown | LeaseHealth | NameOffline | WorkerUp | WorkerDown | WorkerTally,
) -> bytes:
    match message:
        case LeaseUp():
            numbers = uint_bytes(message.worker, 4) + uint_bytes(message.session, 8) + uint_bytes(message.epoch, 8)
            numbers += uint_bytes(message.port, 2) + uint_bytes(message.opening, 4)
            texts = text_bytes(message.name, _LABEL_CHARS_MAX) + text_bytes(message.peer, PEER_CHARS_MAX)
            return numbers + texts + message.token + message.instance + encode_link_message(message.asked)
        case LeaseDown():
            ended = uint_bytes(message.epoch, 8) + uint_bytes(message.end.value, 1)
            return ended + text_bytes(message.name, _LABEL_CHARS_MAX)
        case WorkerTally():
            return uint_bytes(message.worker, 4) + uses_bytes(message.uses)
        case LeaseHealth():
            return uint_bytes(message.epoch, 8) + _flag(is_so=message.is_up)
        case NameOffline():
            ago = uint_bytes(message.seconds, 4) + uint_bytes(message.kind.value, 1)
            return text_bytes(message.name, _LABEL_CHARS_MAX) + message.account + ago + _flag(is_so=message.has_lapsed)
        case WorkerUp():
            return uint_bytes(message.worker, 4) + text_bytes(message.path, PATH_CHARS_MAX)
        case _:
            return uint_bytes(message.worker, 4)


def _decoded(number: int, body: bytes) -> Message | UnknownMessage | MessageMalformed:
    kind = _KINDS.get(number)
    if kind is None:
        return UnknownMessage(number)
    fields = Fields(body)
    message = _message(kind, fields, body)
    fault = fields.fault()
    return MessageMalformed(kind, fault) if fault else message


def _message(kind: MessageKind, fields: Fields, body: bytes) -> Message:
    """The message of that kind; blank where a field is bad, which `fields.fault` tells."""
    match kind:
        case MessageKind.ATTEND:
            return Attend(fields.take_uint("version", 2))
        case MessageKind.READY:
            return Ready()
        case MessageKind.OPEN_SESSION:
            return OpenSession(
                fields.take_uint("asking", 8),
                fields.take_bytes("instance", INSTANCE_BYTES),
                fields.take_uint("link", 1),
                fields.take_bytes("token", TOKEN_BYTES),
                fields.take_text("peer", PEER_CHARS_MAX),
            )
        case MessageKind.ASK_NAME:
            return AskName(_session(fields), _expose(fields, body[8:]))
        case MessageKind.GIVE_UP:
            return GiveUp(_name(fields), _epoch(fields), _is(fields, "has lapsed"))
        case MessageKind.DROP_SESSION:
            return DropSession(_session(fields))
        case MessageKind.CUT_DONE:
            return CutDone(_epoch(fields))
        case MessageKind.LEASE_UP:
            return _lease_up(fields, body)
        case _:
            return _answer(kind, fields)


def _answer(kind: MessageKind, fields: Fields) -> Message:
    match kind:
        case MessageKind.SERVE:
            return Serve()
        case MessageKind.SESSION_OPENED:
            return SessionOpened(fields.take_uint("asking", 8), _session(fields))
        case MessageKind.SESSION_REFUSED:
            return SessionRefused(fields.take_uint("asking", 8), fields.take_text("detail", DETAIL_CHARS_MAX))
        case MessageKind.NAME_GRANTED:
            return NameGranted(_session(fields), _epoch(fields))
        case MessageKind.NAME_DENIED:
            return _denied(fields)
        case MessageKind.SUPERSEDE:
            return Supersede(_session(fields))
        case MessageKind.RETIRE:
            return Retire()
        case MessageKind.NOTE_HEALTH:
            return NoteHealth(_epoch(fields), _is(fields, "is up"))
        case MessageKind.LOOK_AGAIN:
            return LookAgain()
        case _:
            return _news(kind, fields)


def _kind(fields: Fields) -> EndpointKind:
    number = fields.take_uint("kind", 1)
    for kind in ENDPOINT_KINDS:
        if kind.value == number:
            return kind
    fields.refuse("kind")
    return EndpointKind.HTTP


def _news(kind: MessageKind, fields: Fields) -> Message:
    match kind:
        case MessageKind.LEASE_DOWN:
            return _lease_down(fields)
        case MessageKind.TALLY:
            return Tally(take_uses(fields))
        case MessageKind.WORKER_TALLY:
            return WorkerTally(_worker(fields), take_uses(fields))
        case MessageKind.LEASE_HEALTH:
            return LeaseHealth(_epoch(fields), _is(fields, "is up"))
        case MessageKind.NAME_OFFLINE:
            name = _name(fields)
            account = AccountId(fields.take_bytes("account", ACCOUNT_BYTES))
            ago = fields.take_uint("seconds", 4)
            return NameOffline(name, account, ago, _kind(fields), _is(fields, "has lapsed"))
        case MessageKind.WORKER_UP:
            return WorkerUp(_worker(fields), fields.take_text("path", PATH_CHARS_MAX))
        case _:
            return WorkerDown(_worker(fields))


def _denied(fields: Fields) -> NameDenied:
    session, endpoint = _session(fields), EndpointId(fields.take_uint("endpoint", 4))
    code = _DENIALS.get(fields.take_uint("code", 1))
    if code is None:
        fields.refuse("code")
    detail = fields.take_text("detail", DETAIL_CHARS_MAX)
    return NameDenied(session, endpoint, code or DenialCode.NOT_PERMITTED, detail)


def _lease_up(fields: Fields, body: bytes) -> LeaseUp:
    worker, session, epoch = _worker(fields), _session(fields), _epoch(fields)
    port, opening, name = fields.take_uint("port", 2), fields.take_uint("opening", 4), _name(fields)
    peer = fields.take_text("peer", PEER_CHARS_MAX)
    token = fields.take_bytes("token", TOKEN_BYTES)
    instance = fields.take_bytes("instance", INSTANCE_BYTES)
    before = 26 + 2 + len(name) + 2 + len(peer) + len(token) + len(instance)
    return LeaseUp(worker, session, epoch, name, token, _expose(fields, body[before:]), peer, instance, port, opening)


def _lease_down(fields: Fields) -> LeaseDown:
    epoch = _epoch(fields)
    end = _ENDS.get(fields.take_uint("end", 1))
    if end is None:
        fields.refuse("end")
    return LeaseDown(epoch, _name(fields), end or LeaseEnd.OFFLINE)


def _expose(fields: Fields, rest: bytes) -> Expose:
    """The link message that makes up the rest of the body."""
    fields.take_bytes("asked", len(rest))
    read = LinkReader().receive(rest)
    asked = item_at(value_of(read), 0) if isinstance(read, Success) else None
    if not isinstance(asked, Expose) or encode_link_message(asked) != rest:
        fields.refuse("asked")
        return _NOTHING_ASKED
    return asked


def _name(fields: Fields) -> Label:
    """A name as our own side writes it: a second spelling, in capitals, is no message of ours."""
    text = fields.take_text("name", _LABEL_CHARS_MAX)
    label = label_of(text)
    if not isinstance(label, Success) or value_of(label) != text:
        fields.refuse("name")
        return Label("")
    return value_of(label)


def _flag(*, is_so: bool) -> bytes:
    return b"\1" if is_so else b"\0"


def _is(fields: Fields, what: str) -> bool:
    number = fields.take_uint(what, 1)
    if number > 1:
        fields.refuse(what)
    return number == 1


def _session(fields: Fields) -> SessionId:
    return SessionId(fields.take_uint("session", 8))


def _epoch(fields: Fields) -> Epoch:
    return Epoch(fields.take_uint("epoch", 8))


def _worker(fields: Fields) -> WorkerId:
    return WorkerId(fields.take_uint("worker", 4))
