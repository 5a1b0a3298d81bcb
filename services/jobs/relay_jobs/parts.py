"""Parts: what the jobs service does, each part with its jobs, and with its consequence if it has one.

The import of a part's modules registers its jobs. A part is added here and nowhere else.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import relay_jobs.reaper.reap
import relay_jobs.recordings.tasks
import relay_jobs.usage.settle  # noqa: F401  # they register jobs, and what they measure
from relay_jobs.clips import tasks as clips
from relay_jobs.consequences import Consequence, ConsequenceOf
from relay_jobs.job import JOBS, Resources
from relay_jobs.recordings import measuring as recordings
from relay_jobs.usage import plan as usage
from relay_jobs.webhooks import jobs as webhooks
from relay_settings.jobs import JobsSettings

CONSEQUENCES: Final[tuple[ConsequenceOf, ...]] = (usage.consequence_of, clips.consequence_of)
"""What makes each part's consequence from the settings."""
OPENED: Final[tuple[Callable[[Resources], AbstractAsyncContextManager[Consequence]], ...]] = (
    recordings.open_consequence,
    webhooks.open_consequence,
)
"""What opens the consequence of a part that follows a file or measures its work while a dispatcher runs."""


def task_names() -> tuple[str, ...]:
    """The names of all tasks."""
    return tuple(sorted(JOBS))


def consequences(settings: JobsSettings) -> tuple[Consequence, ...]:
    """The consequence of every part that needs nothing but the settings."""
    return tuple(consequence_of(settings) for consequence_of in CONSEQUENCES)


async def open_consequences(resources: Resources, stack: AsyncExitStack) -> list[Consequence]:
    """Every part's consequence, open until the stack closes.

    Raises:
        SettingsError: A part cannot work with the settings.
    """
    opened = [await stack.enter_async_context(open_part(resources)) for open_part in OPENED]
    return [*consequences(resources.settings), *opened]


async def check(settings: JobsSettings) -> None:
    """Read what the settings name, for a process that uses it later.

    Raises:
        SettingsError: A part cannot work with it.
    """
    await webhooks.check(settings)
