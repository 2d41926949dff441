"""What the running product says about itself, as values; sinks make log lines, a live status or JSON lines of them."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, final


@final
@dataclass(frozen=True, slots=True)
class ServerReady:
    """Both listeners accept. `url_pattern` has `NAME` where a name goes, such as `http://NAME.example.com:8080/`.

    `https_pattern` is the address at the TLS port, also when its certificate is one that visitors do not know.
    """

    url_pattern: str
    public: str
    agents: str
    https_pattern: str = ""


@final
@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The server accepted an agent: its link, the token's account in hexadecimal and where it dialled from.

    `token_id` names the token, in hexadecimal; whoever knows it can do nothing with it.
    """

    session: int
    account: str
    peer: str
    token_id: str = ""


@final
@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The server lost or ended a link."""

    session: int
    reason: str
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class NameGranted:
    """The server gave a name to a session under an epoch; `members` answer for it together now."""

    session: int
    name: str
    epoch: int
    members: int = 1


@final
@dataclass(frozen=True, slots=True)
class NameReleased:
    """A session answers for a name no more; `members` still do."""

    session: int
    name: str
    epoch: int
    members: int = 0


@final
@dataclass(frozen=True, slots=True)
class EndpointLapsed:
    """The time of an exposed name was over: it was taken from the session, and what ran on it was cut."""

    session: int
    name: str
    epoch: int


@final
@dataclass(frozen=True, slots=True)
class LinkRefused:
    """The server turned an agent away before it was anybody: a bad token, a full house, a broken hello."""

    peer: str
    code: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class ExchangeDone:
    """One public exchange reached its end; `outcome` is `ok` or the stable code of what failed.

    `session` is the agent that it went to; 0 when there was none, and at the agent itself. Of the `milliseconds`,
    `edge_ms`, `link_ms` and `local_ms` went by before the head of the response (`relay.hops.Hops`).
    """

    request_id: str
    name: str
    method: str
    target: str
    status: int
    milliseconds: float
    outcome: str
    bytes_up: int
    bytes_down: int
    peer: str
    session: int = 0
    edge_ms: float = 0.0
    link_ms: float = 0.0
    local_ms: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class MemberHealth:
    """One of those who answer for a name is `down` or `up` by its own checks, or put `aside` or `back` by requests."""

    session: int
    name: str
    state: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class ConnectionDone:
    """One raw public connection (`kind` is tcp or tls) reached its end; `outcome` as for an exchange."""

    name: str
    kind: str
    milliseconds: float
    outcome: str
    bytes_up: int
    bytes_down: int
    peer: str


@final
@dataclass(frozen=True, slots=True)
class AgentReady:
    """The agent's endpoint answers at `url`; said again when it had no link in between."""

    url: str
    name: str
    epoch: int
    seconds_left: int = 0
    """How long it does, or 0: as long as its token is valid."""


@final
@dataclass(frozen=True, slots=True)
class LinkUp:
    """One of several links of the agent answers for its name; `up` of all `of` do now."""

    link: int
    up: int
    of: int


@final
@dataclass(frozen=True, slots=True)
class LinkLost:
    """The agent has lost a link and dials again after `retry_seconds`; `up` of all `of` are left."""

    reason: str
    retry_seconds: float
    up: int = 0
    of: int = 1


@final
@dataclass(frozen=True, slots=True)
class LocalUnreachable:
    """The agent's local service did not take a connection."""

    target: str
    reason: str


@final
@dataclass(frozen=True, slots=True)
class LocalHealth:
    """The agent's checks say another thing of its local service than before."""

    target: str
    is_up: bool
    detail: str


@final
@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """No new work is taken; running exchanges have `grace_seconds`."""

    grace_seconds: float


@final
@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person should know that stops nothing."""

    message: str


@final
@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """The supervisor started a worker, which accepts from now on."""

    worker: int
    pid: int


@final
@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker process is gone: `code` is its exit code, below 0 a signal; `words` the last it wrote to standard error.

    `expected` says whether it was asked to end.
    """

    worker: int
    pid: int
    code: int
    words: str
    expected: bool


@final
@dataclass(frozen=True, slots=True)
class Reloading:
    """New workers are started by what is on the disk; the present ones serve."""


@final
@dataclass(frozen=True, slots=True)
class NotReloaded:
    """The new workers were not fit to serve, or the configuration is not: everything is as it was."""

    reason: str


@final
@dataclass(frozen=True, slots=True)
class Reloaded:
    """New workers serve, with the program and the configuration as they are on the disk now; the old ones finish."""

    workers: int
    seconds: float
    changed: str = ""
    """The settings that are not as before, by name."""


@final
@dataclass(frozen=True, slots=True)
class ControlReady:
    """The control process answers: API and dashboard, at `url`."""

    url: str


@final
@dataclass(frozen=True, slots=True)
class ControlEnded:
    """The control process is gone, and begun again in `retry_seconds`; tunnels go on meanwhile.

    `code` is its exit code, below 0 a signal; `words` the last it wrote to standard error, or why it was ended.
    """

    code: int
    words: str
    retry_seconds: float


@final
@dataclass(frozen=True, slots=True)
class FromWorker:
    """What one worker of several said."""

    worker: int
    event: "Event"


Event: TypeAlias = (
    ServerReady
    | SessionOpened
    | SessionEnded
    | NameGranted
    | NameReleased
    | EndpointLapsed
    | LinkRefused
    | ExchangeDone
    | MemberHealth
    | ConnectionDone
    | AgentReady
    | LinkUp
    | LinkLost
    | LocalUnreachable
    | LocalHealth
    | ShuttingDown
    | Warned
    | WorkerStarted
    | WorkerEnded
    | Reloading
    | NotReloaded
    | Reloaded
    | ControlReady
    | ControlEnded
    | FromWorker
)


class EventSink(Protocol):
    """Where events go; `emit` returns at once and never raises."""

    def emit(self, event: Event) -> None:
        """Take one event."""
