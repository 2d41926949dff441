"""Limits that hold over all workers together: what is used here is told to the others, and theirs counts here, too.

A worker asks nobody before it lets a visitor in. What may come in too many, because it was not told yet, is what the
other workers let in within `TELL_SECONDS` (ADR 0079).
"""

from typing import Final, final

from tunnel.core.base.ids import Instant, Label
from tunnel.core.base.partial import uint_at, uint_bytes
from tunnel.core.cluster.tally import USES_MAX, Used, UseKind
from tunnel.core.policy.purse import Use
from tunnel.core.token.token import TokenId
from tunnel.server.hub import Hub

TELL_SECONDS: Final = 0.2
"""Between two words on what was used; nothing is said where nothing was."""
_TOKENS_EVERY: Final = 5
"""Streams of tokens are counted each fifth time: all sessions are looked at for it."""
_KEYS_MAX: Final = 1024
"""Told at a time; of more than that, the others follow."""
_ADDRESS_BYTES: Final = 9


@final
class SharedLimits:
    """One worker's part of them."""

    def __init__(self, hub: Hub) -> None:
        self._hub: Final = hub
        self._told: dict[TokenId, int] = {}
        self._turn = 0
        hub.door.share()

    def poll(self) -> list[tuple[Used, ...]]:
        """What to tell the other workers now, in messages."""
        addresses, endpoints = self._hub.door.poll_uses(_KEYS_MAX)
        uses = [_used(UseKind.ADDRESS, _address_bytes(use.key), use) for use in addresses]
        uses += [_used(UseKind.ENDPOINT, str(use.key).encode(), use) for use in endpoints]
        self._turn += 1
        if self._turn % _TOKENS_EVERY == 0:
            uses += self._streams()
        return [tuple(uses[at : at + USES_MAX]) for at in range(0, len(uses), USES_MAX)]

    def learn(self, worker: int, uses: tuple[Used, ...], now: Instant) -> None:
        """What another worker has told."""
        hub = self._hub
        for use in uses:
            match use.kind:
                case UseKind.ADDRESS:
                    key = uint_at(use.key, 0, _ADDRESS_BYTES) - 1
                    hub.door.learn_of_address(worker, Use(key, use.requests, use.count, use.running), now)
                case UseKind.ENDPOINT:
                    name = Label(use.key.decode("latin-1"))
                    members = hub.table.members(name)
                    policy = members[0].policy if members else None
                    told = Use(name, use.requests, use.count, use.running)
                    hub.door.learn_of_endpoint(worker, told, name, policy, now)
                case UseKind.TOKEN:
                    self._note_streams(TokenId(use.key), worker, use.running)

    def on_worker(self) -> None:
        """One more worker, which has not heard what runs here."""
        self._hub.door.tell_running()
        # None of these counts was told to all; those that are over meanwhile must still be told to be.
        self._told = dict.fromkeys(self._told, -1)

    def forget(self, worker: int) -> None:
        """A worker is gone, and with it what ran there."""
        self._hub.door.forget(worker)
        for token, counts in list(self._hub.streams_elsewhere.items()):
            counts.pop(worker, None)
            if not any(counts.values()):
                del self._hub.streams_elsewhere[token]

    def _note_streams(self, token: TokenId, worker: int, running: int) -> None:
        """Tokens come and go without end, as their holders make new ones: of the unused nothing is kept."""
        elsewhere = self._hub.streams_elsewhere
        counts = elsewhere.setdefault(token, {})
        if running:
            counts[worker] = running
        else:
            counts.pop(worker, None)
        if not counts:
            del elsewhere[token]

    def _streams(self) -> list[Used]:
        counts = self._hub.streams_here()
        gone = [token for token in self._told if token not in counts]
        news = [(token, count) for token, count in counts.items() if self._told.get(token, 0) != count]
        self._told = counts
        return [Used(UseKind.TOKEN, token, 0, 0, count) for token, count in [*news, *((each, 0) for each in gone)]]


def _used(kind: UseKind, key: bytes, use: Use) -> Used:
    return Used(kind, key, use.requests, use.count, use.running)


def _address_bytes(key: int | str) -> bytes:
    """The key of an address; -1, of those that have none, is nought here."""
    return uint_bytes(key + 1, _ADDRESS_BYTES) if isinstance(key, int) else b""
