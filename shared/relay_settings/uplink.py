"""Settings of the uplink: limits of the entries that wait for an owner, for every process that appends."""

from typing import Self

from pydantic import Field, model_validator

from relay_settings.store import StoreSettings

SILENCE_FRACTION = 0.9
"""The uplink closes a silent turn before its owner does: acknowledged speech is never late."""


class UplinkSettings(StoreSettings):
    """Bounds of the uplink: the same at control, gateways and ingest."""

    uplink_entries: int = Field(
        4096, ge=64, description="Most uplink entries waiting for an owner, per conversation."
    )
    uplink_bytes: int = Field(
        16 * 1024 * 1024,
        ge=256 * 1024,
        description="Most uplink bytes waiting for an owner, per conversation.",
    )
    uplink_viewer_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of both for messages of viewers: texts, microphone audio, requests, reports. The"
        " rest is for the speech of backends and agents.",
    )
    owner_wait_s: float = Field(
        10.0,
        gt=0,
        description="How long a conversation may lack an owner before its viewers get an error, and speech"
        " for it is refused.",
    )
    uplink_wait_s: float = Field(
        10.0, gt=0, description="How long speech waits for capacity in the uplink before it is refused."
    )
    input_timeout_s: float = Field(
        30.0, gt=0, description="Silence after which a turn left open by its speaker is ended."
    )
    redis_replicas: int = Field(
        0, ge=0, le=16, description="Replicas of Redis that must have speech before it is acknowledged."
    )
    redis_replicas_wait_s: float = Field(
        1.0, ge=0.001, le=60, description="How long they may take; less than RELAY_REDIS_TIMEOUT_S."
    )

    @property
    def silence_s(self) -> float:
        """Silence after which the uplink accepts no more audio of a turn."""
        return self.input_timeout_s * SILENCE_FRACTION

    @model_validator(mode="after")
    def _waits_less_than_the_client(self) -> Self:
        # A reply that takes longer counts as a dead connection.
        if self.redis_replicas and self.redis_replicas_wait_s >= self.redis_timeout_s:
            raise ValueError("RELAY_REDIS_REPLICAS_WAIT_S must be less than RELAY_REDIS_TIMEOUT_S")
        return self
