"""What an operator decided about one server, validated."""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Final, final

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.policy.ip import Block
from tunnel.core.policy.rules import OPEN_TO_ALL, ServerPolicy
from tunnel.drive.address import Address


@final
@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain, leaf first, and its private key, both in PEM; without `key` one file holds both."""

    chain: Path
    key: Path | None = None


@final
@dataclass(frozen=True, slots=True)
class PortRange:
    """TCP ports from `low` to `high`, both included."""

    low: int
    high: int


NO_PORTS: Final = PortRange(1, 0)


@final
@dataclass(frozen=True, slots=True)
class ControlChoice:
    """A control process beside the server: where it listens, its database ("": SQLite in the state directory).

    `command` starts it; one that says nothing for `silence_seconds_max` hangs, and is ended. `proxies` are those that
    are believed when they say who its visitors are.
    """

    api: Address
    database: str = field(default="", repr=False)
    command: tuple[str, ...] = ()
    silence_seconds_max: float = 60.0
    proxies: tuple[Block, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server: its zone, its two listeners, its state directory, its certificates (none: a development one).

    `requests_shown` is false when nobody looks at single requests: no event is made of each then.
    `keylog` is where the keys of TLS go; None, as it should be, is nowhere.
    `workers` is how many processes serve under a supervisor; 0 is one process without.
    """

    domain: str
    public: Address
    agents: Address
    state: Path
    certificates: tuple[CertificateFiles, ...] = ()
    limits: Limits = DEFAULT_LIMITS
    tcp_ports: PortRange | None = None
    certificate_names: tuple[str, ...] = ()
    """What else a development certificate is for; a wildcard directly below `localhost` counts for no client."""
    keylog: Path | None = None
    requests_shown: bool = True
    policy: ServerPolicy = OPEN_TO_ALL
    redirects_http: bool = False
    """Whether a request in the clear is answered by the https address of what it asks for."""
    proxy_from: tuple[Block, ...] = ()
    """Upstreams whose connections begin with a PROXY header, which says who the visitor is (ADR 0043)."""
    workers: int = 0
    control: ControlChoice | None = None
    """None: no control process, so that no database is needed."""
    journal: bool = False
    """Whether usage and events are noted although no control process of ours reads them."""

    @property
    def is_noted(self) -> bool:
        """Whether usage and events go into a journal."""
        return self.journal or self.control is not None


def changed_fields(before: object, after: object) -> list[str]:
    """The names of the fields in which two settings differ, those of nested ones with a dot; values are not told."""
    changed: list[str] = []
    if not is_dataclass(before) or not is_dataclass(after) or type(before) is not type(after):
        return changed
    for each in fields(before):
        old: object = getattr(before, each.name)
        new: object = getattr(after, each.name)
        if old != new:
            inner = changed_fields(old, new)
            changed += [f"{each.name}.{deeper}" for deeper in inner] or [each.name]
    return changed
