"""The consequence of an event for usage: counts at once, notes for the account, and nothing for the rest."""

from typing import Any

import msgspec
import pytest

from relay_jobs.consequences import NOTHING, Plan
from relay_jobs.usage.plan import UNREADABLE, consequence_of, plan
from relay_settings.jobs import JobsSettings
from relay_streams.keys import KeySpace
from relay_streams.outbox import OutboxEvent, Write
from relay_telemetry.trace_context import NO_TRACE

SPACE = KeySpace(16)
CONVERSATION = SPACE.conversation("01JDUSAGE")
SHARED = SPACE.shared(CONVERSATION.partition)
AT_MS = 1_769_817_600_000
DAY = "2026-01-31"
ROW, APPS = SHARED.usage("key", DAY), SHARED.usage_apps(DAY)
TURN = {"turn": 1, "outcome": "complete", "sample_rate": 16000, "audio_bytes": 32000, "motion_bytes": 9}


def event(kind: str, data: Any = None, *, order: int = 3, viewer_ms: int = 0) -> OutboxEvent:
    """An event of the conversation."""
    encoded = data if isinstance(data, bytes) else msgspec.json.encode(data or {})
    return OutboxEvent(
        "id", order, kind, CONVERSATION.id, CONVERSATION.partition, "key", encoded, NO_TRACE, viewer_ms,
        AT_MS, f"{AT_MS}-0",
    )  # fmt: skip


def planned(given: OutboxEvent) -> Plan:
    """Its consequence."""
    return plan(given, keys=SPACE, keep_ms=5000)


def counted(**counts: int) -> tuple[Write, ...]:
    """The writes that count; ``__`` stands for a colon."""
    return (
        *(Write("HINCRBY", ROW, (name.replace("__", ":"), value)) for name, value in counts.items()),
        Write("PEXPIRE", ROW, (5000,)),
        Write("SADD", APPS, ("key",)),
        Write("PEXPIRE", APPS, (5000,)),
    )


def noted(*fields: str | int) -> tuple[Write, ...]:
    """The writes that note fields in the account, and have it settled."""
    return (
        Write("HSET", CONVERSATION.account, ("app", "key", *fields)),
        Write("HINCRBY", CONVERSATION.account, ("revision", 1)),
        Write("PEXPIRE", CONVERSATION.account, (5000,)),
        Write("ZADD", SHARED.accounts_due, (AT_MS, CONVERSATION.id)),
    )


@pytest.mark.parametrize(
    ("given", "writes"),
    [
        (event("conversation.started"), counted(conversations=1)),
        (event("turn.ended", TURN), counted(turns__complete=1, audio_bytes__16000=32000, motion_bytes=9)),
        (
            event("turn.ended", {**TURN, "outcome": "failed", "audio_bytes": 0, "motion_bytes": 0}),
            counted(turns__failed=1),
        ),
        (
            event("motion.closed", {"session": "s:1", "seconds": 6.5004, "credits": 2}, order=0),
            counted(motion_ms=6500, credits=2) + noted("closed:s:1", 1),
        ),
        (
            event("motion.closed", {"session": "s", "seconds": 2, "credits": 1, "estimated": True}, order=0),
            counted(estimated_motion_ms=2000, estimated_credits=1) + noted("closed:s", 1),
        ),
        (event("motion.opened", {"session": "s", "opened_ms": 7}, order=0), noted("opened:s", 7)),
        (event("conversation.ended"), noted("ended", AT_MS)),
        (event("conversation.ended", viewer_ms=50), noted("ended", AT_MS, "view:3", f"50 {AT_MS}")),
        (
            event("conversation.started", viewer_ms=50),
            counted(conversations=1) + noted("view:3", f"50 {AT_MS}"),
        ),
        (event("conversation.degraded", viewer_ms=50), noted("view:3", f"50 {AT_MS}")),
        (event("viewers.watched", viewer_ms=50, order=0), noted(f"view:{AT_MS}-0", f"50 {AT_MS}")),
    ],
)  # fmt: skip
def test_what_follows(given: OutboxEvent, writes: tuple[Write, ...]) -> None:
    """Counts in the row of the key and the day; what needs other events in the account; no task."""
    assert planned(given) == Plan(writes)


@pytest.mark.parametrize(
    "given",
    [
        event("conversation.degraded"),
        event("clip.ready", {"clip": "x"}),
        event("an.event.to.come", b"\xff"),
        event("an.internal.event", viewer_ms=50, order=0),
    ],
)
def test_what_concerns_nobody(given: OutboxEvent) -> None:
    """Nothing is written."""
    assert planned(given) is NOTHING


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("turn.ended", b"{"),
        ("turn.ended", {**TURN, "outcome": "vanished"}),
        ("turn.ended", {"outcome": "complete"}),
        ("motion.opened", {"session": "s"}),
        ("motion.closed", {"session": 1, "seconds": 1.0, "credits": 1}),
        ("motion.closed", b"\xff"),
    ],
)
def test_damaged_data(kind: str, data: Any) -> None:
    """The event is counted as unreadable, and costs nothing else."""
    assert planned(event(kind, data)) == Plan(counted(**{UNREADABLE: 1}))


def test_the_settings() -> None:
    """The number of partitions, the prefix and the days come from there."""
    settings = JobsSettings.load(partitions=16, usage_keep_days=2)
    (_, expiry, *_) = consequence_of(settings)(event("conversation.started")).writes
    assert expiry == Write("PEXPIRE", ROW, (2 * 86_400_000,))
