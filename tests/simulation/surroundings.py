"""What surrounds the product while a simulation runs: its clock, sockets, randomness and descriptors are the kernel's.

The product's sources are not touched and know nothing of this: the *names* under which its modules, and asyncio's loop,
hold `time`, `socket`, `os` and so on point elsewhere until the run is over. Objects get hashes that do not depend on
where they lie in memory, for sets of connections are gone through in that order.
"""

import asyncio.base_events
import asyncio.selector_events
import asyncio.unix_events
import fcntl
import itertools
import os
import random
import resource
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, final

import anyio
from tests.simulation.sockets import FIRST_NUMBER, System
from tests.simulation.threads import SimThread, ToThread, replacements
from tests.simulation.tls import StandInContext


@final
class Shim:
    """A module some of whose names are replaced."""

    def __init__(self, real: ModuleType, **replaced: object) -> None:
        self._real: Final = real
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        return getattr(self._real, name)


@contextmanager
def surrounded(system: System, seed: str, *, has_real_tls: bool = False) -> Iterator[None]:
    """What runs inside sees the simulated system and nothing else; one at a time in a process."""
    undo: list[Callable[[], None]] = []
    replaced = _replacements(system, random.Random(f"{seed}/entropy"), has_real_tls=has_real_tls)
    replaced |= replacements(system.kernel, seed)
    modules = [module for name, module in sys.modules.items() if name.startswith("tunnel.") and module is not None]
    loops: list[ModuleType] = [asyncio.base_events, asyncio.selector_events, asyncio.unix_events]
    for module in modules + loops:
        for name, value in list(vars(module).items()):
            found = replaced.get(id(value))
            if found is not None and (module not in loops or value is socket):
                undo.append(_set(module, name, found))
    for module in modules:
        undo.extend(_numbered(module))
    try:
        yield
    finally:
        for each in reversed(undo):
            each()


def _replacements(system: System, entropy: random.Random, *, has_real_tls: bool) -> dict[int, object]:
    kernel = system.kernel
    found: dict[int, object] = {
        id(time): Shim(time, monotonic=kernel.monotonic, time=kernel.time),
        id(time.monotonic): kernel.monotonic,
        id(time.time): kernel.time,
        id(socket): Shim(socket, socket=system.socket, gethostname=lambda: "simulated"),
        id(os): Shim(
            os,
            urandom=entropy.randbytes,
            getpid=lambda: 4242,
            fdatasync=system.synced("fdatasync"),
            fsync=system.synced("fsync"),
        ),
        id(anyio): Shim(anyio, to_thread=ToThread()),
        id(threading): Shim(threading, Thread=SimThread),
        id(os.urandom): entropy.randbytes,
        id(secrets): Shim(
            secrets,
            token_bytes=lambda count=32: entropy.randbytes(count),
            token_hex=lambda count=32: entropy.randbytes(count).hex(),
        ),
        id(fcntl): Shim(fcntl, ioctl=_ioctl(system)),
        id(resource): Shim(resource, getrlimit=lambda _: (65536, 65536), setrlimit=lambda _, __: None),
    }
    if not has_real_tls:
        context = _contexts(system)
        found[id(ssl)] = Shim(ssl, SSLContext=context, create_default_context=context)
    return found


def _contexts(system: System) -> Callable[..., StandInContext]:
    def made(*_: object, **__: object) -> StandInContext:
        return StandInContext(system.points.reach, system.kernel.weather.record)

    return made


def _ioctl(system: System) -> Callable[..., bytes]:
    def ioctl(number: int, _: int, __: bytes = b"") -> bytes:
        assert number >= FIRST_NUMBER, "a real descriptor in the simulation"
        return system.unsent(number).to_bytes(4, sys.byteorder)

    return ioctl


def _numbered(module: ModuleType) -> Iterator[Callable[[], None]]:
    """Give the objects of this module's classes a hash that is the same in every run."""
    for value in list(vars(module).values()):
        if type(value) is not type or value.__module__ != module.__name__:
            continue
        if getattr(value, "__hash__", None) is object.__hash__ and "__slots__" not in vars(value):
            yield _set(value, "__hash__", _serial_hash())


def _serial_hash() -> Callable[[Any], int]:
    serials = itertools.count(1)

    def serial(self: Any) -> int:  # noqa: ANN401 - of any class
        try:
            found: int = self._simulated_serial
        except AttributeError:
            found = self._simulated_serial = next(serials)
        return found

    return serial


def _set(owner: Any, name: str, value: object) -> Callable[[], None]:  # noqa: ANN401 - a module or a class
    had, before = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)

    def back() -> None:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)

    return back
