"""Settings of ingest."""

from typing import Self

from pydantic import Field, model_validator

from relay_settings.agents import AgentSettings
from relay_settings.base import named
from relay_settings.ended import EndedSettings
from relay_settings.outbox import OutboxSettings
from relay_settings.process import ProcessSettings
from relay_settings.uplink import UplinkSettings
from relay_settings.vendor import VendorAccountSettings


class IngestSettings(
    ProcessSettings, UplinkSettings, OutboxSettings, VendorAccountSettings, AgentSettings, EndedSettings
):
    """Ingest: owns conversations and their Motion sessions."""

    ingress_endpoint: str = named(
        "SPATIUS_INGRESS_ENDPOINT", "The vendor's Motion Server; empty: composed from the region.", default=""
    )
    vendor_telemetry_endpoint: str = Field(
        "", description="OTLP/HTTP collector for the SDK's own telemetry; empty turns it off."
    )
    worker_name: str = Field("", description="Unique name of this worker; empty: generated.")
    max_conversations: int = Field(
        200, ge=1, description="Most active conversations that this worker owns at once."
    )
    max_idle_conversations: int = Field(
        800,
        ge=0,
        description="Most further conversations it owns, silent for RELAY_CONVERSATION_ACTIVE_S.",
    )
    conversation_active_s: float = Field(
        60.0, gt=0, description="How long a conversation counts as active after it was spoken in."
    )
    conversation_idle_s: float = Field(
        3600.0,
        ge=0,
        description="How long a conversation may have neither viewers nor speech before it is"
        " ended; 0: for ever.",
    )
    lease_ms: int = Field(
        2000,
        ge=200,
        description="Life of a lease without renewal: conversations of a dead worker are free after it.",
    )
    ingest_lease_scan_s: float = Field(
        0.5, gt=0, description="Interval of scans for expired leases and for conversations without an owner."
    )
    ingest_upkeep_s: float = Field(
        10.0,
        gt=0,
        description="Interval of upkeep, which repairs indexes that have lost conversations and removes"
        " former workers: one partition each time, by one worker of all.",
    )
    ingest_gone_s: float = Field(
        600.0, gt=0, description="Time without an owner, or without a sign of a worker, before repair."
    )
    retention_bytes: int = Field(
        32 * 1024 * 1024, ge=1024 * 1024, description="Frames kept per conversation, at most two turns."
    )
    republish_bytes: int = Field(
        2 * 1024 * 1024,
        ge=0,
        description="Acknowledged frames kept per conversation, to append them again if Redis loses them.",
    )
    republish_s: float = Field(
        60.0, gt=0, description="How long they are kept: longer than a fail-over of Redis takes."
    )
    backlog_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1024 * 1024,
        description="Unacknowledged frames after which a turn continues without motion.",
    )
    first_motion_timeout_s: float = Field(
        5.0, gt=0, description="Wait for a turn's first motion before the turn continues as audio."
    )
    motion_stall_timeout_s: float = Field(
        10.0, gt=0, description="Wait for further motion before the turn continues as audio."
    )
    motion_idle_s: float = Field(
        60.0, gt=0, description="Silence after which a Motion session is closed; connected time is billed."
    )
    motion_session_s: float = Field(
        300.0,
        gt=0,
        le=86_000,
        description="Age at which a Motion session is replaced between turns: the plan's limit (600 s in the"
        " free plan), less the longest turn that is spoken live.",
    )
    motion_outbox_bytes: int = Field(
        8 * 1024 * 1024,
        ge=64 * 1024,
        description="Most audio that waits for Motion Server; beyond it the turn continues without motion.",
    )
    motion_close_s: float = Field(
        2.0, gt=0, description="Wait for Motion Server to close its side before the connection is aborted."
    )

    @model_validator(mode="after")
    def _has_an_account(self) -> Self:
        missing = []
        if not self.vendor_key:
            missing.append("SPATIUS_API_KEY is missing: it is the vendor's API key")
        if not self.app_id:
            missing.append("SPATIUS_APP_ID is missing: it is the id of the app that the key belongs to")
        if missing:
            raise ValueError("\n".join(missing))
        return self
