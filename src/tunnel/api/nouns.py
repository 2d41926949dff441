"""The routes about one noun of the API: each says its scope, the shape of its answer and, by its own name, its ID."""

from collections.abc import Callable
from typing import Final, TypeVar, final

from fastapi import APIRouter
from fastapi.routing import APIRoute

from tunnel.api.calls import Shape
from tunnel.api.scoped import SCOPE, ScopedRoute
from tunnel.core.control.roles import Scope

H = TypeVar("H", bound=Callable[..., object])

IDEMPOTENCY: Final[dict[str, object]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeated request with the same key gets the answer of the first, and nothing is done twice.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
CREATED: Final = 201
_DONE: Final = 200


@final
class Noun(APIRouter):
    """The routes about one noun, all behind the admission of their application."""

    def __init__(self, name: str) -> None:
        super().__init__(route_class=ScopedRoute, tags=[name], generate_unique_id_function=_named)

    def reads(self, path: str, scope: Scope | str, shape: type[Shape]) -> Callable[[H], H]:
        """A handler that changes nothing."""
        return self.get(path, response_model=shape, openapi_extra=_described(scope))

    def writes(
        self, method: str, path: str, scope: Scope | str, shape: type[Shape], status: int = _DONE
    ) -> Callable[[H], H]:
        """A handler that changes something; a repetition with the same idempotency key does nothing twice."""
        described = {**_described(scope), "parameters": [IDEMPOTENCY]}
        return self.api_route(path, methods=[method], response_model=shape, status_code=status, openapi_extra=described)

    def asks(self, path: str, scope: Scope | str, shape: type[Shape]) -> Callable[[H], H]:
        """A handler that changes nothing, and is told more than an address should hold."""
        return self.post(path, response_model=shape, openapi_extra=_described(scope))


def _named(route: APIRoute) -> str:
    """What an operation is called, for whoever generates a client."""
    return route.name


def _described(scope: Scope | str) -> dict[str, object]:
    """What the description says of every route."""
    return {SCOPE: scope.value if isinstance(scope, Scope) else scope, "security": [{"key": []}]}
