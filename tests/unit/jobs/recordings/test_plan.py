"""The consequence of events for recordings."""

import pytest

from relay_jobs.consequences import NOTHING, Plan, TaskCall
from relay_jobs.recordings.plan import plan
from relay_streams.outbox import OutboxEvent
from relay_telemetry.trace_context import NO_TRACE


def event(kind: str, data: bytes) -> OutboxEvent:
    return OutboxEvent("c.5-1", 1, kind, "c", 3, "key", data, NO_TRACE, 0, 1, "1-1")


@pytest.mark.parametrize(
    ("kind", "task"), [("turn.ended", "recordings.copy"), ("conversation.ended", "recordings.finish")]
)
def test_what_follows(kind: str, task: str) -> None:
    """A recorded turn is copied, a recorded conversation finished: hints, and no writes."""
    assert plan(event(kind, b'{"turn":1,"recorded":true}')) == Plan(tasks=(TaskCall(task, (3, "c")),))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("turn.ended", b'{"turn":1}'), ("turn.ended", b'{"recorded":false}'), ("turn.ended", b"{"),
        ("turn.ended", b'{"recorded":"yes"}'), ("turn.ended", b"\xff"),
        ("conversation.started", b'{"recorded":true}'),
    ],
)  # fmt: skip
def test_what_nothing_follows(kind: str, data: bytes) -> None:
    """Conversations that are not recorded, other events, and data that cannot be read."""
    assert plan(event(kind, data)) == NOTHING
