"""The service manager that started us, if one did: sockets that it gives, and what it is told.

As in sd_listen_fds(3) and sd_notify(3); written here, for it is three environment variables and one datagram.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from time import CLOCK_MONOTONIC, clock_gettime
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success

FIRST_DESCRIPTOR: Final = 3
"""SD_LISTEN_FDS_START."""
_PATIENCE_SECONDS: Final = 0.5
"""How long a manager whose queue is full may hold us up, for words that must not be lost; signs of life may."""
_MICROSECONDS: Final = 1_000_000
_DESCRIPTORS_MAX: Final = 64
_COUNTS: Final = frozenset(str(count) for count in range(_DESCRIPTORS_MAX + 1))


@final
@dataclass(frozen=True, slots=True)
class NotOurSockets:
    """The manager gave sockets that a server cannot use."""

    detail: str


def given_sockets(environment: Mapping[str, str]) -> Outcome[dict[str, list[socket.socket]], NotOurSockets]:
    """Listening sockets by the name that the manager gave them; none when it gave none, or gave them to another."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return Success({})
    text = environment.get("LISTEN_FDS", "")
    count = int(text) if text in _COUNTS else -1
    if count < 0:
        return Failure(NotOurSockets(f"LISTEN_FDS is {text!r}, where a number up to {_DESCRIPTORS_MAX} belongs"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    for place in range(count):
        name = names[place] if place < len(names) else "unknown"
        try:
            each = socket.socket(fileno=FIRST_DESCRIPTOR + place)
            is_listening = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
            is_tcp = each.family in {socket.AF_INET, socket.AF_INET6} and each.type == socket.SOCK_STREAM
        except OSError as cause:
            return Failure(NotOurSockets(f"descriptor {FIRST_DESCRIPTOR + place} ({name}): {cause.strerror}"))
        if not is_listening or not is_tcp:
            return Failure(NotOurSockets(f"descriptor {FIRST_DESCRIPTOR + place} ({name}) is no listening TCP socket"))
        each.set_inheritable(False)
        each.settimeout(0)
        found.setdefault(name, []).append(each)
    return Success(found)


@final
class Manager:
    """Whom to tell how the service does; says nothing when nobody asked to be told."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address: Final = environment.get("NOTIFY_SOCKET", "")
        watched = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = int(watched) if watched.isascii() and watched.isdecimal() and is_ours else 0
        self.watchdog_seconds: Final = microseconds / _MICROSECONDS / 2 if self._address else 0.0
        """How often to say that we live; 0 when nobody waits for it."""

    def ready(self, status: str) -> None:
        """The service serves, for the first time or again."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it, whether it came to anything or not."""
        # The moment tells the manager which `ready` belongs to which reload (Type=notify-reload).
        moment = int(clock_gettime(CLOCK_MONOTONIC) * _MICROSECONDS)
        self._tell("RELOADING=1", f"MONOTONIC_USEC={moment}")

    def stopping(self, seconds: float) -> None:
        """The service ends, within so many seconds."""
        self._tell("STOPPING=1", "STATUS=finishing what runs", f"EXTEND_TIMEOUT_USEC={int(seconds * _MICROSECONDS)}")

    def alive(self) -> None:
        """The event loop turns."""
        self._tell("WATCHDOG=1", patience=0.0)

    def _tell(self, *lines: str, patience: float = _PATIENCE_SECONDS) -> None:
        if not self._address:
            return
        # An abstract address begins with a zero byte, which stands as @ in the environment.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
                telling.settimeout(patience)
                telling.sendto("\n".join(lines).encode(), address)
        except OSError:
            return  # a manager that does not listen does not want to know
