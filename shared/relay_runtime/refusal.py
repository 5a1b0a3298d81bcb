"""Refusals: problems as HTTP responses."""

from aiohttp import web

from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.problems import Problem

PROBLEMS = counter(
    "relay_http_problems_total", "Requests refused, by kind of problem.", problem=problems.REGISTRY
)


def refusal(problem: Problem) -> web.Response:
    """A problem as an RFC 9457 response, counted."""
    PROBLEMS.labels(problem.kind.name).inc()
    headers = {problems.PROBLEM_HEADER: problem.kind.name}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return web.json_response(
        problem.body(), status=problem.kind.status, headers=headers, content_type=problems.CONTENT_TYPE
    )
