"""Consequences: what follows from an event of the outbox, as values: writes and tasks. Pure."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from relay_settings.jobs import JobsSettings
from relay_streams.outbox import OutboxEvent, Write


class TaskCall(NamedTuple):
    """A task to send: only a hint, since the store has the work and beat finds it there."""

    name: str
    args: tuple[str | int, ...] = ()


class Plan(NamedTuple):
    """What follows from one event."""

    writes: tuple[Write, ...] = ()
    """Applied together with the event's consumption, all or none; keys of the event's partition only."""
    tasks: tuple[TaskCall, ...] = ()
    """Sent after that, perhaps never, perhaps twice."""


NOTHING = Plan()
"""The plan of an event that concerns nobody."""

Consequence = Callable[[OutboxEvent], Plan]
"""One part's plan for an event: pure, and the same for the same event."""

ConsequenceOf = Callable[[JobsSettings], Consequence]
"""Makes a part's consequence from the settings."""


def join(consequences: Iterable[Consequence], event: OutboxEvent) -> Plan:
    """The plans of all parts for one event, as one."""
    plans = [consequence(event) for consequence in consequences]
    return Plan(
        tuple(write for plan in plans for write in plan.writes),
        tuple(task for plan in plans for task in plan.tasks),
    )
