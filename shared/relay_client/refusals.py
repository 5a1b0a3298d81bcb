"""Refusals: decides which errors of control are retried, and when."""

from collections.abc import Mapping

import aiohttp
import msgspec

from relay_client.errors import RequestRefused
from relay_wire import problems

_LONGEST_RETRY_AFTER_S = 60.0
"""A proxy may send any number."""
_UNAVAILABLE = (502, 503, 504)
_NOT_STARTED = (problems.RATE_LIMITED.name, problems.DRAINING.name, problems.OVERLOADED.name)
"""Refused before the request had any effect: another attempt of any request is safe."""


class Unavailable(Exception):
    """Raised when a request failed, and another attempt may succeed.

    Attributes:
        retry_after_s: The least wait before it.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = min(retry_after_s or 0.0, _LONGEST_RETRY_AFTER_S)


class _Problem(msgspec.Struct):
    type: str = ""
    title: str = ""
    detail: str = ""


def of_error(error: Exception) -> Unavailable:
    """Convert the error of a connection that broke, or could not be made."""
    return Unavailable(str(error) or type(error).__name__)


def of_handshake(error: aiohttp.WSServerHandshakeError) -> RequestRefused | Unavailable:
    """Convert the error of an audio socket that was not opened."""
    headers: Mapping[str, str] = error.headers or {}
    problem = headers.get(problems.PROBLEM_HEADER, "")
    known = problems.REGISTRY.get(problem)
    detail = known.title if known else error.message
    refused = RequestRefused(error.status, problem, detail, _retry_after_s(headers))
    return _classify(refused, repeatable=True)


def of_response(
    status: int, headers: Mapping[str, str], body: bytes, *, repeatable: bool
) -> RequestRefused | Unavailable:
    """Convert an answer with an error status.

    Args:
        status: The status.
        headers: The headers.
        body: A problem object, or whatever a proxy sends.
        repeatable: Whether the request may be sent again although it may have taken effect.
    """
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem(title="not a problem object: a proxy's answer")
    name = problem.type.rpartition(":")[2]
    detail = problem.detail or problem.title
    return _classify(RequestRefused(status, name, detail, _retry_after_s(headers)), repeatable=repeatable)


def _classify(refused: RequestRefused, *, repeatable: bool) -> RequestRefused | Unavailable:
    if refused.problem in _NOT_STARTED or (repeatable and refused.status in _UNAVAILABLE):
        reason = f"HTTP {refused.status} {refused.problem}: {refused.detail}"
        return Unavailable(reason, refused.retry_after_s)
    return refused


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() and value.isascii() else None
