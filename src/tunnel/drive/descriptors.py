"""How many sockets this process may have: the system's limit, raised as far as it lets us."""

import sys
from typing import Final

if sys.platform != "win32":
    import resource

_KEPT: Final = 128
"""Descriptors that are not for connections: listeners, files, the loop's own, and connections that are turned away."""


def connections_possible() -> int:
    """For how many connections descriptors are left, after raising the soft limit to the hard one.

    Whoever admits fewer never meets EMFILE, where libuv closes what it accepted without a word and, without a spare
    descriptor, uvloop closes the listener for good.
    """
    if sys.platform == "win32":
        return 1 << 30
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # some systems name a hard limit that they do not grant
            pass
    if soft == resource.RLIM_INFINITY:
        return 1 << 30
    return max(soft - _KEPT, 1)
