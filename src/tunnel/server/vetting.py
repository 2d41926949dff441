"""Whether an agent that says hello is let in: by its token, by what is told of its account, and by our own state."""

from dataclasses import dataclass
from typing import final

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.errors import token_refusal_code
from tunnel.core.link.messages import Hello, RefusalCode
from tunnel.core.token.explain import describe as describe_token
from tunnel.core.token.token import Token
from tunnel.core.token.verify import verify_token
from tunnel.server.gate import refusal_of
from tunnel.server.hub import Hub


@final
@dataclass(frozen=True, slots=True)
class NotLetIn:
    """What the agent is told; by its code it knows whether to come again."""

    code: RefusalCode
    detail: str


def vet(hub: Hub, hello: Hello) -> Outcome[Token, NotLetIn]:
    """The token of the hello, verified here and now; whether it has too many links already, the registry says."""
    verified = verify_token(hello.token, hub.keys, hub.clock.unix())
    if not isinstance(verified, Success):
        error = error_of(verified)
        return Failure(NotLetIn(token_refusal_code(error), describe_token(error)))
    refused = refusal_of(hub.directory, value_of(verified))
    if refused is not None:
        return Failure(NotLetIn(*refused))
    if hub.is_draining:
        return Failure(NotLetIn(RefusalCode.SHUTTING_DOWN, "the server is shutting down"))
    return verified
