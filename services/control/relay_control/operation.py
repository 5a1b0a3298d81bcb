"""Operations of control: the table that routes, access and the OpenAPI document are made from."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web

from relay_auth.api_keys import Scope
from relay_wire.problems import ProblemType

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Parameter(NamedTuple):
    """A query or header parameter of an operation."""

    name: str
    where: str
    """``query`` or ``header``."""
    description: str
    schema: dict[str, Any]


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    """The scope that the API key must have; None: the handler checks access itself."""
    summary: str
    status: int
    answer: type | None = None
    """The struct of a successful response; None: no JSON."""
    body: type | None = None
    """The struct of a JSON body."""
    media: tuple[str, ...] = ()
    """The media types of a body that is not JSON."""
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[ProblemType, ...] = ()
    """The problems of this operation, besides those of every operation."""
    description: str = ""
    guarded: bool = True
    """Whether the request must have a credential."""
    texts: tuple[str, ...] = ()
    """Media types of a successful response besides JSON, by the request's ``Accept``."""
