"""What can be wrong with what a person asked for, in arguments, environment, config file and files named there."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

TomlPath: TypeAlias = tuple[str, ...]
"""The keys that lead to a value, outermost first; () is the whole file."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
SEEN_CHARS_MAX: Final = 80


@final
@dataclass(frozen=True, slots=True)
class NotToml:
    """The file does not parse; `detail` holds the place as the TOML library tells it."""

    detail: str


@final
@dataclass(frozen=True, slots=True)
class WrongVersion:
    """`version` is missing (`seen` is None) or is not one that this program reads."""

    seen: str | None


@final
@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key the schema does not have, and the nearest that it has there."""

    path: TomlPath
    nearest: str | None


@final
@dataclass(frozen=True, slots=True)
class WrongType:
    """A value of another type than its key takes."""

    path: TomlPath
    seen: str
    wanted: str


@final
@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A number below `low` or above `high` (both still allowed); `seen` in digits."""

    path: TomlPath
    seen: str
    low: float
    high: float


@final
@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two numbers that cannot both hold: `smaller` must not exceed `larger`."""

    smaller: TomlPath
    larger: TomlPath
    seen_smaller: float
    seen_larger: float


@final
@dataclass(frozen=True, slots=True)
class BadValue:
    """A text that is not what its key takes."""

    path: TomlPath
    seen: str
    wanted: str


ConfigProblem: TypeAlias = NotToml | WrongVersion | UnknownKey | WrongType | OutOfRange | Contradiction | BadValue


@final
@dataclass(frozen=True, slots=True)
class InConfig:
    """A problem of a config file, with the file."""

    file: Path
    problem: ConfigProblem


@final
@dataclass(frozen=True, slots=True)
class BadArgument:
    """A text given by `source` (a flag or a variable) that is not what it takes."""

    source: str
    seen: str
    wanted: str


@final
@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing says what `what` is; `ways` are the places that could, two at least."""

    what: str
    ways: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class OnlyTogether:
    """One of two that need each other."""

    given: str
    other: str


@final
@dataclass(frozen=True, slots=True)
class TooMany:
    """Two sources of which only one may be used."""

    one: str
    other: str


@final
@dataclass(frozen=True, slots=True)
class CannotRead:
    """A named file that the system does not give us, or that is not what it should be."""

    source: str
    detail: str


Problem: TypeAlias = InConfig | BadArgument | Missing | OnlyTogether | TooMany | CannotRead
Problems: TypeAlias = tuple[Problem, ...]


def describe(problem: Problem) -> str:
    """One line: where, what was seen, what was expected."""
    match problem:
        case InConfig(file=file, problem=inner):
            return f"{file}: {describe_config(inner)}"
        case BadArgument(source=source, seen=seen, wanted=wanted):
            return f"{source}: {shown(seen)} is not {wanted}"
        case Missing(what=what, ways=ways):
            return f"no {what}: give {', '.join(ways[:-1])} or {ways[-1]}"
        case OnlyTogether(given=given, other=other):
            return f"{given} needs {other}: the two come together"
        case TooMany(one=one, other=other):
            return f"both {one} and {other} are set; keep one, so that it is clear which counts"
        case CannotRead(source=source, detail=detail):
            return f"{source}: {detail}"


def describe_config(problem: ConfigProblem) -> str:
    """One line without the file: the key, what was seen, what was expected."""
    match problem:
        case NotToml(detail=detail):
            return f"not a TOML file: {detail}"
        case WrongVersion(seen=None):
            return "version: missing; write `version = 1` on the first line"
        case WrongVersion(seen=seen):
            return f"version: {seen} is not a version this program reads; it reads 1"
        case UnknownKey(path=path, nearest=nearest):
            hint = "" if nearest is None else f"; did you mean {nearest}?"
            return f"{dotted(path)}: unknown key{hint}"
        case WrongType(path=path, seen=seen, wanted=wanted):
            return f"{dotted(path)}: {seen}, where {wanted} belongs"
        case OutOfRange(path=path, seen=seen, low=low, high=high):
            return f"{dotted(path)}: {seen} is outside {low:.15g} to {high:.15g}"
        case Contradiction():
            return (
                f"{dotted(problem.smaller)}: {problem.seen_smaller:.15g} is more than {dotted(problem.larger)}, "
                f"which is {problem.seen_larger:.15g}"
            )
        case BadValue(path=path, seen=seen, wanted=wanted):
            return f"{dotted(path)}: {shown(seen)} is not {wanted}"


def describe_all(problems: Iterable[Problem]) -> str:
    """All of them, one a line."""
    return "\n".join(describe(problem) for problem in problems)


def dotted(path: TomlPath) -> str:
    """The path as TOML writes it, quoted where a key is not a bare one."""
    return ".".join(key if _BARE_KEY.fullmatch(key) else json.dumps(key) for key in path)


def shown(text: str) -> str:
    """The text in quotes on one line, cut when it is long, with everything unprintable escaped."""
    return ascii(text) if len(text) <= SEEN_CHARS_MAX else ascii(text[:SEEN_CHARS_MAX]) + "..."
