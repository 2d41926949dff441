"""The agents of an endurance run that come and go: stopped, cut, pooled, revoked, each kind under names of its own."""

import asyncio
import random
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Final, final

from bench.fleet import Member, settings_of
from bench.soak_ground import PATIENCE_SECONDS, Ground, Wrong, expect

from tunnel.agent.end import NotAuthorised
from tunnel.agent.settings import AgentSettings
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.link.messages import Share
from tunnel.core.proxy.header import ProxyVersion
from tunnel.core.token.codec import token_raw
from tunnel.core.token.token import EndpointKind

CHURNING: Final = 4
"""Agents that come and go at the same time, beside that of the pool and the one whose token is revoked."""
_LIFE_SECONDS_MAX: Final = 5.0
_HASTY_SECONDS_MAX: Final = 0.3
_KINDS: Final = ("http", "links", "tcp", "tls")
_LINKS: Final = 3
_TOKEN_SECONDS: Final = 600
_REST_SECONDS_MAX: Final = 3.0
_POOL_REST_SECONDS: Final = 3.0
"""Longer than a request of the pool is said to have been disturbed for, so that some are not."""


@final
class Churn:
    """One agent after the other, each chosen by chance; `number` tells its names and its port from those of others."""

    def __init__(self, ground: Ground, chance: random.Random, number: int) -> None:
        self._ground: Final = ground
        self._chance: Final = chance
        self._number: Final = number
        self._trust: Final = ground.trusting()

    async def until(self, end: float) -> None:
        """Agents of all kinds; some end before they have a name."""
        while time.monotonic() < end:
            kind = self._chance.choice(_KINDS)
            await _counted(self._ground, f"agent: {kind}", self._life(kind, end))

    async def _life(self, kind: str, end: float) -> None:
        name = f"churn-{self._number}-{kind}"
        member = _member(self._ground, self._settings(kind, name))
        try:
            if self._chance.getrandbits(2) == 0:
                await asyncio.sleep(self._chance.random() * _HASTY_SECONDS_MAX)
                return
            await _granted(member)
            await self._is_served(kind, name)
            await asyncio.sleep(min(self._chance.random() * _LIFE_SECONDS_MAX, max(end - time.monotonic(), 0)))
            await self._is_served(kind, name)
        finally:
            await self._end(member)

    def _settings(self, kind: str, name: str) -> AgentSettings:
        ground = self._ground
        match kind:
            case "tcp":
                made = settings_of(
                    ground.server, name, ground.local.behind_proxy, kind=EndpointKind.TCP, account=ground.account
                )
                return replace(made, port=self._port, proxy_protocol=ProxyVersion.V2)
            case "tls":
                return settings_of(ground.server, name, ground.local.tls, kind=EndpointKind.TLS, account=ground.account)
            case _:
                made = settings_of(ground.server, name, ground.local.http, account=ground.account)
                return replace(made, links=_LINKS if kind == "links" else 1)

    @property
    def _port(self) -> int:
        return self._ground.tcp_ports + 1 + self._number

    async def _is_served(self, kind: str, name: str) -> None:
        """One exchange with the agent, whatever it exposes."""
        if kind not in ("tcp", "tls"):
            await self._ground.is_served(name, self._chance.randbytes(self._chance.randrange(10_000)))
            return
        context = self._trust if kind == "tls" else None
        port = self._ground.server.agents.port if kind == "tls" else self._port
        async with self._ground.opened(port, tls=context, name=name) as (reader, writer):
            if kind == "tcp":
                await reader.readline()
            writer.write(b"ping")
            expect(await reader.readexactly(4) == b"ping", f"{name} said something else")

    async def _end(self, member: Member) -> None:
        if self._chance.getrandbits(1):
            self._ground.report.did["agent cut"] += 1
            await member.cut()
        else:
            self._ground.report.did["agent stopped"] += 1
            await _stopped(member)


async def pool_until(ground: Ground, chance: random.Random, end: float) -> None:
    """The second agent of the pool: it serves, and is stopped or cut while it does."""
    while time.monotonic() < end:
        await _counted(ground, "agent: pool", _pool_life(ground, chance))
        await asyncio.sleep(_POOL_REST_SECONDS)


async def _pool_life(ground: Ground, chance: random.Random) -> None:
    asked = settings_of(ground.server, "pool", ground.local.http, account=ground.account)
    member = _member(ground, replace(asked, share=Share.POOL))
    try:
        await _granted(member)
        await asyncio.sleep(chance.random() * _LIFE_SECONDS_MAX)
    finally:
        ground.partner.end()
        await (member.cut() if chance.getrandbits(1) else _stopped(member))
        ground.partner.end()


async def revoke_until(ground: Ground, chance: random.Random, end: float) -> None:
    """Tokens of the API, each revoked while its agent serves."""
    while time.monotonic() < end:
        await _counted(ground, "agent: revoked", _revoked_life(ground, f"revoked-{chance.randrange(10)}"))
        await asyncio.sleep(chance.random() * _REST_SECONDS_MAX)


async def _revoked_life(ground: Ground, name: str) -> None:
    asked = {"pattern": name, "ttl_seconds": _TOKEN_SECONDS, "label": "endurance"}
    status, told = await ground.asked("POST", ground.of_account("tokens"), asked)
    if not isinstance(told, dict) or "secret" not in told:
        message = f"no token was minted: {status}"
        raise Wrong(message)
    raw = token_raw(told["secret"])
    if not isinstance(raw, Success):
        message = f"no token: {error_of(raw)}"
        raise Wrong(message)
    settings = settings_of(ground.server, name, ground.local.http, account=ground.account)
    member = _member(ground, replace(settings, token=value_of(raw)))
    try:
        await _granted(member)
        await ground.is_served(name)
        status, _ = await ground.asked("DELETE", ground.of_account(f"tokens/{told['token']['token']}"))
        ended = await asyncio.shield(member.task)
        is_told = isinstance(ended, Failure) and isinstance(error_of(ended), NotAuthorised)
        expect(is_told, f"its token was revoked ({status}), and it ended as {ended}")
    finally:
        await member.cut()


async def _counted(ground: Ground, kind: str, life: Coroutine[None, None, None]) -> None:
    """One life, which is as it had to be or written down as wrong."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await life
    except (OSError, EOFError, Wrong) as cause:
        ground.report.blame(kind, repr(cause))
    ground.report.did[kind] += 1


def _member(ground: Ground, asked: AgentSettings) -> Member:
    return Member(ground.server, asked.name, asked.local.address, asked=asked)


async def _granted(member: Member) -> None:
    """Return once the agent has its name."""
    ready = asyncio.ensure_future(member.roll.ready())
    try:
        await asyncio.wait((ready, member.task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
    expect(bool(member.roll.ready_at), f"{member.name} was not granted: {member.task}")


async def _stopped(member: Member) -> None:
    await member.stop()
    ended = member.task.result()
    expect(isinstance(ended, Success), f"{member.name} was stopped, and ended as {ended}")
