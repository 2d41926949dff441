"""Records as bytes: a kind, and the fields of that kind in order. The frame around them is `frames`."""

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias, final

from tunnel.core.base.fields import Fields, text_bytes
from tunnel.core.base.ids import Epoch, Label, SessionId, UnixSeconds
from tunnel.core.base.partial import uint_bytes
from tunnel.core.journal.records import (
    AgentRefused,
    NameLost,
    NameTaken,
    Noted,
    RecordsDropped,
    ServerNote,
    ServerNoted,
    SessionBegan,
    SessionClosed,
    UsageNoted,
)
from tunnel.core.token.token import ACCOUNT_BYTES, TOKEN_ID_BYTES, AccountId, TokenId

NAME_CHARS_MAX: Final = 63
PEER_CHARS_MAX: Final = 64
CODE_CHARS_MAX: Final = 64
DETAIL_CHARS_MAX: Final = 256
"""What is longer is cut: a sentence for a person, who has its beginning."""
BODY_BYTES_MAX: Final = 512
"""No record is longer: three texts at their longest and a few numbers."""


@final
class Kind(Enum):
    """The first byte of a record."""

    USAGE = 1
    BEGAN = 2
    CLOSED = 3
    REFUSED = 4
    TAKEN = 5
    LOST = 6
    SERVER = 7
    DROPPED = 8


_KINDS: Final[Mapping[int, Kind]] = {kind.value: kind for kind in Kind}
_NOTES: Final[Mapping[int, ServerNote]] = {note.value: note for note in ServerNote}
_SessionNoted: TypeAlias = SessionBegan | SessionClosed
_NameNoted: TypeAlias = NameTaken | NameLost


def record_bytes(record: Noted) -> bytes:
    """The bytes of a record; texts are cut to their limit and made printable, numbers taken into their width."""
    match record:
        case UsageNoted():
            counted = uint_bytes(record.requests, 8) + uint_bytes(record.bytes_up, 8) + uint_bytes(record.bytes_down, 8)
            whose = record.account + text_bytes(record.name, NAME_CHARS_MAX) + uint_bytes(record.hour, 8)
            return _kind(Kind.USAGE) + whose + counted + uint_bytes(record.connections, 8)
        case SessionBegan() | SessionClosed():
            return _session_bytes(record)
        case NameTaken() | NameLost():
            return _name_bytes(record)
        case AgentRefused():
            texts = text_bytes(record.peer, PEER_CHARS_MAX) + text_bytes(record.code, CODE_CHARS_MAX)
            counted = uint_bytes(record.count, 8) + uint_bytes(record.at, 8)
            return _kind(Kind.REFUSED) + texts + text_bytes(record.detail, DETAIL_CHARS_MAX) + counted
        case ServerNoted():
            what = uint_bytes(record.kind.value, 1) + text_bytes(record.detail, DETAIL_CHARS_MAX)
            return _kind(Kind.SERVER) + what + uint_bytes(record.at, 8)
        case _:
            moments = uint_bytes(record.since, 8) + uint_bytes(record.at, 8)
            return _kind(Kind.DROPPED) + uint_bytes(record.count, 8) + moments


def record_of(body: bytes) -> Noted | str:
    """The record that these bytes are, whole; else what is wrong with them."""
    fields = Fields(body)
    number = fields.take_uint("kind", 1)
    kind = _KINDS.get(number)
    if kind is None:
        return f"a record of the unknown kind {number}"
    record = _record(kind, fields)
    fault = fields.fault()
    return f"a record {kind.name} whose field {fault!r} is not right" if fault else record


def _kind(kind: Kind) -> bytes:
    return uint_bytes(kind.value, 1)


def _session_bytes(record: _SessionNoted) -> bytes:
    who = uint_bytes(record.session, 8) + record.account + record.token + text_bytes(record.peer, PEER_CHARS_MAX)
    if isinstance(record, SessionBegan):
        return _kind(Kind.BEGAN) + who + uint_bytes(record.at, 8)
    why = text_bytes(record.reason, DETAIL_CHARS_MAX) + uint_bytes(record.seconds, 8)
    return _kind(Kind.CLOSED) + who + why + uint_bytes(record.at, 8)


def _name_bytes(record: _NameNoted) -> bytes:
    what = text_bytes(record.name, NAME_CHARS_MAX) + record.account
    held = what + uint_bytes(record.session, 8) + uint_bytes(record.epoch, 8)
    if isinstance(record, NameTaken):
        return _kind(Kind.TAKEN) + held + text_bytes(record.peer, PEER_CHARS_MAX) + uint_bytes(record.at, 8)
    return _kind(Kind.LOST) + held + uint_bytes(record.at, 8)


def _record(kind: Kind, fields: Fields) -> Noted:
    """The record of that kind; blank where a field is bad, which `fields.fault` tells."""
    match kind:
        case Kind.USAGE:
            return _usage(fields)
        case Kind.BEGAN:
            return SessionBegan(_session(fields), _account(fields), _token(fields), _peer(fields), _at(fields))
        case Kind.CLOSED:
            who = _session(fields), _account(fields), _token(fields), _peer(fields)
            reason, seconds = fields.take_text("reason", DETAIL_CHARS_MAX), fields.take_uint("seconds", 8)
            return SessionClosed(who[0], who[1], who[2], who[3], reason, seconds, _at(fields))
        case Kind.REFUSED:
            peer, code = _peer(fields), fields.take_text("code", CODE_CHARS_MAX)
            detail = fields.take_text("detail", DETAIL_CHARS_MAX)
            return AgentRefused(peer, code, detail, fields.take_uint("count", 8), _at(fields))
        case Kind.TAKEN:
            return NameTaken(
                _name(fields), _account(fields), _session(fields), _epoch(fields), _peer(fields), _at(fields)
            )
        case Kind.LOST:
            return NameLost(_name(fields), _account(fields), _session(fields), _epoch(fields), _at(fields))
        case Kind.SERVER:
            return _server(fields)
        case _:
            count, since = fields.take_uint("count", 8), UnixSeconds(fields.take_uint("since", 8))
            return RecordsDropped(count, since, _at(fields))


def _usage(fields: Fields) -> UsageNoted:
    account, name = _account(fields), fields.take_text("name", NAME_CHARS_MAX)
    hour = UnixSeconds(fields.take_uint("hour", 8))
    requests, up = fields.take_uint("requests", 8), fields.take_uint("bytes up", 8)
    return UsageNoted(
        account, name, hour, requests, up, fields.take_uint("bytes down", 8), fields.take_uint("connections", 8)
    )


def _server(fields: Fields) -> ServerNoted:
    note = _NOTES.get(fields.take_uint("note", 1))
    if note is None:
        fields.refuse("note")
    detail = fields.take_text("detail", DETAIL_CHARS_MAX)
    return ServerNoted(note or ServerNote.START, detail, _at(fields))


def _session(fields: Fields) -> SessionId:
    return SessionId(fields.take_uint("session", 8))


def _account(fields: Fields) -> AccountId:
    return AccountId(fields.take_bytes("account", ACCOUNT_BYTES))


def _token(fields: Fields) -> TokenId:
    return TokenId(fields.take_bytes("token", TOKEN_ID_BYTES))


def _peer(fields: Fields) -> str:
    return fields.take_text("peer", PEER_CHARS_MAX)


def _name(fields: Fields) -> Label:
    """A name as the data plane granted it: that it is a label was checked there, and the frame is whole."""
    return Label(fields.take_text("name", NAME_CHARS_MAX))


def _epoch(fields: Fields) -> Epoch:
    return Epoch(fields.take_uint("epoch", 8))


def _at(fields: Fields) -> UnixSeconds:
    return UnixSeconds(fields.take_uint("at", 8))
