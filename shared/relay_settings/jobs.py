"""Settings of the jobs service: the broker of Celery, and the bounds of its tasks."""

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from relay_settings.base import named, reveal
from relay_settings.clips import ClipRenderingSettings
from relay_settings.process import ProcessSettings
from relay_settings.reaper import ReaperSettings
from relay_settings.recordings import RecordingStorageSettings
from relay_settings.redis_url import RedisUrl, with_database
from relay_settings.uplink import UplinkSettings
from relay_settings.usage import UsageSettings
from relay_settings.webhooks import WebhookSettings

KILL_S = 5.0
"""Time after its limit at which a task that still runs is killed together with its process."""
_REDELIVERY_S = 10.0
"""Time after that at which a task that nobody has acknowledged is delivered again."""


class JobsSettings(
    ProcessSettings,
    UplinkSettings,
    ClipRenderingSettings,
    WebhookSettings,
    RecordingStorageSettings,
    ReaperSettings,
    UsageSettings,
):
    """Jobs: dispatcher, workers and beat, which do what may take its time."""

    jobs_broker_url: SecretStr | None = named(
        "RELAY_JOBS_BROKER_URL",
        "Broker of tasks: a URL as RELAY_REDIS_URL, of one server or of sentinels, since Celery cannot use a"
        " cluster. Unset: the relay's own Redis, in the database after the relay's; required where that is a"
        " cluster.",
        default=None,
    )
    jobs_broker_timeout_s: float = Field(
        5.0,
        ge=2,
        description="Longest wait for a connection or a reply of the broker, in seconds. Tasks that are not"
        " sent in time are found in the store by the next tick of beat.",
    )
    jobs_poll_s: float = Field(
        0.25, gt=0, description="How long a dispatcher waits after it has found the outbox empty."
    )
    jobs_queue_tasks: int = Field(
        10_000,
        ge=100,
        description="Most tasks that wait in the broker; further ones are not sent, and the next tick of beat"
        " finds their work in the store.",
    )
    jobs_concurrency: int = Field(4, ge=1, le=256, description="Processes of a worker that run tasks.")
    jobs_limit_s: float = Field(
        600.0,
        ge=1,
        description="Longest time limit of any task. A task that was lost with its worker is delivered again"
        " 15 s after this time; its work is mostly found by beat before.",
    )
    jobs_pulse_s: float = Field(
        3.0, gt=0, description="Interval of the pulse, a task that a worker sends to itself."
    )
    jobs_stalled_s: float = Field(
        15.0,
        gt=0,
        description="How long a pulse may wait, while a process of the worker is free, before the worker"
        " starts its Celery processes anew.",
    )
    jobs_start_s: float = Field(
        120.0,
        gt=0,
        description="How much longer the first pulse of a start may wait, and how long a process that runs"
        " tasks may take to start: longer than Celery needs on a machine that is busy.",
    )

    @field_validator("jobs_broker_url")
    @classmethod
    def _is_a_broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and RedisUrl.parse(value.get_secret_value()).topology == "cluster":
            raise ValueError("it must be one server or sentinels: Celery cannot use a cluster")
        return value

    @model_validator(mode="after")
    def _has_a_broker(self) -> Self:
        if self.jobs_broker_url is None and RedisUrl.parse(reveal(self.redis_url)).topology == "cluster":
            raise ValueError(
                "RELAY_JOBS_BROKER_URL is missing: RELAY_REDIS_URL is a cluster, which Celery cannot use as"
                " its broker; name one server or sentinels"
            )
        if self.jobs_stalled_s <= self.jobs_pulse_s:
            raise ValueError("RELAY_JOBS_STALLED_S must be more than RELAY_JOBS_PULSE_S")
        return self

    @property
    def broker_url(self) -> str:
        """The broker's URL in clear, for connections only."""
        return reveal(self.jobs_broker_url) or with_database(self.store_url, 1)

    @property
    def redelivery_s(self) -> float:
        """Time without acknowledgement after which the broker delivers a task again."""
        return self.jobs_limit_s + KILL_S + _REDELIVERY_S
