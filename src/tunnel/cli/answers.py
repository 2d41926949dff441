"""What a command about the store answers: lines for people, one object for programs; or why not, with an exit code."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar, final

from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import Problem
from tunnel.cli.problems import describe as describe_problem
from tunnel.cli.tables import table
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.page import PAGE_ROWS_MAX, Page, PageOf
from tunnel.core.token.moments import moment_text
from tunnel.store.errors import StoreError, StoreUnavailable, Told
from tunnel.store.errors import describe as describe_store

T = TypeVar("T")
Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | bool | None"

NEVER: Final = "-"


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """Done. `lines` go to standard output, and `aside` to standard error; with `--output json` `data` instead."""

    lines: tuple[str, ...]
    data: Json
    aside: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Refusal:
    """Not done: a sentence, and how the command exits."""

    sentence: str
    code: ExitCode


def refused(sentence: str) -> Failure[Refusal]:
    """Something about the command is not right."""
    return Failure(Refusal(sentence, ExitCode.USAGE))


def refused_for(problem: Problem) -> Failure[Refusal]:
    """Likewise, as the rest of the command line says it."""
    return refused(describe_problem(problem))


def refused_by(error: StoreError) -> Failure[Refusal]:
    """The store did not do it; one that is away is the network's fault."""
    code = ExitCode.NETWORK if isinstance(error, StoreUnavailable) else ExitCode.USAGE
    return Failure(Refusal(describe_store(error), code))


async def all_of(ask: Callable[[Page], Awaitable[Told[PageOf[T]]]]) -> Outcome[list[T], StoreError]:
    """Every row, page after page."""
    rows: list[T] = []
    after: str | None = ""
    while after is not None:
        read = await ask(Page(after, PAGE_ROWS_MAX))
        if not isinstance(read, Success):
            return Failure(error_of(read))
        rows.extend(value_of(read).items)
        after = value_of(read).next
    return Success(rows)


def listed(
    what: str,
    head: Sequence[str],
    read: Outcome[list[T], StoreError],
    row: Callable[[T], Sequence[str]],
    data: Callable[[T], Json],
) -> Outcome[Answer, Refusal]:
    """A table of what there is, and the same as JSON under `what`."""
    if not isinstance(read, Success):
        return refused_by(error_of(read))
    rows = value_of(read)
    lines = table(head, [row(each) for each in rows]) or [f"no {what}"]
    return Success(Answer(tuple(lines), {what: [data(each) for each in rows]}))


def told(done: Told[T], data: Callable[[T], Json], sentence: str) -> Outcome[Answer, Refusal]:
    """What was changed, in one line."""
    if not isinstance(done, Success):
        return refused_by(error_of(done))
    return Success(Answer((sentence,), data(value_of(done))))


def json_text(data: Json) -> str:
    """One object, for people's eyes, too."""
    return json.dumps(data, indent=2, ensure_ascii=False)


def day_text(moment: UnixSeconds | None) -> str:
    """A moment in a table, to the minute, in UTC."""
    return NEVER if moment is None else moment_text(moment)[:16]
