"""Session keys of TLS in a file, for whoever reads a capture with Wireshark; off unless asked for (ADR 0049).

Whoever has the file and a capture reads everything, tokens included; it is therefore never opened for others to read.
"""

import os
import ssl
import stat
from pathlib import Path
from typing import Final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.drive.tls import TlsUnusable

_PRIVATE: Final = 0o600
_OTHERS: Final = 0o077


def log_keys(context: ssl.SSLContext, file: Path) -> Outcome[None, TlsUnusable]:
    """Append the keys of every later handshake of `context` to `file`, made with mode 0600 when it is not there.

    Refused when others than its owner may use the file, or when it is none: a pipe could stop every handshake.
    """
    try:
        # Without blocking, or a pipe that nobody reads would hold us here for ever; it is refused either way.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, _PRIVATE)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Failure(TlsUnusable(str(file), "keys are logged to a plain file, and this is none"))
        mode = stat.S_IMODE(status.st_mode)
        if mode & _OTHERS:
            return Failure(
                TlsUnusable(str(file), f"has mode {mode:04o}, so others could read the keys (chmod 600 {file})")
            )
        context.keylog_filename = str(file)
    except OSError as cause:
        return Failure(TlsUnusable(str(file), f"cannot write TLS keys there: {cause.strerror or cause}"))
    return Success(None)


def warning_of(file: Path) -> str:
    """What is told at each start, so that nobody leaves it on unawares."""
    return f"TLS keys are logged to {file}: with it and a capture anybody reads this traffic, tokens included"
