"""The one shape that every fallible core function returns.

`Outcome[T, E]` is the closed union of the two final classes of `returns`. The open base class
`returns.result.Result` is never used as an annotation: a `match` on it is not exhaustive and an early
return of it loses its error type (docs/adr/0003). This file is one of the two places where a partial
operation may be called; `partial.py` is the other.
"""

from typing import TypeAlias, TypeVar

from returns.result import Failure, Success

__all__ = ["Failure", "Outcome", "Success", "error_of", "value_of"]

T = TypeVar("T")
E = TypeVar("E")

Outcome: TypeAlias = Success[T] | Failure[E]


def value_of(done: Success[T]) -> T:
    """The value inside; only a proven success is accepted by the type checker."""
    return done.unwrap()


def error_of(failed: Failure[E]) -> E:
    """The error inside; only a proven failure is accepted by the type checker."""
    return failed.failure()
