"""Fuzz targets of the link part: everything reads alike however it is cut, and neither end of a link ever raises."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.ids import Epoch, Instant, SessionId
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.link.agent_side import AgentConversation
from tunnel.core.link.codec import MessageReader, encode_message
from tunnel.core.link.errors import LinkError, ReadError, describe
from tunnel.core.link.messages import DenialCode, Expose, Hello, Keep, Message, Refused
from tunnel.core.link.preface import PrefaceReader, ReplyReader, encode_preface, encode_reply
from tunnel.core.link.server_side import ServerConversation
from tunnel.core.token.token import TOKEN_BYTES, EndpointKind

START: Final = Instant(0.0)


def _messages(pieces: list[bytes]) -> tuple[list[Message], ReadError | None]:
    reader = MessageReader()
    messages: list[Message] = []
    for piece in pieces:
        done = reader.receive(piece)
        if not isinstance(done, Success):
            return messages, error_of(done)
        messages += value_of(done)
    return messages, None


def fuzz_link_message(data: bytes) -> None:
    """Whole and byte by byte give the same error and, without one, the same messages, whose bytes are the input's."""
    whole, error = _messages([data])
    by_byte, error_by_byte = _messages([data[at : at + 1] for at in range(len(data))])
    assert error == error_by_byte
    assert by_byte[: len(whole)] == whole
    written = b"".join(encode_message(message) for message in by_byte)
    assert data.startswith(written)
    if error is None:
        assert whole == by_byte
    else:
        assert describe(error)


def fuzz_preface(data: bytes) -> None:
    """A preface or a reply, and what follows it, are together exactly the input."""
    prefaces = PrefaceReader()
    preface = prefaces.receive(data)
    if isinstance(preface, Success):
        found = value_of(preface)
        assert (b"" if found is None else encode_preface(found)) + prefaces.take_rest() == data
    replies = ReplyReader()
    reply = replies.receive(data)
    if isinstance(reply, Success):
        answer = value_of(reply)
        assert (b"" if answer is None else encode_reply(answer)) + replies.take_rest() == data


def _play_server(data: bytes) -> None:
    server = ServerConversation(DEFAULT_LIMITS, START)
    refusals = 0
    for at in range(0, len(data), 97):
        done = server.receive(data[at : at + 97], START)
        for event in value_of(done) if isinstance(done, Success) else []:
            if isinstance(event, Hello):
                assert server.welcome(SessionId(1), 1, 2, "fuzz")
            elif isinstance(event, Expose) and event.name:
                # Not when it was withdrawn in the same read; then there is nobody to fence either.
                is_granted = server.grant(event.endpoint, event.name, "url", Epoch(1))
                assert server.fence(event.endpoint, "") == is_granted
            elif isinstance(event, Expose):
                server.deny(event.endpoint, DenialCode.BAD_NAME, "")
                assert not server.deny(event.endpoint, DenialCode.BAD_NAME, "")
        spoken, broken = _messages([server.poll_output()])
        refusals += [type(message) for message in spoken].count(Refused)
        assert broken is None
    assert refusals == server.is_closed


def _play_agent(data: bytes) -> None:
    agent = AgentConversation(DEFAULT_LIMITS, START)
    agent.expose(EndpointKind.HTTP, "demo", Keep())
    agent.hello(bytes(TOKEN_BYTES), bytes(16), "fuzz")
    error: LinkError | None = None
    for at in range(0, len(data), 97):
        done = agent.receive(data[at : at + 97], START)
        assert error is None or done == Failure(error)
        error = None if isinstance(done, Success) else error_of(done)
    assert _messages([agent.poll_output()])[1] is None


def fuzz_conversation(data: bytes) -> None:
    """The first byte chooses an end; the rest is what the other end says."""
    if data[:1] < b"\x01":
        _play_server(data[1:])
    else:
        _play_agent(data[1:])


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "link_message": fuzz_link_message,
    "preface": fuzz_preface,
    "conversation": fuzz_conversation,
}
