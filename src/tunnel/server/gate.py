"""What this process knows of accounts: the directory of its state directory, taken over when it changes (ADR 0064)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.directory.codec import Reading
from tunnel.core.directory.decisions import may_open
from tunnel.core.directory.directory import UNTOLD, Directory
from tunnel.core.directory.errors import TokenRevoked, describe
from tunnel.core.link.messages import RefusalCode
from tunnel.core.token.token import Token
from tunnel.drive.directory_file import BEFORE, DIRECTORY, Glimpse, glimpse, read_again, read_directory
from tunnel.observe.events import EventSink, Warned
from tunnel.ports import Clock


class Learner(Protocol):
    """Who decides by the directory: the whole of one process."""

    def learn(self, directory: Directory, now: Instant) -> None:
        """Decide by this one from now on, and end at once what it does not allow any more."""


@final
class Gate:
    """Watches one state directory for one process; it lives as long as the process serves.

    A file that cannot be used changes nothing: what was revoked stays revoked.
    """

    def __init__(self, state: Path, learner: Learner, clock: Clock, events: EventSink) -> None:
        self._state: Final = state
        self._learner: Final = learner
        self._clock: Final = clock
        self._events: Final = events
        self._seen: Glimpse | None = None
        """The file that was taken over last."""
        self._reading: Reading | None = None
        self._warned: tuple[Glimpse, str] | None = None
        self.directory = UNTOLD
        self.trouble = ""
        """Why the file that is there now is not what we go by."""

    def begin(self) -> None:
        """Take over what was told before this process began; of an unusable file, the one before."""
        if not self.look_again() and self.trouble:
            held = read_directory(self._state, BEFORE)
            directory = value_of(held) if isinstance(held, Success) else None
            if directory is None:
                self._events.emit(Warned("no directory can be read: tokens alone decide until one is published"))
            else:
                self._events.emit(Warned(f"going on with {self._state / BEFORE}, which may lack the last change"))
                self._take(directory)

    def look_again(self) -> bool:
        """Take over the file if it is another one than before; whether it was. Costs one `stat` when it is not.

        One that cannot be used is read again at each look, and complained of once: a disk may come back, or an
        operator mend its mode, and the file is the same. One that is only newer than the last puts nobody to work.
        """
        seen = glimpse(self._state)
        if seen is None or seen == self._seen:
            return False
        read = read_again(self._state, self._reading)
        if not isinstance(read, Success):
            self.trouble = error_of(read)
            if self._warned != (seen, self.trouble):
                self._warned = (seen, self.trouble)
                self._events.emit(Warned(f"the directory cannot be used, and what was known stays: {self.trouble}"))
            return False
        reading, before = value_of(read), self._reading
        if reading is None:
            return False
        self.trouble, self._seen, self._reading = "", seen, reading
        if before is not None and reading.is_as(before):
            self.directory = reading.directory
        else:
            self._take(reading.directory)
        return True

    def age_seconds(self) -> int:
        """How long ago what we go by was true in the store; -1 when nothing was ever told."""
        if not self.directory.is_known:
            return -1
        return max(self._clock.unix() - self.directory.made_at, 0)

    def facts(self) -> dict[str, object]:
        """What people want to know of it, as the feed tells it."""
        directory = self.directory
        return {
            "file": str(self._state / DIRECTORY),
            "number": directory.number,
            "made_at": directory.made_at,
            "age_seconds": self.age_seconds(),
            "revoked": len(directory.revoked),
            "names": len(directory.names),
            "accounts": len(directory.accounts),
            "trouble": self.trouble,
        }

    def _take(self, directory: Directory) -> None:
        self.directory = directory
        self._learner.learn(directory, self._clock.now())


class Judged(Protocol):
    """A session, to which a directory may put an end."""

    def judge(self, directory: Directory, now: Instant) -> None:
        """End, or give up what is not ours any more."""


def judge_all(sessions: Iterable[Judged], directory: Directory, now: Instant) -> None:
    """Let each session hear a directory; one that ends meanwhile takes others with it at most by their names."""
    for session in list(sessions):
        session.judge(directory, now)


def refusal_of(directory: Directory, token: Token) -> tuple[RefusalCode, str] | None:
    """Why an agent with this token is not served; its code keeps the agent from dialling again in vain."""
    opened = may_open(directory, token)
    if isinstance(opened, Success):
        return None
    error = error_of(opened)
    code = RefusalCode.REVOKED if isinstance(error, TokenRevoked) else RefusalCode.SUSPENDED
    return code, describe(error)
