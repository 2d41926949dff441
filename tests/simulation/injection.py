"""Fault injection in the manner of SQLite: count the points of one world, then fail each with each of its errors.

`python -m tests.simulation.injection [--each N]`: each point is an operation of the system that the product asks for:
of a socket, of TLS, of a file, of the resolver. It fails once, and in another run from then on. Whatever fails, the
process lives, no exception reaches a guard, who had nothing to do with it is served, and afterwards everybody is.
"""

import argparse
import errno
import os
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.simulation.exchange import Exchange
from tests.simulation.plan import Plan
from tests.simulation.roads import Road
from tests.simulation.sockets import Failing, Short
from tests.simulation.state import prepared_state
from tests.simulation.tls import fault
from tests.simulation.world import Run, run

_PLAIN: Final = Plan(seed="injection-3", agents=2, visitors=3, exchanges_each=2, spread=0.2)
SCENARIOS: Final = {
    "plain": _PLAIN,
    "control": replace(_PLAIN, seed="injection-control", acts=("nothing", "damage")),
    "tcp": replace(_PLAIN, seed="injection-tcp", agents=1, visitors=2, road=Road.TCP),
    "tls": replace(_PLAIN, seed="injection-tls", agents=1, visitors=2, road=Road.TLS),
    "proxy": replace(_PLAIN, seed="injection-proxy", agents=1, visitors=2, road=Road.PROXY),
}
"""Worlds whose points fail: plain visitors, a control plane with file, feed and journal, raw endpoints, upstreams."""
_JOBS: Final = 2
_BATCH: Final = 20
_FAILED_MAX: Final = 12


def _system(*numbers: int) -> tuple[Exception, ...]:
    return tuple(OSError(number, os.strerror(number)) for number in numbers)


def _untrusted() -> ssl.SSLCertVerificationError:
    made = ssl.SSLCertVerificationError(1, "certificate verify failed (stand-in)")
    made.verify_message, made.verify_code, made.reason = "self-signed certificate", 18, "CERTIFICATE_VERIFY_FAILED"
    return made


_PASSING: Final = (errno.EAGAIN, errno.ECONNABORTED)
"""Said once to somebody who was told that it is ready; said for ever it would be no system."""
_OUT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_FILE: Final = _system(errno.EIO, errno.EACCES, errno.ENOSPC, errno.EMFILE)
_TLS: Final = (fault("INTERNAL_ERROR"), fault("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"))
ERRORS: Final[dict[str, tuple[Exception, ...]]] = {
    "socket": _system(*_OUT, errno.EACCES),
    "bind": _system(errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL),
    "listen": _system(errno.EADDRINUSE, errno.ENOBUFS),
    "accept": _system(errno.ECONNABORTED, errno.EPERM, errno.ENOBUFS, *_OUT),
    # A firewall has no say about Unix sockets: EPERM is none of these.
    "accept-beside": _system(errno.ECONNABORTED, errno.ENOBUFS, *_OUT),
    "connect": _system(errno.ECONNREFUSED, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EACCES, errno.ENOMEM),
    "connected": _system(errno.ENOMEM),
    "send": (*_system(errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ENOMEM, errno.EAGAIN), Short()),
    "recv": (*_system(errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOMEM, errno.EAGAIN), Short()),
    "shutdown": _system(errno.ENOTCONN, errno.ENOMEM),
    "setsockopt": _system(errno.EINVAL, errno.ENOBUFS, errno.ENOMEM),
    "getsockname": _system(errno.ENOBUFS),
    "getpeername": _system(errno.ENOTCONN, errno.ENOBUFS),
    "getaddrinfo": (
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        *_system(errno.ENOMEM),
    ),
    # Where these two fail, asyncio's transport is half made and the socket is left to the garbage collection, which
    # closes it; the simulated sockets have none.
    "wrap_bio": (),
    "nodelay": (),
    "do_handshake": (*_TLS, _untrusted()),
    "tls-read": _TLS,
    "tls-write": _TLS,
    "unwrap": _TLS,
    "load_cert_chain": (*_TLS, *_FILE),
    "load_verify_locations": (*_TLS, *_FILE),
}
"""What each operation can come to; files have their own list."""


def errors_of(name: str) -> tuple[Exception, ...]:
    """The errors of one kind of point."""
    return ERRORS.get(name, _FILE)


def tried(failing: Failing | None, scenario: str = "plain") -> Run:
    """The scenario on a state directory of its own, whose certificate is to be made."""
    with tempfile.TemporaryDirectory(prefix="injected-") as folder:
        state = Path(folder) / "state"
        shutil.copytree(prepared_state(), state, ignore=shutil.ignore_patterns("server.pem", "real*"))
        state.chmod(0o700)
        done = run(SCENARIOS[scenario], failing, state)
    if failing is not None and not failing.is_sticky:
        done.findings.extend(others(done.exchanges))
    if failing is not None and not done.system.points.failed:
        done.findings.append(f"point {failing.at} was not reached again")
    return done


def others(exchanges: list[Exchange]) -> Iterator[str]:
    """One failure may cost one visitor's exchanges, or those of one agent; never anybody else's."""
    broken = [each for each in exchanges if each.visitor >= 0 and not (each.is_whole and each.outcomes == ["ok"])]
    if len({each.visitor for each in broken}) > 1 and len({each.name for each in broken}) > 1:
        yield f"one failure cost {len(broken)} exchanges: {'; '.join(each.story() for each in broken)}"


def points(scenario: str = "plain") -> list[str]:
    """The points of a scenario, in order."""
    counted = tried(None, scenario)
    assert counted.is_sound, counted.findings
    return counted.system.points.names


def cases(names: list[str], each: int) -> Iterator[Failing]:
    """Every `each`-th point with all its errors, once and for good."""
    for at in range(1, len(names) + 1):
        if at % each:
            continue
        for error in errors_of(names[at - 1]):
            yield Failing(at, error)
            if getattr(error, "errno", 0) not in _PASSING and not isinstance(error, Short):
                yield Failing(at, error, is_sticky=True)


def batch(todo: list[Failing], names: list[str], scenario: str = "plain") -> list[str]:
    """Stories of those that came to something bad."""
    stories = []
    for failing in todo:
        done = tried(failing, scenario)
        if not done.is_sound:
            mode = "from then on" if failing.is_sticky else "once"
            head = f"✗ {scenario}: point {failing.at} ({names[failing.at - 1]}) fails {mode} with {failing.error!r}"
            stories.append("\n".join([head, *(f"  - {finding[:600]}" for finding in done.findings[:4])]))
    return stories


def main(arguments: list[str]) -> int:
    """0 when everything survived everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.injection", description=__doc__)
    parser.add_argument("--each", type=int, default=1, metavar="N", help="every N-th point only (1)")
    parser.add_argument("--jobs", type=int, default=_JOBS, metavar="J", help="processes (2)")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="this world only (repeatable)")
    options = parser.parse_args(arguments)
    return max([_told(each, options.each, options.jobs) for each in options.scenario or SCENARIOS], default=0)


def _told(scenario: str, every: int, jobs: int) -> int:
    began = time.monotonic()
    names = points(scenario)
    todo = list(cases(names, every))
    failed = 0
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        starts = range(0, len(todo), _BATCH)
        waiting = [pool.submit(batch, todo[start : start + _BATCH], names, scenario) for start in starts]
        for each in waiting:
            stories = each.result()
            failed += len(stories)
            for story in stories:
                print(story, flush=True)
            if failed >= _FAILED_MAX:
                pool.shutdown(cancel_futures=True)
                break
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())
    print(f"{scenario}: {len(names)} points: {kinds}")
    print(f"{scenario}: {len(todo)} runs: {failed} not survived; {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
