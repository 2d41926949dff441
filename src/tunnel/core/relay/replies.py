"""What the agent's one-time reply on a stream means to the visitor."""

from typing import Final

from tunnel.core.base.problem import (
    AGENT_OFFLINE,
    LOCAL_CONNECT_TIMEOUT,
    LOCAL_OVERLOADED,
    LOCAL_REFUSED,
    LOCAL_TLS_FAILED,
    LOCAL_UNREACHABLE,
    Problem,
)
from tunnel.core.link.preface import StreamReply

_PROBLEMS: Final = {
    StreamReply.REFUSED: LOCAL_REFUSED,
    StreamReply.TIMED_OUT: LOCAL_CONNECT_TIMEOUT,
    StreamReply.UNREACHABLE: LOCAL_UNREACHABLE,
    StreamReply.TLS_FAILED: LOCAL_TLS_FAILED,
    StreamReply.UNKNOWN_ENDPOINT: AGENT_OFFLINE,
    StreamReply.OVERLOADED: LOCAL_OVERLOADED,
}


def problem_of_reply(reply: StreamReply) -> Problem | None:
    """The failure that `reply` stands for, or None when the local connection stands."""
    return _PROBLEMS.get(reply)
