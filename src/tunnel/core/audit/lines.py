"""An export of the audit trail, line by line: each is JSON for programs, in exactly one spelling (AUDIT-FORM).

    {"tunnel-audit":1,"first":1,"previous":"00…","key":"…"}         the header: where it begins and whose it is
    {"number":1,"at":1795370000,"action":"account.create",…}         entries
    {"checkpoint":1,"digest":"…","before":0,"at":…,"key":"…","signature":"…"}  each right after the entry that it signs
    {"end":1,"at":…,"signature":"…"}                                 the seal over all lines before it

A line is read and written again: what does not come out as it went in is none of ours, so there is no second way to
write an entry in which something could hide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.audit.checkpoint import SIGNATURE_BYTES, Checkpoint
from tunnel.core.audit.entry import DIGEST_BYTES, NUMBER_MAX, AuditEntry, AuditFacts, storable_facts
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.partial import (
    ED25519_KEY_BYTES,
    hex_bytes,
    json_fields,
    json_string,
    sha256_digest,
    signature_holds,
    signature_of,
    uint_bytes,
    utf8_bytes,
)
from tunnel.core.control.act import Act
from tunnel.core.token.token import ACCOUNT_BYTES, AccountId

LINE_BYTES_MAX: Final = 512 * 1024
"""One line with its end. The longest entry has twice 16 Ki characters, each of which may need twelve bytes of JSON."""
SEAL_CONTEXT: Final = b"tunnel/audit-export/1\x00"
"""Signed in front of the seal, so that it is never a checkpoint."""


@final
@dataclass(frozen=True, slots=True)
class Header:
    """The entries follow the one with the digest `previous`, and begin with `first`; `key` seals the file."""

    first: int
    previous: bytes
    key: bytes


@final
@dataclass(frozen=True, slots=True)
class Seal:
    """The last line: the number of the last entry before it, and a signature over all lines before it."""

    last: int
    at: UnixSeconds
    signature: bytes


Line: TypeAlias = Header | AuditEntry | Checkpoint | Seal


def line_bytes(line: Line) -> bytes:
    """The one spelling of a line, with its end."""
    if isinstance(line, AuditEntry):
        return utf8_bytes(_entry_text(line))
    if isinstance(line, Checkpoint):
        text = (
            f'{{"checkpoint":{line.number},"digest":"{line.digest.hex()}","before":{line.before},"at":{line.at},'
            f'"key":"{line.key.hex()}","signature":"{line.signature.hex()}"}}\n'
        )
    elif isinstance(line, Header):
        text = (
            f'{{"tunnel-audit":1,"first":{line.first},"previous":"{line.previous.hex()}","key":"{line.key.hex()}"}}\n'
        )
    else:
        text = f'{{"end":{line.last},"at":{line.at},"signature":"{line.signature.hex()}"}}\n'
    return utf8_bytes(text)


def line_of(data: bytes) -> Line | None:
    """The line that `data` spells, its end included, or None when it is no line of ours or not in its one spelling."""
    fields = json_fields(data)
    if fields is None:
        return None
    line: Line
    if "number" in fields:
        line = _entry_of(fields)
    elif "checkpoint" in fields:
        line = _checkpoint_of(fields)
    elif "end" in fields:
        line = _seal_of(fields)
    else:
        line = _header_of(fields)
    return line if line_bytes(line) == data else None


def folded(fold: bytes, line: bytes) -> bytes:
    """What stands for all lines so far once `line` has followed those that `fold` stands for; begin with b""."""
    return sha256_digest(fold + line)


def seal_of(fold: bytes, last: int, at: UnixSeconds, private_key: bytes) -> Seal | None:
    """The line that ends an export whose lines fold to `fold`, or None when the key is not 32 bytes."""
    signature = signature_of(private_key, _sealed_part(fold, last, at))
    return None if signature is None else Seal(last, at, signature)


def seal_holds(seal: Seal, fold: bytes, key: bytes) -> bool:
    """Whether `key` sealed exactly the lines that fold to `fold`."""
    signed = _sealed_part(fold, seal.last, seal.at)
    return signature_holds(key, seal.signature, signed)


def _sealed_part(fold: bytes, last: int, at: UnixSeconds) -> bytes:
    return SEAL_CONTEXT + fold + uint_bytes(last, 8) + uint_bytes(at, 8)


def _entry_text(entry: AuditEntry) -> str:
    facts, act = entry.facts, entry.facts.act
    account = "" if facts.account is None else facts.account.hex()
    return (
        f'{{"number":{entry.number},"at":{facts.at},"action":{json_string(facts.action)},'
        f'"subject":{json_string(facts.subject)},"account":"{account}","identity":{json_string(act.identity)},'
        f'"address":{json_string(act.address)},"key":{json_string(act.key)},"request":{json_string(act.request)},'
        f'"before":{json_string(facts.before)},"after":{json_string(facts.after)},'
        f'"previous":"{entry.previous.hex()}","digest":"{entry.digest.hex()}"}}\n'
    )


def _entry_of(fields: Mapping[str, object]) -> AuditEntry:
    """The entry as its line says it; what is absent, or no entry can hold, becomes something with another spelling."""
    act = Act(_text(fields, "identity"), _text(fields, "address"), _text(fields, "key"), _text(fields, "request"))
    account = _bytes(fields, "account", ACCOUNT_BYTES) if fields.get("account") else None
    facts = AuditFacts(
        act,
        _text(fields, "action"),
        _text(fields, "subject"),
        None if account is None else AccountId(account),
        _text(fields, "before"),
        _text(fields, "after"),
        UnixSeconds(_number(fields, "at")),
    )
    number, previous, digest = (
        _number(fields, "number"),
        _bytes(fields, "previous", DIGEST_BYTES),
        _bytes(fields, "digest", DIGEST_BYTES),
    )
    return AuditEntry(number, storable_facts(facts), previous, digest)


def _checkpoint_of(fields: Mapping[str, object]) -> Checkpoint:
    return Checkpoint(
        _number(fields, "checkpoint"),
        _bytes(fields, "digest", DIGEST_BYTES),
        _number(fields, "before"),
        UnixSeconds(_number(fields, "at")),
        _bytes(fields, "key", ED25519_KEY_BYTES),
        _bytes(fields, "signature", SIGNATURE_BYTES),
    )


def _seal_of(fields: Mapping[str, object]) -> Seal:
    last, at = _number(fields, "end"), UnixSeconds(_number(fields, "at"))
    return Seal(last, at, _bytes(fields, "signature", SIGNATURE_BYTES))


def _header_of(fields: Mapping[str, object]) -> Header:
    return Header(
        _number(fields, "first"), _bytes(fields, "previous", DIGEST_BYTES), _bytes(fields, "key", ED25519_KEY_BYTES)
    )


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX else 0


def _bytes(fields: Mapping[str, object], name: str, size: int) -> bytes:
    """What the digits say when they say `size` bytes; otherwise zeros, which are spelled otherwise."""
    data = hex_bytes(_text(fields, name)) or b""
    return data if len(data) == size else uint_bytes(0, size)
