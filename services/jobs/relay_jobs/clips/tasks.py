"""The tasks of clips: one renders a clip, one looks for clips that nobody renders, one restores lost ones."""

from relay_jobs.clips.copies import Copies
from relay_jobs.clips.renderer import Renderer
from relay_jobs.consequences import NOTHING, Consequence, Plan, TaskCall
from relay_jobs.job import Resources, every, job
from relay_settings.jobs import JobsSettings
from relay_streams.clips import Clips
from relay_streams.outbox import OutboxEvent

RENDER = "clips.render"
DUE = "clips.due"
RESTORE = "clips.restore"
_LIMIT_S = 300.0
"""More than the longest attempt and the storing of its clip."""


def consequence_of(settings: JobsSettings) -> Consequence:
    """What follows from events: a clip that was requested is rendered. The store has it as due already."""

    def plan(event: OutboxEvent) -> Plan:
        if event.type != "clip.requested" or not settings.clips:
            return NOTHING
        return Plan(tasks=(TaskCall(RENDER, (event.partition, event.conversation)),))

    return plan


@job(RENDER, limit_s=_LIMIT_S)
async def render(resources: Resources, _partition: int, clip: str) -> None:
    """Render a clip. Repeating it is safe: an attempt claims the clip first."""
    if resources.settings.clips:
        await Renderer(resources).render(clip)


@job(DUE, limit_s=_LIMIT_S)
async def look(resources: Resources) -> None:
    """Render one clip whose task was lost, whose worker was killed, or that is to be tried again."""
    if resources.settings.clips:
        await Renderer(resources).look()


@job(RESTORE, limit_s=_LIMIT_S)
async def restore(resources: Resources) -> None:
    """Restore clips that Redis has lost, where storage has copies of them."""
    settings = resources.settings
    if settings.clips:
        await Copies(settings, Clips(resources.client, resources.keys, settings)).restore()


every(DUE, lambda settings: settings.clip_due_s)
every(RESTORE, lambda settings: settings.clip_restore_s)
