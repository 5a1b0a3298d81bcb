"""Jaeger's query API: traces that it has received, as the spans of the OTLP receiver."""

from typing import Any

import aiohttp
from tests.rigs.eventually import eventually
from tests.rigs.otlp import Event, Link, Span

_WITHIN_S = 20.0
"""Longest wait for a trace: processes send their spans every 5 s."""


class Jaeger:
    """One Jaeger.

    Args:
        query_url: Base URL of its query API.
        http: The HTTP session.
    """

    def __init__(self, query_url: str, http: aiohttp.ClientSession) -> None:
        self._url = query_url.rstrip("/")
        self._http = http

    async def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace that it has by now, by their start."""
        async with self._http.get(f"{self._url}/api/traces/{trace_id}") as response:
            if response.status == 404:
                return []
            response.raise_for_status()
            answer = await response.json()
        return spans_of(answer)

    async def whole_trace(self, trace_id: str, count: int) -> list[Span]:
        """The spans of a trace, as soon as there is this number."""
        found: list[Span] = await eventually(
            lambda: self.trace(trace_id), _WITHIN_S, until=lambda spans: len(spans) >= count, what=trace_id
        )
        return found


def spans_of(answer: Any) -> list[Span]:
    """The spans in an answer of ``/api/traces/ID``, by their start."""
    spans = [_span(span, trace["processes"]) for trace in answer["data"] for span in trace["spans"]]
    return sorted(spans, key=lambda span: span.start_ns)


def _span(span: dict[str, Any], processes: dict[str, Any]) -> Span:
    process = processes[span["processID"]]
    attributes = _values(span["tags"])
    parents = [link for link in span["references"] if link["refType"] == "CHILD_OF"]
    start_ns = span["startTime"] * 1000
    return Span(
        service=process["serviceName"],
        instance=str(_values(process["tags"]).get("service.instance.id", "")),
        name=span["operationName"],
        kind=str(attributes.pop("span.kind", "internal")).upper(),
        trace_id=span["traceID"],
        span_id=span["spanID"],
        parent_id=parents[0]["spanID"] if parents else "",
        state=str(attributes.pop("w3c.tracestate", "")),
        start_ns=start_ns,
        end_ns=start_ns + span["duration"] * 1000,
        attributes=attributes,
        events=[_event(log) for log in span["logs"]],
        links=[
            Link(link["traceID"], link["spanID"])
            for link in span["references"]
            if link["refType"] == "FOLLOWS_FROM"
        ],
        error=str(attributes.pop("otel.status_description", "")),
    )


def _event(log: dict[str, Any]) -> Event:
    fields = _values(log["fields"])
    return Event(str(fields.pop("event")), log["timestamp"] * 1000, fields)


def _values(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in pairs}
