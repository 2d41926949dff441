"""What an operator decided about one server, validated."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.drive.address import Address


@final
@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server: its zone, its two listeners, its state directory, its certificate (None: a development one).

    `requests_shown` is false when nobody looks at single requests: no event is made of each then.
    `keylog` is where the keys of TLS go; None, as it should be, is nowhere.
    """

    domain: str
    public: Address
    agents: Address
    state: Path
    certificate: Path | None = None
    key: Path | None = None
    limits: Limits = DEFAULT_LIMITS
    keylog: Path | None = None
    requests_shown: bool = True
