"""What every handler of the API is given, and the shapes that they share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeAlias, TypeVar, final

from fastapi import Depends, Query, Request
from fastapi import Path as FromPath
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tunnel.api.actor import Actor, actor_of, request_id_of
from tunnel.api.plane import Plane
from tunnel.api.problems import NO_SUCH_PAGE, NOT_VALID, ProblemAnswer, problem_of_store
from tunnel.api.repeats import Repeat, repeat_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.base.problem import Problem
from tunnel.core.control.page import PAGE_ROWS, PAGE_ROWS_MAX, Page, PageOf
from tunnel.core.token.token import AccountId
from tunnel.store.errors import StoreError, Unstorable
from tunnel.store.port import Store

SECONDS_MAX: Final = 10 * 365 * 86_400
"""Ten years: no bound of ours is longer."""
COUNT_MAX: Final = 1 << 53
"""What a number in JSON can be in every language."""
PLAIN: Final = r"^[^\x00-\x1f\x7f]*$"
"""No control characters, so that it can stand in a log line and a table."""
_AFTER_CHARS_MAX: Final = 500

T = TypeVar("T")
Out = TypeVar("Out")
Next: TypeAlias = Annotated[str | None, Field(description="Where the next page begins; null when this is the last.")]


class Shape(BaseModel):
    """A JSON object with the fields that its class names and no other; numbers are not texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listing(Shape, Generic[Out]):
    """Items of one page of a list."""

    items: list[Out]
    next: Next


@final
@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in: who asks, when, and what it can be answered from."""

    plane: Plane
    actor: Actor
    request_id: str
    now: UnixSeconds
    repeat: Repeat | None
    """The claim of the request's idempotency key, when it has one."""

    @property
    def store(self) -> Store:
        """The database."""
        return self.plane.store

    def keeping(self, shown: Callable[[T], Shape], status: int = 200) -> Store:
        """The database, for the one write of this request, with which its answer is kept: `shown` and `status` make it.

        Without an idempotency key it is the database and nothing else.
        """
        return self.store if self.repeat is None else self.repeat.keeping(self.store, shown, status)

    def refused(self, error: StoreError) -> ProblemAnswer:
        """What the store would not or could not do."""
        problem, detail = problem_of_store(error)
        return ProblemAnswer(problem, detail, self.request_id)

    def answered(self, found: Outcome[T, StoreError], shown: Callable[[T], Out]) -> Out | ProblemAnswer:
        """What the store found or did, as it is shown; or why not."""
        return shown(value_of(found)) if isinstance(found, Success) else self.refused(error_of(found))

    def listed(
        self, found: Outcome[PageOf[T], StoreError], shown: Callable[[T], Out], shape: type[Listing[Out]]
    ) -> Listing[Out] | ProblemAnswer:
        """One page of a list, or why there is none; all that a list cannot keep of a request is its `after`."""
        if not isinstance(found, Success):
            error = error_of(found)
            return self.problem(NO_SUCH_PAGE) if isinstance(error, Unstorable) else self.refused(error)
        page = value_of(found)
        return shape(items=[shown(each) for each in page.items], next=page.next)

    def problem(self, problem: Problem, detail: str = "") -> ProblemAnswer:
        """Any other problem."""
        return ProblemAnswer(problem, detail, self.request_id)

    def wrong(self, at: str, why: str) -> ProblemAnswer:
        """One place of the request is not as it should be."""
        return ProblemAnswer(NOT_VALID, "", self.request_id, ((at, why),))


def plane_of(request: Request) -> Plane:
    """The plane of the application that the request came to."""
    plane: Plane = request.app.state.plane
    return plane


def _call_of(request: Request) -> Call:
    plane = plane_of(request)
    return Call(plane, actor_of(request), request_id_of(request), plane.clock.unix(), repeat_of(request))


ThisCall: TypeAlias = Annotated[Call, Depends(_call_of)]


def _whole(seen: object) -> object:
    """1.0 is a whole number in JSON, as JSON Schema says; texts and truth values are none."""
    return int(seen) if isinstance(seen, float) and seen.is_integer() else seen


WHOLE: Final = BeforeValidator(_whole)
"""Stands last among the annotations of a number, so that the bounds before it are in the description."""
Seconds: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=SECONDS_MAX), WHOLE]
Moment: TypeAlias = Annotated[int, Field(description="Seconds since 1970-01-01T00:00:00Z.")]
Count: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=COUNT_MAX), WHOLE]
Text: TypeAlias = Annotated[str, Field(max_length=200, pattern=PLAIN)]
"""What a person wrote."""
AccountText: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="The ID of an account.")]
NameText: TypeAlias = Annotated[
    str, Field(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="One DNS label: the name of an endpoint.")
]
AccountInPath: TypeAlias = Annotated[
    str, FromPath(alias="account", pattern="^[0-9a-f]{32}$", description="The ID of an account.")
]
NameInPath: TypeAlias = Annotated[
    str, FromPath(alias="name", pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="One DNS label.")
]
After: TypeAlias = Annotated[
    str,
    Query(max_length=_AFTER_CHARS_MAX, description="`next` of the page before; leave it out for the first page."),
]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX, description="How many items at most.")]


@final
@dataclass(frozen=True, slots=True)
class OfAccount:
    """A page of a list of one account."""

    account: AccountId
    page: Page


def _of_account(account: AccountInPath, after: After = "", limit: Limit = PAGE_ROWS) -> OfAccount:
    return OfAccount(account_id(account), Page(after, limit))


def _page(after: After = "", limit: Limit = PAGE_ROWS) -> Page:
    return Page(after, limit)


AskedPage: TypeAlias = Annotated[OfAccount, Depends(_of_account)]
"""Which page of an account's list is asked for."""
ThisPage: TypeAlias = Annotated[Page, Depends(_page)]
"""Which page of a list is asked for that no one account has."""


def account_id(text: str) -> AccountId:
    """The ID that a checked text writes."""
    return AccountId(bytes.fromhex(text))
