"""What an operator decided about one control process, validated."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from tunnel.api.billing.settings import BillingSettings
from tunnel.core.policy.ip import Block
from tunnel.drive.address import Address

DEFAULT_API: Final = Address("127.0.0.1", 7480)
"""Where the API listens unless told otherwise: apart from the public port, and for this machine alone."""


@final
@dataclass(frozen=True, slots=True)
class ControlSettings:
    """One control process: the state directory it shares with its server, where it listens, and its database.

    `database` is a URL and may hold a password; "" is the SQLite file of the state directory. `signing_key` are the
    32 private bytes that sign tokens; with b"" none can be minted here.
    """

    state: Path
    api: Address = DEFAULT_API
    database: str = field(default="", repr=False)
    signing_key: bytes = field(default=b"", repr=False)
    billing: BillingSettings | None = None
    proxies: tuple[Block, ...] = ()
    """Addresses of proxies that are believed when they say who a visitor is."""
    requests_second: int = 50
    """What one API key may ask for; four seconds' worth at once."""
