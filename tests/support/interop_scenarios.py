"""What is tried with each peer, in both roles; a scenario returns facts, and what they should be stands beside it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tests.support.interop_session import Ours, Talk
from tests.support.interop_wire import ACK, AWAY, PING, SYN, UPDATE, WINDOW, Frame

from tunnel.core.base.limits import Limits

Facts: TypeAlias = dict[str, str | int]
SILENCE_SECONDS: Final = 3.0
"""A peer that has said nothing for this long after our GOAWAY has forgotten the stream."""
BLOCK: Final = bytes(i % 251 for i in range(251 * 256))


@final
@dataclass(frozen=True)
class Scenario:
    """One conversation and what comes of it between two ends that keep to the specification."""

    run: Callable[[Ours], Awaitable[Facts]]
    expected: Facts
    limits: Limits | None = None
    is_dripping: bool = False
    size: int = 0


def pattern(count: int) -> bytes:
    """What a peer's `source` and `say` send."""
    return (BLOCK * (count // len(BLOCK) + 1))[:count]


def told(data: bytes) -> str:
    """What a peer's `sink` answers to these bytes."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


async def echo(ours: Ours) -> Facts:
    """Open, say, hear the same, end; the peer ends, too."""
    talk = ours.open("echo")
    talk.say(b"hello, peer\n")
    heard = await talk.line()
    acks = [
        "alone"
        if frame.kind == UPDATE and frame.length == 0
        else "with credit"
        if frame.kind == UPDATE
        else "with data"
        for frame in ours.wire.frames
        if not frame.ours and frame.stream == talk.stream and frame.flags & ACK
    ]
    talk.finish()
    return {"heard": heard, "ended": await talk.ended(), "ack": ", ".join(acks) or "never"}


def ack_of(frame: Frame) -> str:
    """What an ACK came along with."""
    if frame.kind == UPDATE:
        return "with credit" if frame.length else "alone"
    return "with data"


async def words(ours: Ours) -> Facts:
    """Open, say, hear the same."""
    talk = ours.open("echo")
    talk.say(b"hello, peer\n")
    return {"heard": await talk.line()}


async def pings(ours: Ours) -> Facts:
    """Ours is answered with its own value, theirs, by itself or because we ask for it, by us."""
    asking = ours.open("ping")
    await ours.until_seen(
        lambda: bool({ping.length for ping in ours.wire.of(PING, ours=False, flags=SYN)} & answers(ours))
    )
    asking.finish()
    return {**await ping_ours(ours), "theirs": "answered"}


def answers(ours: Ours) -> set[int]:
    """The values of our answers to pings."""
    return {frame.length for frame in ours.wire.of(PING, ours=True, flags=ACK)}


async def ping_ours(ours: Ours) -> Facts:
    """Ours is answered with its own value."""
    await ours.until_seen(lambda: bool(ours.wire.of(PING, ours=True, flags=SYN)))
    asked = ours.wire.of(PING, ours=True, flags=SYN)[0]
    await ours.until_seen(lambda: asked.length in pongs(ours))
    return {"ours": "answered"}


def pongs(ours: Ours) -> list[int]:
    """The values of the answers to our pings."""
    return [frame.length for frame in ours.wire.of(PING, ours=False, flags=ACK)]


async def end_ours_first(ours: Ours) -> Facts:
    """We end our side; what the peer says afterwards arrives whole."""
    talk = ours.open("sink")
    talk.say(pattern(300_000))
    talk.finish()
    answer = await talk.line()
    return {"answer": "whole" if answer == told(pattern(300_000)) else answer, "ended": await talk.ended()}


async def end_theirs_first(ours: Ours) -> Facts:
    """The peer ends its side; what we say afterwards arrives whole."""
    talk = ours.open("say a 300000")
    facts: Facts = {"ended": await talk.ended(), "heard": "whole" if same(talk, 300_000) else talk.count}
    talk.say(pattern(400_000))
    talk.finish()
    answer = await ours.ask("told a")
    facts["said after"] = "whole" if answer == told(pattern(400_000)) else answer
    return facts


def same(talk: Talk, count: int) -> bool:
    """Whether exactly the pattern came."""
    return talk.count == count and talk.sum.digest() == hashlib.sha256(pattern(count)).digest()


async def reset_ours(ours: Ours) -> Facts:
    """We reset; the peer's reader is told so, and the session goes on."""
    talk = ours.open("wait b")
    talk.say(b"x" * 1000)
    await ours.until_seen(lambda: ours.wire.data_bytes(talk.stream, ours=True) >= 1000)
    talk.reset()
    return {"told": await ours.ask("told b")}


async def reset_theirs(ours: Ours) -> Facts:
    """The peer resets; we hear a reset and no end, and the session goes on."""
    talk = ours.open("reset")
    ended = await talk.ended()
    answer = talk.kept.decode().strip()
    return {"ended": answer or ended, "after it": await again(ours)}


async def again(ours: Ours) -> str:
    """Whether another stream still works."""
    talk = ours.open("echo")
    talk.say(b"again\n")
    heard = await talk.line()
    talk.finish()
    await talk.ended()
    return heard or talk.end


async def away_ours(ours: Ours) -> Facts:
    """We send GOAWAY; a stream that runs may finish."""
    talk = ours.open("echo")
    talk.say(b"before\n")
    await talk.line()
    ours.link.go_away()
    await ours.until_seen(lambda: bool(ours.wire.of(AWAY, ours=True)) or ours.is_gone)
    talk.say(b"after\n")
    with suppress(TimeoutError):
        async with asyncio.timeout(SILENCE_SECONDS):
            await ours.until(lambda: b"after\n" in talk.kept or bool(talk.end))
    if b"after\n" not in talk.kept:
        return {"a stream that runs": "is cut" if talk.end else "is forgotten without a word", "ended": talk.end}
    talk.finish()
    return {"a stream that runs": "drains", "ended": await talk.ended()}


async def away_theirs(ours: Ours) -> Facts:
    """The peer sends GOAWAY; we open nothing more, and a stream that runs may finish."""
    talk = ours.open("away")
    await ours.until(lambda: ours.is_peer_leaving or ours.is_gone)
    facts: Facts = {
        "told": "yes" if ours.is_peer_leaving else "no",
        "we open": "no" if ours.link.is_draining else "yes",
    }
    talk.say(b"still here\n")
    await ours.until(lambda: b"still here\n" in talk.kept or bool(talk.end))
    facts["a stream that runs"] = "drains" if b"still here\n" in talk.kept else "is cut"
    talk.finish()
    await talk.ended()
    return facts


async def window_theirs(ours: Ours) -> Facts:
    """A peer that does not read gets one window of bytes and no more; when it reads it gets the rest."""
    talk = ours.open("hold c")
    await again(ours)  # by now the peer has read the command, and reads no more
    talk.say(pattern(ours.size))

    def beyond_credit() -> int:
        granted = sum(frame.length for frame in ours.wire.of(UPDATE, ours=False, stream=talk.stream))
        return ours.wire.data_bytes(talk.stream, ours=True) - granted

    await ours.until_seen(lambda: beyond_credit() >= WINDOW)
    for _ in range(3):
        await again(ours)  # the peer has seen all of it by now, and had time to say what it wants
    held = beyond_credit()
    sent = ours.wire.data_bytes(talk.stream, ours=True)
    talk.finish()
    await ours.ask("go c")
    answer = await talk.line()
    return {
        "sent beyond the credit given": held,
        "all was sent unread": "yes" if sent == ours.size else "no",
        "read in the end": "whole" if answer == told(pattern(ours.size)) else answer,
    }


async def window_ours(ours: Ours) -> Facts:
    """While we do not read, the peer sends one window and no more; when we read, the rest comes."""
    talk = ours.open("source 400000", is_held=True)
    await ours.until(lambda: talk.count >= WINDOW or bool(talk.end))
    for _ in range(3):
        await again(ours)
    facts: Facts = {"heard without reading": talk.count}
    talk.release()
    await talk.ended()
    facts["heard in the end"] = "whole" if same(talk, 400_000) else talk.count
    return facts


async def bulk_up(ours: Ours) -> Facts:
    """Many bytes to the peer."""
    talk = ours.open("sink")
    whole = hashlib.sha256()
    left = ours.size
    while left:
        part = BLOCK[: min(left, len(BLOCK))]
        whole.update(part)
        left -= len(part)
        if talk.say(part) > 1 << 20:
            await ours.until_seen(lambda: talk.say(b"") < 1 << 19 or bool(talk.end))
    talk.finish()
    answer = await talk.line()
    return {"bytes": "whole" if answer == f"{ours.size} {whole.hexdigest()}" else answer}


async def bulk_down(ours: Ours) -> Facts:
    """Many bytes from the peer."""
    talk = ours.open(f"source {ours.size}")
    await talk.ended()
    whole = hashlib.sha256()
    left = ours.size
    while left:
        part = BLOCK[: min(left, len(BLOCK))]
        whole.update(part)
        left -= len(part)
    talk.finish()
    is_whole = talk.count == ours.size and talk.sum.digest() == whole.digest()
    return {"bytes": "whole" if is_whole else talk.count}


async def many(ours: Ours) -> Facts:
    """Streams of ours that are all open at once, each with its own words."""
    talks: list[Talk] = []
    for first in range(0, ours.size, 50):
        some = [ours.open("echo") for _ in range(first, min(first + 50, ours.size))]
        for number, talk in enumerate(some, start=first):
            talk.say(b"stream %d\n" % number)
        for talk in some:
            await talk.line()
        talks += some
    good = sum(talk.kept == b"stream %d\n" % number for number, talk in enumerate(talks))
    for talk in talks:
        talk.finish()
    for talk in talks:
        await talk.ended()
    return {"at once": good, "ended": sum(talk.end == "end" for talk in talks)}


async def many_theirs(ours: Ours) -> Facts:
    """Streams that the peer opens at once, each echoed by us."""
    answer = await ours.ask(f"open {ours.size}")
    return {"echoed": int(answer), "acked": len({frame.stream for frame in ours.wire.of(UPDATE, ours=True, flags=ACK)})}


SCENARIOS: Final[dict[str, Scenario]] = {
    "words": Scenario(words, {"heard": "hello, peer"}),
    "echo": Scenario(echo, {"heard": "hello, peer", "ended": "end", "ack": "alone"}),
    "ping ours": Scenario(
        ping_ours, {"ours": "answered"}, limits=Limits(heartbeat_seconds=0.2, heartbeat_deadline_seconds=20.0)
    ),
    "ping both": Scenario(
        pings,
        {"ours": "answered", "theirs": "answered"},
        limits=Limits(heartbeat_seconds=0.2, heartbeat_deadline_seconds=20.0),
    ),
    "end ours first": Scenario(end_ours_first, {"answer": "whole", "ended": "end"}),
    "end theirs first": Scenario(end_theirs_first, {"ended": "end", "heard": "whole", "said after": "whole"}),
    "reset ours": Scenario(reset_ours, {"told": "reset"}),
    "reset theirs": Scenario(reset_theirs, {"ended": "reset", "after it": "again"}),
    "goaway ours": Scenario(away_ours, {"a stream that runs": "drains", "ended": "end"}),
    "goaway theirs": Scenario(away_theirs, {"told": "yes", "we open": "no", "a stream that runs": "drains"}),
    "window theirs": Scenario(
        window_theirs,
        {"sent beyond the credit given": WINDOW, "all was sent unread": "no", "read in the end": "whole"},
        size=2_000_000,
    ),
    "window ours": Scenario(window_ours, {"heard without reading": WINDOW, "heard in the end": "whole"}),
    "bulk up": Scenario(bulk_up, {"bytes": "whole"}, size=10_000_000),
    "bulk down": Scenario(bulk_down, {"bytes": "whole"}, size=10_000_000),
    "1000 streams": Scenario(many, {"at once": 1000, "ended": 1000}, size=1000),
    "200 of theirs": Scenario(many_theirs, {"echoed": 200, "acked": 200}, size=200),
    "byte at a time": Scenario(echo, {"heard": "hello, peer", "ended": "end", "ack": "alone"}, is_dripping=True),
}
