"""The link vectors of `spec/vectors/`, which another implementation can run, hold for this one.

Each case is read whole and byte by byte; accepted messages are also encoded again, byte for byte.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Final, NotRequired, TypedDict

import pytest

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.link.codec import MessageReader, encode_message
from tunnel.core.link.errors import MessageMalformed, MessageTooLong, OtherVersion, ReadError, UnknownMessage
from tunnel.core.link.messages import Expose, HostHeader, Keep, Message, MessageKind, RefusalCode, Refused, Rewrite
from tunnel.core.link.preface import PrefaceReader, ReplyReader, StreamReply
from tunnel.core.policy.ip import block_text
from tunnel.core.policy.rules import OPEN, Policy


class MessageCase(TypedDict):
    """Bytes, and either what they say, field by field, or the error that they are."""

    name: str
    bytes: str
    result: NotRequired[dict[str, object]]
    error: NotRequired[str]


class PrefaceCase(TypedDict):
    """Bytes, and either the preface and what follows it, or that there is none."""

    bytes: str
    endpoint: NotRequired[int]
    address: NotRequired[str]
    port: NotRequired[int]
    public_address: NotRequired[str]
    public_port: NotRequired[int]
    rest: NotRequired[str]
    error: NotRequired[bool]


class ReplyCase(TypedDict):
    """Bytes, and either the reply and what follows it, or that there is none."""

    bytes: str
    reply: NotRequired[str]
    rest: NotRequired[str]
    error: NotRequired[bool]


class Vectors(TypedDict):
    """The whole file."""

    messages: list[MessageCase]
    prefaces: list[PrefaceCase]
    replies: list[ReplyCase]


FILE: Final = Path(__file__).parents[2] / "spec" / "vectors" / "link-cases.json"
VECTORS: Final[Vectors] = json.loads(FILE.read_text(encoding="utf-8"))
WORDS: Final[dict[type[ReadError], str]] = {
    MessageTooLong: "too long",
    UnknownMessage: "unknown kind",
    OtherVersion: "other version",
    MessageMalformed: "malformed",
}


def host_rule(choice: HostHeader) -> dict[str, str]:
    if isinstance(choice, Keep):
        return {"rule": "keep"}
    if isinstance(choice, Rewrite):
        return {"rule": "rewrite", "authority": choice.authority}
    return {"rule": "value", "authority": choice.text}


def policy_facts(policy: Policy) -> dict[str, object]:
    """What a policy asks for; nothing for an open one."""
    if policy == OPEN:
        return {}
    told: dict[str, object] = {field.name: getattr(policy.rates, field.name) for field in fields(policy.rates)}
    told["allow"] = [block_text(block) for block in policy.allow]
    told["deny"] = [block_text(block) for block in policy.deny]
    told["sign_ins"] = [{"salt": one.salt.hex(), "digest": one.digest.hex()} for one in policy.sign_ins]
    return told


def facts(message: Message) -> dict[str, object]:
    """The fields of a message as the vectors write them: bytes in hexadecimal, codes by name."""
    told: dict[str, object] = {"message": type(message).__name__}
    for field in message.__slots__:
        value: object = getattr(message, field)
        name: object = getattr(value, "name", value)
        told[field] = name.hex() if isinstance(name, bytes) else name
    if isinstance(message, Expose):
        told["host_header"] = host_rule(message.host_header)
        told["policy"] = policy_facts(message.policy)
    return told


@pytest.mark.shows(
    "LINK-FRAME-001", "LINK-FRAME-002", "LINK-FRAME-003", "LINK-FRAME-004", "LINK-VERSION-001", "LINK-POLICY-001"
)
@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda case: str(case["name"]))
def test_each_message_has_its_verdict(case: MessageCase) -> None:
    wire = bytes.fromhex(case["bytes"])
    for size in (len(wire), 1):
        reader = MessageReader()
        messages: list[Message] = []
        error = None
        for at in range(0, len(wire), size):
            done = reader.receive(wire[at : at + size])
            if isinstance(done, Success):
                messages += value_of(done)
            else:
                error = WORDS[type(error_of(done))]
        assert error == case.get("error")
        assert [facts(message) for message in messages] == ([case["result"]] if "result" in case else [])
        assert error is not None or b"".join(encode_message(message) for message in messages) == wire


@pytest.mark.shows("LINK-FRAME-001")
def test_every_kind_and_every_error_has_a_vector() -> None:
    results = [case["result"] for case in VECTORS["messages"] if "result" in case]
    assert {str(result["message"]).upper() for result in results} == {kind.name for kind in MessageKind}
    refusals = {result["code"] for result in results if result["message"] == Refused.__name__}
    assert refusals == {code.name for code in RefusalCode}
    assert {case["error"] for case in VECTORS["messages"] if "error" in case} == set(WORDS.values())


@pytest.mark.shows("LINK-STREAM-001", "LINK-STREAM-002", "LINK-STREAM-003")
@pytest.mark.parametrize("case", VECTORS["prefaces"], ids=lambda case: str(case["bytes"])[:24])
def test_each_preface_has_its_verdict(case: PrefaceCase) -> None:
    reader = PrefaceReader()
    done = reader.receive(bytes.fromhex(case["bytes"]))
    if not isinstance(done, Success):
        assert case.get("error")
        return
    assert not case.get("error")
    found = value_of(done)
    assert found is not None
    assert (found.endpoint, found.address, found.port) == (case["endpoint"], case["address"], case["port"])
    assert (found.public_address, found.public_port) == (case["public_address"], case["public_port"])
    assert reader.take_rest().hex() == case["rest"]


@pytest.mark.shows("LINK-STREAM-001", "LINK-STREAM-002", "LINK-STREAM-003")
@pytest.mark.parametrize("case", VECTORS["replies"], ids=lambda case: str(case["bytes"])[:4])
def test_each_reply_has_its_verdict(case: ReplyCase) -> None:
    reader = ReplyReader()
    done = reader.receive(bytes.fromhex(case["bytes"]))
    if not isinstance(done, Success):
        assert case.get("error")
        return
    assert not case.get("error")
    assert value_of(done) is StreamReply[case["reply"]]
    assert reader.take_rest().hex() == case["rest"]
