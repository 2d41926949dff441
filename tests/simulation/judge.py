"""What each exchange must have come to: always, and exactly where nobody harmed anything."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.simulation.exchange import BREAKS, Conduct, Deed, Exchange, Framing
from tests.simulation.watch import Watch
from tests.simulation.wire import Wire

Found = Callable[[str], None]

_REPEATABLE: Final = frozenset(("GET", "PUT", "DELETE"))
_TIMES_MAX: Final = 4
"""How often a request that may be repeated comes to services at most."""
_NO_ANSWER: Final = {Deed.RESET_FIRST: 502, Deed.MALFORMED: 502, Deed.HANG_UP: 502, Deed.SILENT: 504}
_PASSES: Final = frozenset((Deed.ANSWER, Deed.SLOWLY, Deed.INTERIM, Deed.UPGRADE))
"""What a local service does that ends well, whoever is in between."""
_LEAVES: Final = frozenset((Conduct.LEAVES_SENDING, Conduct.LEAVES_READING, Conduct.RESETS))
_STAYS: Final = frozenset((Conduct.PLAIN, Conduct.SLOW, Conduct.HALF_CLOSES))


def judge(exchange: Exchange, found: Found, *, is_calm: bool, visitors_are_safe: bool) -> None:
    """Say what is wrong with one exchange that is over."""
    if exchange.method not in _REPEATABLE and len(exchange.agents) > 1:
        found(f"a request that must not be repeated was: {exchange.story()}")
    if len(exchange.agents) > _TIMES_MAX:
        found(f"repeated without end: {exchange.story()}")
    if exchange.is_whole and exchange.status in {101, 200}:
        _judge_whole(exchange, found)
    _judge_policy(exchange, found)
    if not exchange.is_harmed and visitors_are_safe:
        _judge_unharmed(exchange, found, is_calm=is_calm)


def _judge_policy(exchange: Exchange, found: Found) -> None:
    if exchange.status in {402, 403, 429} and exchange.agents:
        found(f"turned away, and a service has it: {exchange.story()}")
    if exchange.is_denied and exchange.status not in {0, 403, 408, 503}:
        found(f"403 was due: {exchange.story()}")


def _judge_unharmed(exchange: Exchange, found: Found, *, is_calm: bool) -> None:
    if exchange.is_raw:
        if is_calm and exchange.conduct in _STAYS and exchange.deed in _PASSES and not exchange.is_whole:
            found(f"all bytes of both sides were due: {exchange.story()}")
        return
    if exchange.status >= 101 and exchange.status != 408 and not exchange.outcomes:
        found(f"an answer without an outcome: {exchange.story()}")
    if exchange.conduct in _STAYS:
        if exchange.outcomes == ["ok"] and not exchange.is_whole:
            found(f"reported as ok, and the visitor did not get it: {exchange.story()}")
        if not exchange.end:
            found(f"no end: {exchange.story()}")
        if is_calm:
            _judge_calm(exchange, found)


def judge_drain(exchange: Exchange, found: Found, stopped_at: float, grace_seconds: float) -> None:
    """The server was told to stop, and nobody else did harm: what ran before may finish within the grace period."""
    if exchange.is_raw or exchange.is_denied or exchange.conduct in _LEAVES:
        return
    if not 0.0 < exchange.seen_at < stopped_at:
        return
    if exchange.ended_at < stopped_at + grace_seconds:
        _judge_calm(exchange, found)


def judge_connections(watch: Watch, wires: Mapping[str, Sequence[Wire]], *, is_calm: bool) -> None:
    """Everything has ended: each raw connection has had one outcome, in which every byte of it is counted."""
    for host, tally in watch.raw.items():
        came = [wire for wire in wires.get(host, ()) if not wire.was_turned_away]
        received, sent = sum(wire.received for wire in came), sum(wire.sent_at_most for wire in came)
        if tally.done != tally.begun:
            watch.found(f"{tally.done} outcomes of {tally.begun} raw connections from {host}")
        if is_calm and tally.begun != len(came):
            watch.found(f"{host} connected {len(came)} times, and the server had {tally.begun} raw connections of it")
        if received > tally.bytes_down or tally.bytes_up > sent:
            counted = f"{tally.bytes_down} down and {tally.bytes_up} up"
            watch.found(f"{host} received {received} bytes and sent at most {sent}; counted are {counted}")


def _judge_whole(exchange: Exchange, found: Found) -> None:
    planned = exchange.down
    if exchange.deed in BREAKS:
        planned = exchange.down // 2
        if exchange.deed is not Deed.SHORT or exchange.down_framing is not Framing.CLOSE:
            found(f"a broken answer looks whole: {exchange.story()}")
    if exchange.got_down != planned:
        found(f"a whole answer of another length: {exchange.story()}")
    if exchange.deed in _NO_ANSWER:
        found(f"an answer that nobody gave: {exchange.story()}")


def _judge_calm(exchange: Exchange, found: Found) -> None:
    """Nobody harmed anything: what the local service did decides."""
    wanted = _NO_ANSWER.get(exchange.deed)
    if wanted is not None:
        if exchange.status != wanted and not (exchange.conduct is Conduct.HALF_CLOSES and exchange.deed is Deed.SILENT):
            found(f"{wanted} was due: {exchange.story()}")
    elif exchange.deed in BREAKS:
        if exchange.outcomes == ["ok"] and not exchange.is_whole:
            found(f"a broken answer was reported as ok: {exchange.story()}")
    elif exchange.deed is Deed.EARLY and exchange.up > 60_000:
        return
    elif not exchange.is_whole or exchange.status not in {101, 200}:
        found(f"a whole answer was due: {exchange.story()}")
    elif exchange.outcomes != ["ok"]:
        found(f"ok was due: {exchange.story()}")
