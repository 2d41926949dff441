"""What a developer asked of one agent, validated."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.link.messages import HostHeader, Share
from tunnel.core.policy.rules import OPEN, Policy
from tunnel.core.proxy.header import ProxyVersion
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address


@final
@dataclass(frozen=True, slots=True)
class LocalService:
    """Where the agent delivers: plain TCP, or TLS verified against the system's authorities or those of `ca`."""

    address: Address
    tls: bool = False
    ca: Path | None = None


@final
@dataclass(frozen=True, slots=True)
class Checks:
    """How the agent looks after its local service: by a GET of `path` every `interval_seconds`."""

    path: str
    interval_seconds: float


@final
@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One agent: the server it dials, what it exposes under which name ("" for any), and the token it shows.

    It keeps `links` links up, shares its name as `share` says, and checks its local service as `checks` says.
    """

    server: Address
    local: LocalService
    name: str
    token: bytes
    host_header: HostHeader
    ca: Path | None = None
    limits: Limits = DEFAULT_LIMITS
    requests_shown: bool = True
    kind: EndpointKind = EndpointKind.HTTP
    port: int = 0
    """The public port of a TCP endpoint; 0 is any, and all that other kinds have."""
    keylog: Path | None = None
    policy: Policy = OPEN
    """What the server is to ask of visitors before it passes them on."""
    proxy_protocol: ProxyVersion | None = None
    """How the local service is told who a connection is from."""
    links: int = 1
    share: Share = Share.ALONE
    checks: Checks | None = None
    ttl_seconds: int = 0
    """For how long the endpoint is to be exposed, from its first grant on; 0 leaves that to the server."""
