"""Deliveries as tables, and as objects for JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from relay_streams.webhooks import Delivery

_STYLES = {"due": "yellow", "delivered": "green", "dead": "red"}


def table(deliveries: Sequence[Delivery]) -> Table:
    """One row for each delivery."""
    columns = ("delivery", "endpoint", "type", "conversation", "order", "state", "attempts", "last", "when")
    rows = Table(*columns)
    for delivery in deliveries:
        facts = delivery.facts
        rows.add_row(
            escape(delivery.place.delivery), escape(facts.endpoint), escape(facts.type),
            escape(facts.conversation), str(facts.order), _state(delivery), str(delivery.attempts),
            escape(_last(delivery)), _when(delivery),
        )  # fmt: skip
    return rows


def details(delivery: Delivery) -> Table:
    """All of one delivery, its body included."""
    facts = delivery.facts
    rows = Table.grid(padding=(0, 2))
    for name, value in {
        "delivery": delivery.place.delivery,
        "endpoint": facts.endpoint,
        "event": f"{facts.type} {facts.event}",
        "conversation": f"{facts.conversation}, order {facts.order}",
        "happened": _time(facts.at_ms),
        "attempts": str(delivery.attempts),
        "last attempt": " ".join(filter(None, (_last(delivery), _time(delivery.ended_ms)))),
        "next attempt": "at once" if not delivery.due_ms else _time(delivery.due_ms),
        "body": _body(delivery.body),
    }.items():
        if name != "next attempt" or delivery.state == "due":
            rows.add_row(f"[bold]{name}[/]", escape(value))
    rows.add_row("[bold]state[/]", _state(delivery))
    return rows


def as_object(delivery: Delivery, *, whole: bool = False) -> dict[str, Any]:
    """A delivery for JSON; ``whole``: with its body."""
    facts = delivery.facts
    found = {
        "delivery": delivery.place.delivery, "endpoint": facts.endpoint, "event": facts.event,
        "type": facts.type, "conversation": facts.conversation, "order": facts.order,
        "happened": _time(facts.at_ms), "state": delivery.state, "attempts": delivery.attempts,
        "outcome": delivery.outcome, "status": delivery.status, "ended": _time(delivery.ended_ms),
        "due": _time(delivery.due_ms) if delivery.state == "due" else "",
    }  # fmt: skip
    return {**found, "body": _body(delivery.body)} if whole else found


def _state(delivery: Delivery) -> str:
    return f"[{_STYLES[delivery.state]}]{delivery.state}[/]"


def _last(delivery: Delivery) -> str:
    return f"{delivery.outcome} {delivery.status}" if delivery.status else delivery.outcome


def _when(delivery: Delivery) -> str:
    """When it is due, or when its last attempt ended."""
    if delivery.state == "due":
        return _time(delivery.due_ms) or "now"
    return _time(delivery.ended_ms)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds") if ms else ""


def _body(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=1, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")
