"""What the shell must do for one public connection, in the order given; each is done once."""

from typing import Final, TypeAlias, final

from tunnel.core.base.ids import RequestId
from tunnel.core.relay.hops import NOWHERE, Hops
from tunnel.core.route.table import Lease
from tunnel.core.token.token import AccountId


@final
class OpenOrigin:
    """Open a stream to the agent that holds `lease`; it is the connection's only origin from here on."""

    def __init__(self, lease: Lease) -> None:
        self.lease: Final = lease


@final
class SendOrigin:
    """Send these bytes on the origin stream."""

    def __init__(self, data: bytes) -> None:
        self.data: Final = data


@final
class EndOrigin:
    """Send FIN on the origin stream; its answers still count."""


@final
class LeaveOrigin:
    """Have no more to do with the origin stream: at once by RST, or by FIN behind what is queued (`reset` false)."""

    def __init__(self, *, reset: bool) -> None:
        self.reset: Final = reset


@final
class SendVisitor:
    """Send these bytes to the visitor."""

    def __init__(self, data: bytes) -> None:
        self.data: Final = data


@final
class EndVisitor:
    """Half-close towards the visitor once everything is sent; go on reading."""


@final
class CloseVisitor:
    """Close the visitor's connection: after everything is sent, or at once by a TCP reset (`abort`)."""

    def __init__(self, *, abort: bool) -> None:
        self.abort: Final = abort


@final
class HealthNews:
    """The agent of `lease` could not connect to its local service and is put aside, or could and is back."""

    def __init__(self, lease: Lease, *, is_back: bool) -> None:
        self.lease: Final = lease
        self.is_back: Final = is_back


@final
class Report:
    """One exchange reached its one end; `outcome` is `ok` or the stable code of what failed."""

    def __init__(
        self,
        request_id: RequestId,
        name: str,
        method: bytes,
        target: bytes,
        status: int,
        seconds: float,
        outcome: str,
        bytes_up: int,
        bytes_down: int,
        session: int = 0,
        account: AccountId | None = None,
        hops: Hops = NOWHERE,
    ) -> None:
        self.request_id: Final = request_id
        self.name: Final = name
        self.method: Final = method
        self.target: Final = target
        self.status: Final = status
        self.seconds: Final = seconds
        self.outcome: Final = outcome
        self.bytes_up: Final = bytes_up
        self.bytes_down: Final = bytes_down
        self.session: Final = session
        """Whose link it ran on; 0 when it found none."""
        self.account: Final = account
        """Whose usage it is; None when it found no link."""
        self.hops: Final = hops


Action: TypeAlias = (
    OpenOrigin | SendOrigin | EndOrigin | LeaveOrigin | SendVisitor | EndVisitor | CloseVisitor | Report | HealthNews
)
