"""The tasks of clips: what follows from a request, and what a relay without clips does with them."""

from contextlib import AsyncExitStack
from typing import cast

from relay_jobs.clips.tasks import consequence_of, look, render, restore
from relay_jobs.consequences import NOTHING, Plan, TaskCall
from relay_jobs.job import JOBS, TICKS, Resources
from relay_redis.client import RedisClient
from relay_settings.jobs import JobsSettings
from relay_streams.keys import KeySpace
from relay_streams.outbox import OutboxEvent
from relay_telemetry.trace_context import NO_TRACE


def event(kind: str) -> OutboxEvent:
    """An event of a clip."""
    return OutboxEvent("clip-1.7.x", 0, kind, "clip-1", 3, "app1", b"{}", NO_TRACE, 0, 7, "7-0")


def test_a_requested_clip_is_rendered() -> None:
    """Nothing is written: the store has it as due already. No other event concerns clips."""
    plan = consequence_of(JobsSettings.load(jobs=True, clips=True))

    assert plan(event("clip.requested")) == Plan(tasks=(TaskCall("clips.render", (3, "clip-1")),))
    assert plan(event("clip.ready")) == NOTHING


def test_both_are_jobs() -> None:
    """Beat looks for clips that nobody renders at the interval of the setting."""
    assert {"clips.render", "clips.due", "clips.restore"} <= JOBS.keys()
    settings = JobsSettings.load(clip_due_s=7, clip_restore_s=70)
    assert [TICKS[name].interval_s(settings) for name in ("clips.due", "clips.restore")] == [7, 70]


async def test_without_clips_there_is_nothing_to_do() -> None:
    """A task that was sent before the setting changed uses no Redis."""
    settings = JobsSettings.load()
    assert consequence_of(settings)(event("clip.requested")) == NOTHING
    async with AsyncExitStack() as stack:
        resources = Resources(settings, cast("RedisClient", None), KeySpace.of(settings), stack)
        await render(resources, 3, "clip-1")
        await look(resources)
        await restore(resources)
