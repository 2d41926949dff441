"""Who a server is to a database that it shares with others: a random ID, made once and kept in its state directory.

It is no secret and no key. A host's name would not do: two hosts may be called alike, and one may run two servers.
"""

import re
from pathlib import Path
from typing import Final

from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.drive import files
from tunnel.drive.files import CannotUse, FileError
from tunnel.ports import Entropy

SERVER_ID: Final = "server-id"
SERVER_ID_BYTES: Final = 16
_TEXT: Final = re.compile(rb"([0-9a-f]{32})\n?")


def server_id(state: Path, entropy: Entropy) -> Outcome[str, FileError]:
    """The ID of this directory's server, 32 hexadecimal digits. A copy of the directory has the same one."""
    path = state / SERVER_ID
    fresh = entropy.random_bytes(SERVER_ID_BYTES).hex().encode() + b"\n"
    kept = files.made_once(path, fresh, files.PRIVATE)
    if not isinstance(kept, Success):
        return kept
    found = _TEXT.fullmatch(value_of(kept))
    if found is None:
        return Failure(CannotUse(path, "read the server's ID", "it is not 32 hexadecimal digits; delete it"))
    return Success(found.group(1).decode())
