"""Reads single values out of a parsed TOML file: each is of its type and in its range, or a problem is noted."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, final

from tunnel.cli.places import BadText
from tunnel.cli.policies import blocks_among
from tunnel.cli.problems import BadValue, ConfigProblem, OutOfRange, TomlPath, UnknownKey, WrongType
from tunnel.cli.ranges import range_of
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.policy.ip import Block

T = TypeVar("T")
Table: TypeAlias = Mapping[str, object]

NUMBERS: Final = ("rate", "burst", "concurrent", "bandwidth")
"""Ends of keys whose texts may be numbers."""
_NEAR: Final = 0.6
_WRITTEN_MAX: Final = 10**15


@final
class Values:
    """The values of one file in `directory`; what is wrong with any of them is in `problems`."""

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory
        self.problems: Final[list[ConfigProblem]] = []

    def check_keys(self, table: Table, path: TomlPath, known: Iterable[str]) -> None:
        """Note every key that is not known, with the one that was probably meant."""
        allowed = list(known)
        for key in table:
            if key not in allowed:
                near = get_close_matches(key[:64], allowed, n=1, cutoff=_NEAR)
                self.problems.append(UnknownKey((*path, key), near[0] if near else None))

    def table(self, top: Table, name: str) -> Table:
        """The table of that name; an empty one where there is none."""
        found = top.get(name, {})
        if isinstance(found, dict):
            return found
        self.problems.append(WrongType((name,), kind_of(found), f"a table: [{name}]"))
        return {}

    def blocks(self, table: Table, path: TomlPath) -> tuple[Block, ...] | None:
        """The blocks of an array of texts."""
        seen = table.get(path[-1])
        if seen is None:
            return None
        if not isinstance(seen, list) or not all(isinstance(each, str) for each in seen):
            self.problems.append(WrongType(path, kind_of(seen), "an array of texts"))
            return None
        blocks, wrong = blocks_among(tuple(seen))
        self.problems.extend(BadValue(path, text, bad.wanted) for text, bad in wrong)
        return blocks

    def number(self, table: Table, name: str) -> float | None:
        """The number of a limit, of the type of its default; a whole number will do where any number does."""
        path, seen = ("limits", name), table.get(name)
        whole = isinstance(limit_of(DEFAULT_LIMITS, name), int)
        if isinstance(seen, bool) or not isinstance(seen, int if whole else (int, float)):
            self.problems.append(WrongType(path, kind_of(seen), "a whole number" if whole else "a number"))
            return None
        allowed = range_of(name)
        if not allowed.low <= seen <= allowed.high:  # false for nan, too
            self.problems.append(OutOfRange(path, number_text(seen), allowed.low, allowed.high))
            return None
        return seen if whole else float(seen)

    def checked(self, table: Table, path: TomlPath, parse: Callable[[str], Outcome[T, BadText]]) -> T | None:
        """A text of a form of its own; None where it is not there."""
        text = self._number_or_text(table, path) if path[-1].endswith(NUMBERS) else self.text(table, path)
        if text is None:
            return None
        parsed = parse(text)
        if isinstance(parsed, Success):
            return value_of(parsed)
        self.problems.append(BadValue(path, text, error_of(parsed).wanted))
        return None

    def whole(self, table: Table, path: TomlPath, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`; None where it is not there."""
        seen = table.get(path[-1])
        if seen is None:
            return None
        if not isinstance(seen, int) or isinstance(seen, bool):
            self.problems.append(WrongType(path, kind_of(seen), "a whole number"))
            return None
        if not low <= seen <= high:
            self.problems.append(OutOfRange(path, number_text(seen), low, high))
            return None
        return seen

    def flag(self, table: Table, path: TomlPath) -> bool:
        """True or false; false where it is not there."""
        seen = table.get(path[-1], False)
        if not isinstance(seen, bool):
            self.problems.append(WrongType(path, kind_of(seen), "true or false"))
            return False
        return seen

    def path(self, table: Table, path: TomlPath) -> Path | None:
        """A path; a relative one is one in the directory of the file."""
        text = self.text(table, path)
        if text is None:
            return None
        if text == "" or "\0" in text:
            self.problems.append(BadValue(path, text, "a path"))
            return None
        return self._directory / text

    def text(self, table: Table, path: TomlPath) -> str | None:
        """Any text; None where it is not there."""
        seen = table.get(path[-1])
        if seen is None or isinstance(seen, str):
            return seen
        self.problems.append(WrongType(path, kind_of(seen), "a text in quotes"))
        return None

    def _number_or_text(self, table: Table, path: TomlPath) -> str | None:
        """A quantity as it would be typed: 50 without quotes is as good as "50/s"."""
        seen = table.get(path[-1])
        return number_text(seen) if type(seen) is int or type(seen) is float else self.text(table, path)


def limit_of(limits: Limits, name: str) -> float:
    """The limit of that name, one of `LIMIT_NAMES`."""
    value: float = getattr(limits, name)
    return value


def number_text(number: float) -> str:
    """The number in digits, unless nobody could read them and Python would refuse to write them."""
    return "a huge number" if isinstance(number, int) and abs(number) > _WRITTEN_MAX else f"{number:.15g}"


def kind_of(seen: object) -> str:
    """What TOML calls such a value."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (list, "an array"),
        (dict, "a table"),
    )
    return next((name for kind, name in kinds if isinstance(seen, kind)), "a date or time")
