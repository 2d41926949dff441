"""What can go wrong with an exchange, as the visitor is told: a code, a status, the hop that failed (RELAY-FAIL)."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, final


@final
class Hop(Enum):
    """Who could not go on."""

    VISITOR = "visitor"
    EDGE = "edge"
    LINK = "link"
    LOCAL = "local"
    CONTROL = "control"


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """One failure answer. `code` is stable for programs, `title` is for people; `retry_seconds` 0: no Retry-After.

    A `realm` asks the visitor to sign in there (WWW-Authenticate); "" does not.
    """

    code: str
    status: int
    hop: Hop
    title: str
    advice: str
    retry_seconds: int = 0
    realm: str = ""


UNKNOWN_NAME: Final = Problem(
    "unknown-name",
    404,
    Hop.EDGE,
    "No tunnel has this name",
    "Check the address, or start the agent that should answer.",
)
WRONG_HOST: Final = Problem(
    "wrong-host", 421, Hop.EDGE, "This server does not answer for that host", "Use a name below this server's domain."
)
AGENT_OFFLINE: Final = Problem(
    "agent-offline", 503, Hop.LINK, "The agent of this tunnel is offline", "It was here before; try again shortly.", 5
)
EXPOSURE_OVER: Final = Problem(
    "exposure-over", 404, Hop.EDGE, "The time of this tunnel is over", "Its owner can expose it again."
)
NOT_PERMITTED: Final = Problem(
    "not-permitted", 403, Hop.EDGE, "The tunnel's token no longer permits this", "Its owner needs a new token."
)
NOT_HTTP: Final = Problem(
    "not-http", 421, Hop.EDGE, "What has this name is not served over HTTP", "Use the address that its agent printed."
)
TLS_EXPECTED: Final = Problem(
    "tls-expected", 400, Hop.VISITOR, "This port takes TLS only", "Write https:// in place of http://."
)
LINK_BUSY: Final = Problem(
    "link-busy", 429, Hop.LINK, "The tunnel carries as many requests as it may", "Try again shortly.", 1
)
TOO_MANY_CONNECTIONS: Final = Problem(
    "too-many-connections", 429, Hop.EDGE, "Too many connections from this address", "Close some, then try again.", 1
)
SERVER_FULL: Final = Problem(
    "server-full", 503, Hop.EDGE, "The server holds as many connections as it may", "Try again shortly.", 5
)
LINK_LOST: Final = Problem(
    "link-lost",
    502,
    Hop.LINK,
    "The link to the agent broke during the request",
    "It may or may not have been processed.",
)
LINK_BROKE_PROTOCOL: Final = Problem(
    "link-broke-protocol", 502, Hop.LINK, "The agent did not speak the tunnel protocol", "Update the agent."
)
LOCAL_REFUSED: Final = Problem(
    "local-refused", 502, Hop.LOCAL, "The local service refused the connection", "Start the service behind the agent."
)
LOCAL_UNREACHABLE: Final = Problem(
    "local-unreachable", 502, Hop.LOCAL, "The agent cannot reach the local service", "Check the agent's target."
)
LOCAL_TLS_FAILED: Final = Problem(
    "local-tls-failed", 502, Hop.LOCAL, "The local service's certificate did not verify", "Check the agent's target."
)
LOCAL_CONNECT_TIMEOUT: Final = Problem(
    "local-connect-timeout", 504, Hop.LOCAL, "The local service did not accept in time", "Check the agent's target."
)
LOCAL_UNHEALTHY: Final = Problem(
    "local-unhealthy",
    503,
    Hop.LOCAL,
    "The local service fails the checks of its agent",
    "It is likely down or starting; try again shortly.",
    5,
)
LOCAL_OVERLOADED: Final = Problem(
    "local-overloaded", 503, Hop.LOCAL, "The agent cannot open more local connections", "Try again shortly.", 1
)
LOCAL_BROKE_PROTOCOL: Final = Problem(
    "local-broke-protocol", 502, Hop.LOCAL, "The local service's answer is not valid HTTP/1.1", "See the detail."
)
LOCAL_CLOSED_EARLY: Final = Problem(
    "local-closed-early", 502, Hop.LOCAL, "The local service closed before it answered", "See its own log."
)
LOCAL_TIMEOUT: Final = Problem(
    "local-timeout", 504, Hop.LOCAL, "The local service did not answer in time", "See its own log."
)
LOCAL_STALLED: Final = Problem(
    "local-stalled", 504, Hop.LOCAL, "The local service stopped taking the request", "See its own log."
)
REQUEST_TIMEOUT: Final = Problem(
    "request-timeout", 408, Hop.VISITOR, "The request did not arrive in time", "Send it again without a pause."
)
REQUEST_CUT_SHORT: Final = Problem(
    "request-cut-short", 400, Hop.VISITOR, "The request body ended before its declared length", "Send all of it."
)
ADDRESS_DENIED: Final = Problem(
    "address-denied", 403, Hop.EDGE, "This address may not use the tunnel", "Ask its owner to allow your address."
)
TOO_MANY_EXCHANGES: Final = Problem(
    "too-many-exchanges", 429, Hop.EDGE, "Too many requests run at the same time", "Let some end, then try again.", 1
)
REQUESTS_USED_UP: Final = Problem(
    "requests-used-up",
    402,
    Hop.EDGE,
    "The tunnel's account has used all requests of this month",
    "Its owner can change the plan; the count begins anew with the next month (UTC).",
)
BYTES_USED_UP: Final = Problem(
    "bytes-used-up",
    402,
    Hop.EDGE,
    "The tunnel's account has used all bytes of this month",
    "Its owner can change the plan; the count begins anew with the next month (UTC).",
)


def account_rate_limited(seconds: int) -> Problem:
    """Requests of all endpoints of an account come faster than its plan allows; in `seconds` the next one fits."""
    return Problem(
        "account-rate-limited",
        429,
        Hop.EDGE,
        "Too many requests a second for the plan of this tunnel's account",
        "Wait as Retry-After says.",
        seconds,
    )


def rate_limited(seconds: int) -> Problem:
    """Requests or bytes come faster than they may; in `seconds` the next one fits."""
    return Problem(
        "rate-limited", 429, Hop.EDGE, "Too many requests in a short time", "Wait as Retry-After says.", seconds
    )


def sign_in_needed(realm: str) -> Problem:
    """The visitor has not shown a user and password of this endpoint."""
    return Problem("sign-in-needed", 401, Hop.EDGE, "This tunnel asks for a user and a password", "Sign in.", 0, realm)
