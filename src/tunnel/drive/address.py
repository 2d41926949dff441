"""Host and port of a socket, as one value."""

from dataclasses import dataclass
from typing import final

from typing_extensions import override


@final
@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address with a TCP port (0 to 65535; 0 lets the system choose when listening)."""

    host: str
    port: int

    @override
    def __str__(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
