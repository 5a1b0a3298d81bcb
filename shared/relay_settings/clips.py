"""Settings of clips: whether there are any, and how much of them is kept."""

from typing import Self

from pydantic import Field, model_validator

from relay_settings.outbox import OutboxSettings


class ClipSettings(OutboxSettings):
    """Clips: speech that is rendered once and spoken often."""

    clips: bool = Field(
        False,
        description="Whether backends can render clips, /v1/clips, and turns can speak them; RELAY_JOBS, too."
        " Off by default: the motion of a clip has the connection's and the request's ids of its rendering,"
        " and that the vendor's clients ignore these is not proven.",
    )
    clip_audio_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, description="Largest audio of a clip; a larger one is refused with 413."
    )
    key_clips: int = Field(1000, ge=1, le=100_000, description="Clips of one key; else 429.")
    key_clip_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024,
        description="Most bytes of the clips of one key, audio and motion, in Redis; else 429, or the clip"
        " fails with `storage_full`.",
    )

    @model_validator(mode="after")
    def _has_somebody_to_render(self) -> Self:
        if self.clips and not self.jobs:
            raise ValueError("RELAY_CLIPS needs RELAY_JOBS: workers of jobs render clips")
        return self


class ClipRenderingSettings(ClipSettings):
    """The rendering of clips, by workers of jobs."""

    clip_render_s: float = Field(
        180.0, gt=0, le=280, description="Longest time of one attempt to render a clip."
    )
    clip_attempts: int = Field(
        3, ge=1, le=20, description="Attempts to render a clip, those of killed workers included."
    )
    clip_claim_s: float = Field(
        30.0,
        ge=1,
        description="How long a clip stays claimed by a worker that has died; then it is rendered anew.",
    )
    clip_retry_s: float = Field(
        5.0, gt=0, le=3600, description="Pause before the second attempt; twice as long before each further."
    )
    clip_restore_s: float = Field(
        600.0,
        gt=0,
        description="Interval at which clips that Redis has lost are restored from RELAY_RECORDINGS_URL.",
    )
    clip_due_s: float = Field(
        5.0, gt=0, le=60, description="Interval at which beat looks for clips that nobody renders."
    )
