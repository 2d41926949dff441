"""Limits, lists and users as people write them: flags, config keys and a file of users, parsed once."""

import re
from argparse import ArgumentParser
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, final

from tunnel.cli.places import BadText
from tunnel.cli.problems import CannotRead, Problem
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.policy.ip import Block, block_of
from tunnel.core.policy.rules import (
    BANDWIDTH_MAX,
    BANDWIDTH_MIN,
    BURST_MAX,
    EXCHANGES_MAX,
    RATE_MAX,
    SALT_BYTES,
    SIGN_INS_MAX,
    Rates,
    SignIn,
)
from tunnel.core.policy.sign_in import sign_in_of
from tunnel.core.proxy.header import ProxyVersion

_RATE: Final = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(?:/(s|m|h))?", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,13})(B|kB|KB|MB|GB|KiB|MiB|GiB)?(?:/s)?", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,7}", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_UNITS: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_THOUSANDTHS: Final = 1000
_USERS_BYTES_MAX: Final = 16 * 1024
_USERS: Final = "a file of `user:password` lines"
_LINE_CHARS_MAX: Final = 256


@final
@dataclass(frozen=True, slots=True)
class PolicyFlags:
    """What was typed about who may come, how often and how fast, and whether the local service is told who."""

    rate: str | None = None
    burst: str | None = None
    concurrent: str | None = None
    bandwidth: str | None = None
    allow_ip: tuple[str, ...] = ()
    deny_ip: tuple[str, ...] = ()
    basic_auth_file: str | None = None
    proxy_protocol: str | None = None


@final
@dataclass(frozen=True, slots=True)
class RatesAsked:
    """Rates of which some may not be given; in the units of `core/policy/rules.py`."""

    rate: int | None = None
    burst: int | None = None
    concurrent: int | None = None
    bandwidth: int | None = None


def add_policy_flags(parser: ArgumentParser) -> None:
    """The flags that all kinds of endpoints share."""
    parser.add_argument("--rate", metavar="N[/s|/m|/h]", help="let in so many requests a second, minute or hour (429)")
    parser.add_argument("--burst", metavar="N", help="so many of them at once (default: those of one second)")
    parser.add_argument("--concurrent", metavar="N", help="let in so many at the same time (429)")
    parser.add_argument("--bandwidth", metavar="SIZE", help="pass so many bytes a second: 500kB, 5MB, 1MiB")
    parser.add_argument(
        "--allow-ip", metavar="BLOCK", action="append", help="let in only such addresses: 192.0.2.0/24 (repeatable)"
    )
    parser.add_argument("--deny-ip", metavar="BLOCK", action="append", help="never let in such addresses (repeatable)")
    parser.add_argument(
        "--proxy-protocol",
        metavar="v1|v2",
        help="tell the local service who a connection is from, in the PROXY protocol",
    )


def rate_of(text: str) -> Outcome[int, BadText]:
    """Thousandths of a request a second."""
    found = _RATE.fullmatch(text)
    wanted = BadText(text, "a rate above one an hour, such as 50, 0.5, 30/m or 100/h")
    if found is None:
        return Failure(wanted)
    whole, _, part = found[1].partition(".")
    thousandths = int(whole) * _THOUSANDTHS + int((part + "000")[:3])
    rate = thousandths // _SECONDS[found[2] or "s"]
    return Success(rate) if 0 < rate <= RATE_MAX else Failure(wanted)


def burst_of(text: str) -> Outcome[int, BadText]:
    """Requests at once."""
    return _count(text, BURST_MAX)


def concurrent_of(text: str) -> Outcome[int, BadText]:
    """Exchanges at the same time."""
    return _count(text, EXCHANGES_MAX)


def bandwidth_of(text: str) -> Outcome[int, BadText]:
    """Bytes a second."""
    found = _SIZE.fullmatch(text)
    size = 0 if found is None else int(found[1]) * _UNITS[found[2] or "B"]
    if not BANDWIDTH_MIN <= size <= BANDWIDTH_MAX:
        return Failure(BadText(text, "bytes a second from 16KiB on, such as 500kB, 5MB or 1MiB"))
    return Success(size)


def blocks_of(text: str) -> Outcome[Block, BadText]:
    """One block of addresses."""
    found = block_of(text)
    if isinstance(found, Success):
        return found
    if error_of(found).host_bits:
        return Failure(BadText(text, "a block: bits are set behind its length; did you mean a shorter address?"))
    return Failure(BadText(text, "an address or a block of them, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32"))


def proxy_version_of(text: str) -> Outcome[ProxyVersion, BadText]:
    """A version of the PROXY protocol."""
    for version in ProxyVersion:
        if version.value == text:
            return Success(version)
    return Failure(BadText(text, "v1 or v2"))


def rates_of(asked: RatesAsked) -> Rates:
    """The rates, a burst of one second's requests where none is given; a burst alone means nothing and is dropped."""
    rate = asked.rate or 0
    burst = 0 if not rate else asked.burst or max(-(-rate // _THOUSANDTHS), 1)
    return Rates(rate, burst, asked.concurrent or 0, asked.bandwidth or 0)


def sign_ins_of(file: Path, source: str, name: str) -> Outcome[tuple[SignIn, ...], Problem]:
    """The users in a file of `user:password` lines; empty lines and those that begin with # are passed over.

    A salt is made of the endpoint's name and the user, so that all agents of a pool ask for the same.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_USERS_BYTES_MAX + 1)
    except OSError as cause:
        return Failure(CannotRead(source, f"cannot read {file}: {cause.strerror}"))
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return Failure(CannotRead(source, f"{file} is not {_USERS}: not UTF-8"))
    users = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, password = line.partition(":")
        if not user or not colon or not password or len(line) > _LINE_CHARS_MAX or not line.isprintable():
            # The line itself is not repeated: it may be a password.
            return Failure(CannotRead(source, f"{file}, line {number}: not `user:password`"))
        users[user] = line
    if not users or len(users) > SIGN_INS_MAX or len(content) > _USERS_BYTES_MAX:
        return Failure(CannotRead(source, f"{file} has {len(users)} users, where 1 to {SIGN_INS_MAX} belong"))
    return Success(tuple(sign_in_of(line.encode(), _salt(name, user)) for user, line in sorted(users.items())))


def _salt(name: str, user: str) -> bytes:
    return sha256(b"\0".join((b"tunnel sign-in", name.encode(), user.encode()))).digest()[:SALT_BYTES]


def _count(text: str, most: int) -> Outcome[int, BadText]:
    if _COUNT.fullmatch(text) is None or not 0 < int(text) <= most:
        return Failure(BadText(text, f"a number from 1 to {most}"))
    return Success(int(text))


def blocks_among(texts: tuple[str, ...]) -> tuple[tuple[Block, ...], tuple[tuple[str, BadText], ...]]:
    """The blocks, and the texts that are none."""
    blocks: list[Block] = []
    wrong: list[tuple[str, BadText]] = []
    for text in texts:
        found = blocks_of(text)
        if isinstance(found, Success):
            blocks.append(value_of(found))
        else:
            wrong.append((text, error_of(found)))
    return tuple(blocks), tuple(wrong)
