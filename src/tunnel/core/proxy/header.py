"""What a PROXY header says, and what one that says nothing means."""

from enum import Enum
from typing import Final, final


@final
class ProxyVersion(Enum):
    """The two forms of the header."""

    V1 = "v1"
    V2 = "v2"


@final
class ProxyHeader:
    """From where to where a connection goes. A `source` of "" says nothing: the socket's own addresses count."""

    def __init__(self, source: str, source_port: int, target: str, target_port: int, *, is_tls: bool = False) -> None:
        self.source: Final = source
        """An IPv4 or IPv6 address in text form."""
        self.source_port: Final = source_port
        self.target: Final = target
        self.target_port: Final = target_port
        self.is_tls: Final = is_tls
        """The sender says that the visitor speaks TLS to it (PP2_CLIENT_SSL)."""


NO_ADDRESS: Final = ProxyHeader("", 0, "", 0)
"""LOCAL and UNKNOWN, and what we cannot use: a health check of the upstream, a Unix socket, UDP."""
