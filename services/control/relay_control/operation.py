"""Operations: what control offers; routes, access and the OpenAPI document are made from them."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web

from relay_auth.api_keys import Scope
from relay_wire.problems import ProblemType

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Parameter(NamedTuple):
    """Something an operation reads beside its path and body."""

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
    """What a key must allow; None: any, or the handler asks by itself."""
    summary: str
    status: int
    answer: type | None = None
    """What its success has as JSON; None: nothing."""
    body: type | None = None
    """What it reads as JSON."""
    media: tuple[str, ...] = ()
    """What it reads instead of JSON."""
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[ProblemType, ...] = ()
    """How it can fail, beside what every operation can."""
    description: str = ""
    guarded: bool = True
    """Whether it asks who is there."""
