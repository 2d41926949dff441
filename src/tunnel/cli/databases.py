"""Which database the control plane uses: by flag, environment or config file, and never with a password in the flag."""

from collections.abc import Mapping
from typing import Final

from tunnel.cli.places import database_of, has_password
from tunnel.cli.problems import BadArgument, CannotRead, Problem
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of

VARIABLE: Final = "TUNNEL_DATABASE"
_SAID_ALOUD: Final = (
    "a password on the command line can be read by every user of this machine; "
    f"give the URL in the environment as {VARIABLE}, in a config file as server.database, or the password as PGPASSWORD"
)

NO_DATABASE: Final = (
    "there is no database in {}; the first server or the first change there makes it: is it the directory of "
    "`tunnel server --state DIR`?"
)


def database_asked(flag: str | None, environment: Mapping[str, str], configured: str | None) -> Outcome[str, Problem]:
    """The URL of the database; "" when none is named: the SQLite file of the state directory."""
    if flag is not None and has_password(flag):
        return Failure(CannotRead("--database", _SAID_ALOUD))
    for source, text in (("--database", flag), (VARIABLE, environment.get(VARIABLE) or None)):
        if text is not None:
            read = database_of(text)
            if not isinstance(read, Success):
                return Failure(BadArgument(source, error_of(read).seen, error_of(read).wanted))
            return read
    return Success(configured or "")
