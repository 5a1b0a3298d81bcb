"""Refusals: problems as HTTP responses."""

from aiohttp import hdrs, web

from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.problems import Problem, ProblemType

PROBLEMS = counter(
    "relay_http_problems_total", "Requests refused, by kind of problem.", problem=problems.REGISTRY
)

_HEADERS: dict[ProblemType, dict[str, str]] = {
    problems.UPGRADE_REQUIRED: {hdrs.UPGRADE: "websocket", hdrs.SEC_WEBSOCKET_VERSION: "13"},
}
"""Headers that the status requires (RFC 9110 15.5.22, RFC 6455 4.4)."""


def refusal(problem: Problem) -> web.Response:
    """A problem as an RFC 9457 response, counted."""
    PROBLEMS.labels(problem.kind.name).inc()
    headers = {problems.PROBLEM_HEADER: problem.kind.name, **_HEADERS.get(problem.kind, {})}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return web.json_response(
        problem.body(), status=problem.kind.status, headers=headers, content_type=problems.CONTENT_TYPE
    )
