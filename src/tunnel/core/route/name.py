"""Names: one DNS label under the zone of this server. Every name in the product passes one of these doors."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import ascii_bytes, base32_text, uint_bytes, whole_match

LABEL_CHARS_MAX: Final = 63
"""RFC 1035 section 2.3.4."""

_LETTERS_DIGITS_HYPHENS: Final = re.compile(rb"[a-z0-9-]+")
_PADDING_BYTES: Final = 5


@final
class LabelFault(Enum):
    """What is wrong with a would-be label; the value says it in words."""

    EMPTY = "is empty"
    TOO_LONG = "has more than 63 characters"
    CHARACTER = "has a character other than a-z, 0-9 and hyphen"
    HYPHEN = "begins or ends with a hyphen"


@final
@dataclass(frozen=True, slots=True)
class NotALabel:
    """Text that no endpoint can be named; `seen` is cut to 64 characters."""

    seen: str
    fault: LabelFault


@final
@dataclass(frozen=True, slots=True)
class NotInZone:
    """A host that is not under the zone of this server at all."""

    host: str


@final
@dataclass(frozen=True, slots=True)
class NoSuchLabel:
    """A host in the zone that can be nobody's: the zone itself, two labels deep, or not a label."""

    host: str


def label_of(text: str) -> Outcome[Label, NotALabel]:
    """The label that `text` writes, in lower case.

    Only ASCII has a case here: `str.lower` makes a k of the Kelvin sign, and with it a second spelling of a name.
    `xn--` names are labels like any other and equal only to themselves (ROUTE-NAME-003).
    """
    fault = _fault(text)
    return Success(Label(text.lower())) if fault is None else Failure(NotALabel(text[: LABEL_CHARS_MAX + 1], fault))


def name_in_zone(host: str, zone: str) -> Outcome[Label, NotInZone | NoSuchLabel]:
    """The name that a canonical host (no port, no trailing dot) has in `zone` (lower case): exactly one label deep."""
    held = host.lower() if host.isascii() else ""
    if not held.endswith(zone):
        return Failure(NotInZone(host))
    ahead = held[: len(held) - len(zone)]
    if not ahead:
        return Failure(NoSuchLabel(host))
    if not ahead.endswith("."):
        return Failure(NotInZone(host))
    label = label_of(ahead[:-1])
    return label if isinstance(label, Success) else Failure(NoSuchLabel(host))


def random_label(entropy: bytes) -> Label:
    """A label of 8 to 63 characters of a-z and 2-7, eight for every five bytes; fewer than five count as zeros."""
    padded = entropy + uint_bytes(0, _PADDING_BYTES - len(entropy))
    return Label(base32_text(padded)[:LABEL_CHARS_MAX])


def describe(error: NotALabel | NotInZone | NoSuchLabel) -> str:
    """What was seen and what was expected."""
    if isinstance(error, NotALabel):
        return f"`{error.seen}` is no name: it {error.fault.value}."
    if isinstance(error, NotInZone):
        return f"`{error.host}` is not a host of this server."
    return f"`{error.host}` is in the zone of this server, but no name can be there: names are one label."


def _fault(text: str) -> LabelFault | None:
    held = ascii_bytes(text)
    if not text:
        return LabelFault.EMPTY
    if len(text) > LABEL_CHARS_MAX:
        return LabelFault.TOO_LONG
    if held is None or whole_match(_LETTERS_DIGITS_HYPHENS, held.lower()) is None:
        return LabelFault.CHARACTER
    if text.startswith("-") or text.endswith("-"):
        return LabelFault.HYPHEN
    return None
