"""What every page works with: the plane, and the little that the dashboard keeps in memory while it runs."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.api.pages.oidc import OidcClient
from tunnel.api.plane import Plane
from tunnel.api.rates import Rates
from tunnel.core.base.ids import Instant

TRIES_MINUTE_MAX: Final = 20
"""Failed sign-ins of one address within a minute; no key can be guessed, this saves the store the work."""
_MINUTE: Final = 60.0
_ADDRESSES_MAX: Final = 1000


@final
class Tries:
    """Failed sign-ins by address; forgets all of a minute at once, so that it holds a bounded number."""

    def __init__(self) -> None:
        self._since = Instant(0.0)
        self._failed: dict[str, int] = {}

    def may_try(self, address: str, now: Instant) -> bool:
        """Whether this address may try again within this minute."""
        if now - self._since > _MINUTE:
            self._since = now
            self._failed.clear()
        return self._failed.get(address, 0) < TRIES_MINUTE_MAX

    def note_failed(self, address: str) -> None:
        """Count one; of addresses beyond the bound nobody is counted, and nobody is kept out."""
        if address in self._failed or len(self._failed) < _ADDRESSES_MAX:
            self._failed[address] = self._failed.get(address, 0) + 1


@final
@dataclass(frozen=True, slots=True)
class Desk:
    """One dashboard; finished with its control process. `url` is where browsers find it, "" where they ask for it."""

    plane: Plane
    url: str
    oidc: OidcClient | None
    tries: Tries
    rates: Rates
