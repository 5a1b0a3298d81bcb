"""Consequences: the plans of several parts for one event."""

from relay_jobs.consequences import NOTHING, Consequence, Plan, TaskCall, join
from relay_jobs.parts import consequences
from relay_settings.jobs import JobsSettings
from relay_streams.outbox import OutboxEvent, Write
from relay_telemetry.trace_context import NO_TRACE

EVENT = OutboxEvent("c.1-2", 1, "turn.ended", "c", 3, "key", b"{}", NO_TRACE, 0, 5, "5-0")
COUNT = Write("HINCRBY", "relay:{p03}:x", ("n", 1))
STORE = Write("HSET", "relay:{p03}:y", ("f", "v"))


def _planning(plan: Plan) -> Consequence:
    return lambda _event: plan


def test_plans_are_joined_in_order() -> None:
    """Every part's writes and tasks are in the plan of the event, in the order of the parts."""
    first = Plan((COUNT,), (TaskCall("webhooks.deliver", (3, "d")),))
    second = Plan((STORE,), (TaskCall("recordings.write", (3, "c")),))

    joined = join(map(_planning, (first, NOTHING, second)), EVENT)

    assert joined.writes == (COUNT, STORE)
    assert [task.name for task in joined.tasks] == ["webhooks.deliver", "recordings.write"]


def test_an_event_without_consequences() -> None:
    """It is consumed all the same: the plan is empty."""
    assert join((), EVENT) == NOTHING


def test_every_part_plans_for_an_event_of_an_unknown_type() -> None:
    """A later version's event is nothing to these parts, and no error."""
    unknown = EVENT._replace(type="later.kind")
    assert join(consequences(JobsSettings.load()), unknown) == NOTHING
