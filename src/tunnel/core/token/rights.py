"""What a token allows: name patterns, and the one question that every door asks."""

import re
from typing import Final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import ascii_bytes, whole_match
from tunnel.core.token.errors import (
    BadPattern,
    Expired,
    KindNotPermitted,
    NameNotPermitted,
    NotPermitted,
    NotYetValid,
    TimeError,
)
from tunnel.core.token.token import EndpointKind, NamePattern, Token

PATTERN_CHARS_MAX: Final = 63
"""As a label: a longer pattern could match nothing."""

_LDH: Final = rb"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PATTERN: Final = re.compile(rb"\*|" + _LDH + rb"|\*-" + _LDH + rb"|" + _LDH + rb"-\*")
_PERMITTED: Final = Success(None)


def pattern_of(text: str) -> Outcome[NamePattern, BadPattern]:
    """The pattern that `text` writes, in lower case; only ASCII letters have a case here (TOKEN-NAME-001)."""
    held = ascii_bytes(text)
    if held is None or len(held) > PATTERN_CHARS_MAX or whole_match(_PATTERN, held.lower()) is None:
        return Failure(BadPattern(text[: PATTERN_CHARS_MAX + 1]))
    return Success(NamePattern(text.lower()))


def matches(pattern: NamePattern, label: Label) -> bool:
    """Whether the pattern allows the label; its `*` stands for one or more characters."""
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        suffix = pattern[1:]
        return len(label) > len(suffix) and label.endswith(suffix)
    if pattern.endswith("*"):
        prefix = pattern[:-1]
        return len(label) > len(prefix) and label.startswith(prefix)
    return label == str(pattern)


def covers(outer: NamePattern, inner: NamePattern) -> bool:
    """Whether the outer pattern allows every label that the inner one allows (TOKEN-NAME-003)."""
    if outer in ("*", inner):
        return True
    if inner == "*":
        return False
    if inner.startswith("*"):
        return outer.startswith("*") and inner.endswith(outer[1:])
    if inner.endswith("*"):
        return outer.endswith("*") and inner.startswith(outer[:-1])
    return matches(outer, Label(inner))


def time_error(token: Token, now: UnixSeconds) -> TimeError | None:
    """Why the token is not valid at `now`, or None when it is."""
    if now < token.not_before:
        return NotYetValid(token.not_before, now)
    if now >= token.expiry:
        return Expired(token.expiry, now)
    return None


def permits(token: Token, kind: EndpointKind, name: Label, now: UnixSeconds) -> Outcome[None, NotPermitted | TimeError]:
    """Success when the token allows this kind of endpoint under this name at this moment.

    Asked at every grant and at every stream, never remembered (TOKEN-RIGHT-003, known bug B2).
    """
    late = time_error(token, now)
    if late is not None:
        return Failure(late)
    if kind not in token.kinds:
        return Failure(KindNotPermitted(kind))
    if not matches(token.pattern, name):
        return Failure(NameNotPermitted(name, token.pattern))
    return _PERMITTED
