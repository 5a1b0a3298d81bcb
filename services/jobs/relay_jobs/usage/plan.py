"""The consequence of an event for usage: what is counted at once, and what the account gets for later. Pure.

Counts that an event has by itself are added in the call that consumes it. Viewer time is a running total,
and the end of a Motion session may never be reported: both need the events before, so the event is noted in
the conversation's account, and the tick ``usage.settle`` counts it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from relay_jobs.consequences import NOTHING, Consequence, Plan
from relay_settings.jobs import JobsSettings
from relay_streams import usage
from relay_streams.accounts import note_closed, note_opened, note_view
from relay_streams.keys import KeySpace
from relay_streams.outbox import OutboxEvent, Write
from relay_wire.events import Outcome

UNREADABLE = "unreadable_events"
"""The counter of events whose data is damaged."""
VIEWERS_WATCHED = "viewers.watched"
"""The internal event with the viewer time of a conversation that has ended."""
_DAY_MS = 86_400_000


class _TurnEnded(msgspec.Struct):
    outcome: Outcome
    sample_rate: int
    audio_bytes: int
    motion_bytes: int = 0


class _MotionOpened(msgspec.Struct):
    session: str
    opened_ms: int


class _MotionClosed(msgspec.Struct):
    session: str
    seconds: float
    credits: int
    estimated: bool = False


def consequence_of(settings: JobsSettings) -> Consequence:
    """The consequence, for these settings."""
    return partial(plan, keys=KeySpace.of(settings), keep_ms=settings.usage_keep_days * _DAY_MS)


def plan(event: OutboxEvent, *, keys: KeySpace, keep_ms: int) -> Plan:
    """What follows from an event.

    Args:
        event: The event.
        keys: The key space.
        keep_ms: How long counts are kept.
    """
    counts, notes = _read(event)
    if event.viewer_ms and (event.order or event.type == VIEWERS_WATCHED):
        notes |= note_view(event.order or event.entry_id, event.viewer_ms, event.at_ms)
    writes = _count(event, counts, keys, keep_ms) if counts else ()
    if notes:
        writes += _note(event, notes, keys, keep_ms)
    return Plan(writes) if writes else NOTHING


def _read(event: OutboxEvent) -> tuple[dict[str, int], dict[str, str | int]]:
    """The counts of an event, and the notes for its account."""
    reader = _READERS.get(event.type)
    if reader is None:
        return {}, {}
    try:
        return reader(event)
    except msgspec.DecodeError:
        return {UNREADABLE: 1}, {}


def _conversation_started(_event: OutboxEvent) -> tuple[dict[str, int], dict[str, str | int]]:
    return {usage.CONVERSATIONS: 1}, {}


def _conversation_ended(event: OutboxEvent) -> tuple[dict[str, int], dict[str, str | int]]:
    return {}, {"ended": event.at_ms}


def _turn_ended(event: OutboxEvent) -> tuple[dict[str, int], dict[str, str | int]]:
    turn = msgspec.json.decode(event.data, type=_TurnEnded)
    return {
        usage.turns(turn.outcome): 1,
        usage.audio_bytes(turn.sample_rate): turn.audio_bytes,
        usage.MOTION_BYTES: turn.motion_bytes,
    }, {}


def _motion_opened(event: OutboxEvent) -> tuple[dict[str, int], dict[str, str | int]]:
    session = msgspec.json.decode(event.data, type=_MotionOpened)
    return {}, note_opened(session.session, session.opened_ms)


def _motion_closed(event: OutboxEvent) -> tuple[dict[str, int], dict[str, str | int]]:
    session = msgspec.json.decode(event.data, type=_MotionClosed)
    counters = (usage.MOTION_MS, usage.CREDITS)
    if session.estimated:
        counters = (usage.ESTIMATED_MOTION_MS, usage.ESTIMATED_CREDITS)
    counts = dict(zip(counters, (round(session.seconds * 1000), session.credits), strict=True))
    return counts, note_closed(session.session)


_READERS: Mapping[str, Callable[[OutboxEvent], tuple[dict[str, int], dict[str, Any]]]] = {
    "conversation.started": _conversation_started,
    "conversation.ended": _conversation_ended,
    "turn.ended": _turn_ended,
    "motion.opened": _motion_opened,
    "motion.closed": _motion_closed,
}


def _count(event: OutboxEvent, counts: Mapping[str, int], keys: KeySpace, keep_ms: int) -> tuple[Write, ...]:
    shared, day = keys.shared(event.partition), usage.day_of(event.at_ms)
    row, apps = shared.usage(event.key_id, day), shared.usage_apps(day)
    return (
        *(Write("HINCRBY", row, (counter, value)) for counter, value in counts.items() if value),
        Write("PEXPIRE", row, (keep_ms,)),
        Write("SADD", apps, (event.key_id,)),
        Write("PEXPIRE", apps, (keep_ms,)),
    )


def _note(
    event: OutboxEvent, notes: Mapping[str, str | int], keys: KeySpace, keep_ms: int
) -> tuple[Write, ...]:
    account = keys.conversation(event.conversation).account
    fields = tuple(part for note in notes.items() for part in note)
    return (
        Write("HSET", account, ("app", event.key_id, *fields)),
        Write("HINCRBY", account, ("revision", 1)),
        Write("PEXPIRE", account, (keep_ms,)),
        Write("ZADD", keys.shared(event.partition).accounts_due, (event.at_ms, event.conversation)),
    )
