"""Which of several certificates to present: exactly that name, else a wildcard one label above it, else the first."""

from collections.abc import Sequence
from typing import Final, final


@final
class Choice:
    """Names of certificates by their place in a list; where two have the same name the earlier one is presented."""

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        self._places: Final[dict[str, int]] = {}
        for place, held in enumerate(names):
            for name in held:
                self._places.setdefault(name.lower(), place)

    def place_of(self, host: str) -> int | None:
        """The certificate that is for `host` (canonical), or None; a wildcard is for one label (RFC 9525 6.3)."""
        exact = self._places.get(host)
        if exact is not None:
            return exact
        label, dot, parent = host.partition(".")
        return self._places.get(f"*.{parent}") if label and dot and label != "*" else None
