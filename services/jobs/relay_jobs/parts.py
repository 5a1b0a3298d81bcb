"""Parts: what the jobs service does, each part with its jobs, and with its consequence if it has one.

The import of a part's modules registers its jobs. A part is added here and nowhere else.
"""

from typing import Final

import relay_jobs.reaper.reap
import relay_jobs.recordings.metrics
import relay_jobs.usage.settle
import relay_jobs.webhooks.endpoint_file  # noqa: F401  # they register jobs, and what they measure
from relay_jobs.consequences import Consequence, ConsequenceOf
from relay_jobs.job import JOBS
from relay_jobs.usage import plan as usage
from relay_settings.jobs import JobsSettings

CONSEQUENCES: Final[tuple[ConsequenceOf, ...]] = (usage.consequence_of,)
"""What makes each part's consequence from the settings."""


def task_names() -> tuple[str, ...]:
    """The names of all tasks."""
    return tuple(sorted(JOBS))


def consequences(settings: JobsSettings) -> tuple[Consequence, ...]:
    """Every part's consequence."""
    return tuple(consequence_of(settings) for consequence_of in CONSEQUENCES)
