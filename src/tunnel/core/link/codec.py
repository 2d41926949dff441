"""Link messages as bytes: two bytes of length, one of kind, then the fields in the order of spec/link.md.

The length counts the fields. Every field has one place and one size or a length of its own; nothing is optional
and nothing may follow, so there is one encoding per message.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, final

from tunnel.core.base.fields import Fields, text_bytes
from tunnel.core.base.ids import EndpointId, Epoch, SessionId
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import uint_at, uint_bytes
from tunnel.core.link.authority import AUTHORITY_CHARS_MAX, authority_of
from tunnel.core.link.errors import MessageMalformed, MessageTooLong, OtherVersion, ReadError, UnknownMessage
from tunnel.core.link.messages import (
    INSTANCE_BYTES,
    LINK_VERSION,
    AgentMessage,
    DenialCode,
    Denied,
    Drain,
    Expose,
    Fenced,
    Granted,
    Health,
    Hello,
    HostHeader,
    Keep,
    Lapsed,
    Message,
    MessageKind,
    RefusalCode,
    Refused,
    Rewrite,
    ServerMessage,
    Share,
    Value,
    Welcome,
    Withdraw,
)
from tunnel.core.link.policies import policy_bytes, take_policy
from tunnel.core.token.token import ENDPOINT_KINDS, TOKEN_BYTES, EndpointKind

MESSAGE_BYTES_MAX: Final = 4096
"""A whole message with its length; half as long again as an Expose with all it may ask for, and little to hold."""
SOFTWARE_CHARS_MAX: Final = 64
NAME_CHARS_MAX: Final = 255
"""More than a label (63): a cut name is still too long to be one, so it is denied and never another name."""
TEXT_CHARS_MAX: Final = 512
"""Details and URLs."""

ServerKind: TypeAlias = Literal[
    MessageKind.WELCOME,
    MessageKind.REFUSED,
    MessageKind.GRANTED,
    MessageKind.DENIED,
    MessageKind.DRAIN,
    MessageKind.FENCED,
    MessageKind.LAPSED,
]

_HEADER_BYTES: Final = 3
_ABSENT: Final = -1
_KINDS: Final[Mapping[int, MessageKind]] = {kind.value: kind for kind in MessageKind}
_ENDPOINT_KINDS: Final[Mapping[int, EndpointKind]] = {kind.value: kind for kind in ENDPOINT_KINDS}
_REFUSALS: Final[Mapping[int, RefusalCode]] = {code.value: code for code in RefusalCode}
_SHARES: Final[Mapping[int, Share]] = {share.value: share for share in Share}
_DENIALS: Final[Mapping[int, DenialCode]] = {code.value: code for code in DenialCode}
_REWRITE: Final = 0
_KEEP: Final = 1
_VALUE: Final = 2


@final
class MessageReader:
    """Feed the bytes of a control stream in; whole messages come out; a first error is final.

    Messages that stand before an error in the same read are dropped with it: the link ends, and all they asked for.
    """

    def __init__(self) -> None:
        self._held = b""
        self._error: ReadError | None = None

    def receive(self, data: bytes) -> Outcome[list[Message], ReadError]:
        """The messages that are complete now, in order."""
        if self._error is not None:
            return Failure(self._error)
        self._held += data
        messages: list[Message] = []
        at = 0
        while True:
            found = _message_at(self._held, at)
            if found is None:
                self._held = self._held[at:]
                return Success(messages)
            if not isinstance(found, tuple):
                self._error = found
                self._held = b""
                return Failure(found)
            message, at = found
            messages.append(message)


def encode_message(message: Message) -> bytes:
    """The bytes of `message`. Texts for people are cut to their limit, unprintable characters become `?`.

    A name is treated alike, and that is safe: what `?` or a cut makes of it is no label, so it is denied.
    """
    if isinstance(message, (Hello, Expose, Withdraw, Health)):
        return _agent_bytes(message)
    return _server_bytes(message)


def _framed(kind: MessageKind, *fields: bytes) -> bytes:
    body = b"".join(fields)
    return uint_bytes(len(body), 2) + uint_bytes(kind.value, 1) + body


def _agent_bytes(message: AgentMessage) -> bytes:
    match message:
        case Hello(version=version, instance=instance, token=token, software=software, link=link):
            texts = text_bytes(software, SOFTWARE_CHARS_MAX)
            return _framed(MessageKind.HELLO, uint_bytes(version, 2), instance, token, texts, uint_bytes(link, 1))
        case Expose():
            return _framed(
                MessageKind.EXPOSE,
                uint_bytes(message.endpoint, 4),
                uint_bytes(message.kind.value, 1),
                text_bytes(message.name, NAME_CHARS_MAX),
                _host_header_bytes(message.host_header),
                uint_bytes(message.port, 2),
                uint_bytes(message.share.value, 1),
                uint_bytes(message.ttl_seconds, 4),
                policy_bytes(message.policy),
            )
        case Health(endpoint=endpoint, is_up=is_up, detail=detail):
            numbers = uint_bytes(endpoint, 4) + uint_bytes(1 if is_up else 0, 1)
            return _framed(MessageKind.HEALTH, numbers, _detail_bytes(detail))
        case _:
            return _framed(message.message_kind, uint_bytes(message.endpoint, 4))


def _host_header_bytes(choice: HostHeader) -> bytes:
    match choice:
        case Rewrite(authority=authority):
            return uint_bytes(_REWRITE, 1) + text_bytes(authority, AUTHORITY_CHARS_MAX)
        case Keep():
            return uint_bytes(_KEEP, 1)
        case _:
            return uint_bytes(_VALUE, 1) + text_bytes(choice.text, AUTHORITY_CHARS_MAX)


def _detail_bytes(detail: str) -> bytes:
    return text_bytes(detail, TEXT_CHARS_MAX)


def _server_bytes(message: ServerMessage) -> bytes:
    match message:
        case Welcome(session=session, heartbeat_ms=beat, deadline_ms=deadline, software=software):
            numbers = uint_bytes(session, 8) + uint_bytes(beat, 4) + uint_bytes(deadline, 4)
            return _framed(MessageKind.WELCOME, numbers, text_bytes(software, SOFTWARE_CHARS_MAX))
        case Refused(code=refusal, detail=detail):
            return _framed(MessageKind.REFUSED, uint_bytes(refusal.value, 1), _detail_bytes(detail))
        case Granted():
            texts = text_bytes(message.name, NAME_CHARS_MAX) + text_bytes(message.url, TEXT_CHARS_MAX)
            numbers = uint_bytes(message.epoch, 8) + uint_bytes(message.seconds_left, 4)
            return _framed(MessageKind.GRANTED, uint_bytes(message.endpoint, 4), texts, numbers)
        case Denied(endpoint=endpoint, code=denial, detail=detail):
            numbers = uint_bytes(endpoint, 4) + uint_bytes(denial.value, 1)
            return _framed(MessageKind.DENIED, numbers, _detail_bytes(detail))
        case Drain(grace_ms=grace):
            return _framed(MessageKind.DRAIN, uint_bytes(grace, 4))
        case _:
            return _framed(message.message_kind, uint_bytes(message.endpoint, 4), _detail_bytes(message.detail))


def _message_at(held: bytes, at: int) -> tuple[Message, int] | ReadError | None:
    """The message that starts at `at` and where it ends, what is wrong with it, or None while it is not all there."""
    size = uint_at(held, at, 2)
    number = uint_at(held, at + 2, 1)
    start = at + _HEADER_BYTES
    if size + _HEADER_BYTES > MESSAGE_BYTES_MAX:
        return MessageTooLong(size + _HEADER_BYTES, MESSAGE_BYTES_MAX)
    if number < 0:
        return None
    kind = _KINDS.get(number)
    if kind is None:
        return UnknownMessage(number)
    end = start + size
    if end > len(held):
        return None
    version = uint_at(held[:end], start, 2)
    if kind is MessageKind.HELLO and version not in {LINK_VERSION, _ABSENT}:
        return OtherVersion(version)
    fields = Fields(held[start:end])
    message = _message(kind, fields)
    fault = fields.fault()
    return MessageMalformed(kind, fault) if fault else (message, end)


def _message(kind: MessageKind, fields: Fields) -> Message:
    """The message of that kind; blank where a field is bad, which `fields.fault` tells."""
    match kind:
        case MessageKind.HELLO:
            return Hello(
                version=fields.take_uint("version", 2),
                instance=fields.take_bytes("instance", INSTANCE_BYTES),
                token=fields.take_bytes("token", TOKEN_BYTES),
                software=fields.take_text("software", SOFTWARE_CHARS_MAX),
                link=fields.take_uint("link", 1),
            )
        case MessageKind.EXPOSE:
            return Expose(
                endpoint=_endpoint(fields),
                kind=_kind(fields),
                name=fields.take_text("name", NAME_CHARS_MAX),
                host_header=_choice(fields),
                port=fields.take_uint("port", 2),
                share=_share(fields),
                ttl_seconds=fields.take_uint("ttl", 4),
                policy=take_policy(fields),
            )
        case MessageKind.WITHDRAW:
            return Withdraw(_endpoint(fields))
        case MessageKind.HEALTH:
            return Health(_endpoint(fields), _is_up(fields), fields.take_text("detail", TEXT_CHARS_MAX))
        case _:
            return _server_message(kind, fields)


def _server_message(kind: ServerKind, fields: Fields) -> ServerMessage:
    match kind:
        case MessageKind.WELCOME:
            return Welcome(
                session=SessionId(fields.take_uint("session", 8)),
                heartbeat_ms=fields.take_uint("heartbeat", 4),
                deadline_ms=fields.take_uint("deadline", 4),
                software=fields.take_text("software", SOFTWARE_CHARS_MAX),
            )
        case MessageKind.REFUSED:
            return Refused(_refusal(fields), fields.take_text("detail", TEXT_CHARS_MAX))
        case MessageKind.GRANTED:
            return Granted(
                endpoint=_endpoint(fields),
                name=fields.take_text("name", NAME_CHARS_MAX),
                url=fields.take_text("url", TEXT_CHARS_MAX),
                epoch=Epoch(fields.take_uint("epoch", 8)),
                seconds_left=fields.take_uint("seconds left", 4),
            )
        case MessageKind.DENIED:
            return Denied(_endpoint(fields), _denial(fields), fields.take_text("detail", TEXT_CHARS_MAX))
        case MessageKind.DRAIN:
            return Drain(fields.take_uint("grace", 4))
        case MessageKind.LAPSED:
            return Lapsed(_endpoint(fields), fields.take_text("detail", TEXT_CHARS_MAX))
        case _:
            return Fenced(_endpoint(fields), fields.take_text("detail", TEXT_CHARS_MAX))


def _endpoint(fields: Fields) -> EndpointId:
    number = fields.take_uint("endpoint", 4)
    if number == 0:
        fields.refuse("endpoint")
    return EndpointId(number)


def _kind(fields: Fields) -> EndpointKind:
    kind = _ENDPOINT_KINDS.get(fields.take_uint("kind", 1))
    if kind is None:
        fields.refuse("kind")
    return kind or EndpointKind.HTTP


def _share(fields: Fields) -> Share:
    share = _SHARES.get(fields.take_uint("share", 1))
    if share is None:
        fields.refuse("share")
    return share or Share.ALONE


def _is_up(fields: Fields) -> bool:
    state = fields.take_uint("state", 1)
    if state > 1:
        fields.refuse("state")
    return state == 1


def _refusal(fields: Fields) -> RefusalCode:
    code = _REFUSALS.get(fields.take_uint("code", 1))
    if code is None:
        fields.refuse("code")
    return code or RefusalCode.PROTOCOL


def _denial(fields: Fields) -> DenialCode:
    code = _DENIALS.get(fields.take_uint("code", 1))
    if code is None:
        fields.refuse("code")
    return code or DenialCode.NOT_PERMITTED


def _choice(fields: Fields) -> HostHeader:
    mode = fields.take_uint("host header", 1)
    if mode == _KEEP:
        return Keep()
    authority = authority_of(fields.take_text("host header", AUTHORITY_CHARS_MAX))
    if mode > _VALUE or not isinstance(authority, Success):
        fields.refuse("host header")
        return Keep()
    held = value_of(authority)
    return Rewrite(held) if mode == _REWRITE else Value(held)
