"""A long run with churn: agents of every kind come, go, are cut and revoked; visitors ask, break off and talk nonsense.

    python -m bench.soak --seconds 3600 [--json FILE]     (make soak TIME=3600)

A server with its control process, and an agent of each kind, are processes of their own and are looked at: memory and
descriptors, every few seconds. All else happens in this process, which is also the local services. At the end the churn
stops, and what the processes hold then is compared with what they held before it, and after the first minutes. Ends
with 1 when memory or descriptors have grown, when something that nothing disturbed went wrong, when the database lacks
requests that were answered, or when an exception reached a guard.

Nothing is reloaded here: each generation is a new process, and none would be old enough to show a leak; `make reload`
is about reloads.
"""

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, final

import uvloop
from bench.churn import CHURNING, Churn, pool_until, revoke_until
from bench.failure import BenchError
from bench.fleet import Host, Member, host, lasting_ports, settings_of
from bench.machine import Watch
from bench.pair import LOOPBACK
from bench.soak_ground import UPSTREAM, Ground, Partner
from bench.soak_local import local_services
from bench.soak_report import Report, Sample, sampled
from bench.visits import BURST, DENIED, RATE, USER, Visits

from tunnel.cli.account_actions import account_id_of
from tunnel.cli.commands import DEFAULT_ACCOUNT
from tunnel.cli.first_key import first_key
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.policy.ip import block_of
from tunnel.core.policy.rules import SALT_BYTES, Policy, Rates
from tunnel.core.policy.sign_in import sign_in_of
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address

_SAMPLE_SECONDS: Final = 5.0
_LINE_SECONDS: Final = 60.0
_VISITORS: Final = 12
_HASTY: Final = 3
_LOOK_AGAIN_SECONDS: Final = 0.25
_FIRST_LOOKS: Final = 12
"""Three seconds: longer than the server lets a visitor that was refused finish what it says."""
_REST_LOOKS_MAX: Final = 240
"""A minute: longer than any wait of the server for a peer that is gone."""
_THOUSAND: Final = 1000
_TLS_NAMES: Final = ("secret", *(f"churn-{number}-tls" for number in range(CHURNING)))


@final
class Soak:
    """One run."""

    def __init__(self, ground: Ground, processes: Mapping[str, int], seed: int, pause: float) -> None:
        self._ground: Final = ground
        self._processes: Final = processes
        self._seed: Final = seed
        self._pause: Final = pause
        self._begun: Final = time.monotonic()

    async def run(self, seconds: float) -> None:
        """The churn, between two moments of rest."""
        report = self._ground.report
        await self._visits("first").each()
        report.first = await self._at_first()
        begun = time.monotonic()
        work = [asyncio.create_task(each) for each in self._work(begun + seconds)]
        try:
            await self._watch(begun + seconds, min(_SAMPLE_SECONDS, seconds / 20))
            await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
        self._judge_rate(time.monotonic() - self._begun)
        await self._ground.until_stored()
        report.rest = await self._at_rest(report.first)
        report.seconds = seconds

    def _work(self, end: float) -> list[Coroutine[None, None, None]]:
        """All that goes on at once, each with a chance of its own, so that none changes what another does."""
        work = [self._visits(f"visitor {number}").until(end) for number in range(_VISITORS)]
        work += [self._visits(f"hasty {number}").hasty_until(end) for number in range(_HASTY)]
        work += [Churn(self._ground, self._chance(f"agent {each}"), each).until(end) for each in range(CHURNING)]
        work.append(pool_until(self._ground, self._chance("pool"), end))
        work.append(revoke_until(self._ground, self._chance("revoked"), end))
        return work

    def _visits(self, whose: str) -> Visits:
        return Visits(self._ground, self._chance(whose), self._pause)

    def _chance(self, whose: str) -> random.Random:
        return random.Random(f"{self._seed} {whose}")

    async def _watch(self, end: float, every: float) -> None:
        """A sample every few seconds, and a line a minute."""
        report = self._ground.report
        line = time.monotonic() + _LINE_SECONDS
        while time.monotonic() < end:
            await asyncio.sleep(every)
            report.samples.append(self._sample())
            if time.monotonic() >= line:
                line += _LINE_SECONDS
                print(report.line(report.samples[-1]), flush=True)

    def _sample(self) -> Sample:
        try:
            return sampled(time.monotonic() - self._begun, self._processes)
        except OSError as cause:
            message = f"a process ended: {cause}; the server said: {self._ground.server.said()}"
            raise BenchError(message) from cause

    async def _at_first(self) -> Sample:
        """What is held before the churn: of each process as few descriptors as it had in a while."""
        looks = []
        for _ in range(_FIRST_LOOKS):
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            looks.append(self._sample())
        fewest = {name: min(look.descriptors[name] for look in looks) for name in self._processes}
        return replace(looks[-1], descriptors=fewest)

    async def _at_rest(self, first: Sample) -> Sample:
        """What is held once everything that was going on has ended, or a minute after it should have."""
        rest = self._sample()
        for _ in range(_REST_LOOKS_MAX):
            if all(rest.descriptors[name] <= before for name, before in first.descriptors.items()):
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            rest = self._sample()
        return rest

    def _judge_rate(self, seconds: float) -> None:
        report = self._ground.report
        passed, most = report.did["rate (200)"], BURST + RATE * seconds + 1
        if not BURST <= passed <= most:
            report.blame("rate (429)", f"{passed} requests passed in {seconds:.0f} s, where {most:.0f} may")


def _policies() -> dict[str, Policy]:
    """What visitors of three of our names are asked for."""
    block = block_of(DENIED)
    if not isinstance(block, Success):
        raise BenchError(str(error_of(block)))
    return {
        "rated": Policy(Rates(requests=RATE * _THOUSAND, burst=BURST)),
        "listed": Policy(deny=(value_of(block),)),
        "signed": Policy(sign_ins=(sign_in_of(USER, secrets.token_bytes(SALT_BYTES)),)),
    }


@asynccontextmanager
async def _settled(ground: Ground) -> AsyncIterator[dict[str, int]]:
    """The agents that stay, until the block ends; gives the numbers of those that are processes of their own."""
    local, account, serve = ground.local, ground.account, ground.server.agent
    async with AsyncExitStack() as until:
        running = [
            serve("steady", local.http.port, "--links", "3", account=account),
            serve("pool", local.http.port, "--pool", account=account),
            serve(
                "tcp", local.behind_proxy.port, "--port", str(ground.tcp_ports), "--proxy-protocol", "v2",
                kind=EndpointKind.TCP, account=account,
            ),
            serve("secret", local.tls.port, kind=EndpointKind.TLS, account=account),
        ]  # fmt: skip
        pids = await asyncio.gather(*(until.enter_async_context(each) for each in running))
        for name, policy in _policies().items():
            asked = settings_of(ground.server, name, local.http, account=account)
            member = Member(ground.server, name, local.http, asked=replace(asked, policy=policy))
            until.push_async_callback(member.stop)
            await member.roll.ready()
        yield dict(zip(("3 links", "pooled", "TCP", "TLS"), pids, strict=True))


async def soak(folder: Path, report: Report, seconds: float, pause: float) -> None:
    """Run it."""
    api, ports = Address(LOOPBACK, lasting_ports(1)), lasting_ports(CHURNING + 1)
    range_flag = f"{ports}-{ports + CHURNING}"
    flags = ("--api", str(api), "--tcp-ports", range_flag, "--trust-proxy", f"{UPSTREAM}/32")
    (folder / "state").mkdir(0o700)
    key = await first_key(folder / "state", UnixSeconds(int(time.time())))
    if not isinstance(key, Success):
        raise BenchError(error_of(key))
    account = account_id_of(DEFAULT_ACCOUNT)
    async with host(folder, control=flags) as server, local_services(server.state, _TLS_NAMES) as local:
        ground = Ground(server, local, report, account, ports, api, value_of(key), Partner())
        await ground.until_ready()
        async with _settled(ground) as agents:
            control = _only_child(server)
            processes = {"server": server.pid, "control": control, **agents}
            await Soak(ground, processes, report.seed, pause).run(seconds)
            if _only_child(server) != control:
                report.blame("control process", "it was started again")
    report.escapes = server.escapes()


def _only_child(server: Host) -> int:
    """The control process."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text("ascii").split()
    if len(children) != 1:
        message = f"the server has {len(children)} processes of its own, in place of the control process"
        raise BenchError(message)
    return int(children[0])


def main(arguments: Sequence[str]) -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description="Memory and descriptors under churn, for as long as you like.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds at most between two visits of one visitor")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    report, watch = Report(seed=asked.seed), Watch()
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as made:
            uvloop.run(soak(Path(made), report, asked.seconds, asked.pause))
    except (BenchError, TimeoutError) as why:
        print(f"soak: {why!r}", file=sys.stderr)
        return 1
    print(report.table())
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(report.text(watch.about({"pause": asked.pause})), encoding="utf-8")
    faults = report.faults()
    for fault in faults:
        print(f"NOT FLAT: {fault}")
    if not faults:
        print("flat")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
