"""Why an agent ended although nobody asked it to; the command line makes a sentence and an exit code of each."""

from dataclasses import dataclass
from typing import TypeAlias, final


@final
@dataclass(frozen=True, slots=True)
class NameDenied:
    """The server keeps the name for somebody else, or another agent with the same token took it over (exit 3)."""

    name: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class PortDenied:
    """The public port is somebody else's (exit 3)."""

    port: int
    detail: str


@final
@dataclass(frozen=True, slots=True)
class NotAuthorised:
    """The token was refused, or does not permit what was asked (exit 4)."""

    code: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class ServerUntrusted:
    """The server's certificate did not verify, or it does not speak `tunnel/1` (exit 5)."""

    server: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class SettingsUnusable:
    """A file the agent needs cannot be read or is not what it should be (exit 2)."""

    what: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class ExposureOver:
    """The name was exposed for as long as was asked for, or as its account may (exit 7)."""

    name: str
    detail: str


AgentEnd: TypeAlias = NameDenied | PortDenied | NotAuthorised | ServerUntrusted | SettingsUnusable | ExposureOver
