"""Settings of agents, which answer viewers."""

from pydantic import Field, field_validator

from relay_settings.base import Settings, listed


class AgentSettings(Settings):
    """The agents of a worker, and their limits."""

    agents: tuple[str, ...] = Field(
        "push,clips,echo",
        validate_default=True,
        description="Agents that conversations may name, comma-separated; others than these three are"
        " entry points of installed packages.",
    )
    agent_events: int = Field(
        256, ge=8, description="Most unread events of an agent; the oldest are dropped."
    )
    agent_inbox_bytes: int = Field(
        1024 * 1024,
        ge=64 * 1024,
        description="Most microphone audio and text in them; the oldest is dropped.",
    )
    agent_timeout_s: float = Field(
        30.0,
        gt=0,
        description="How long an agent may leave its events unread, or a speech without audio, before it"
        " is stopped.",
    )
    agent_speech_s: float = Field(
        300.0, gt=0, le=3600, description="Longest speech of an agent; a longer one is cut."
    )
    agent_clips_dir: str = Field("", description="Directory of the clips agent; empty: it has no clips.")
    agent_clip_bytes: int = Field(
        16 * 1024 * 1024, ge=1024, description="Largest clip; a larger one is refused."
    )
    agent_echo_s: float = Field(
        30.0,
        gt=0,
        le=300,
        description="Most microphone audio that the echo agent repeats, in seconds: the latest.",
    )
    agent_echo_threshold_dbfs: float = Field(
        -45.0,
        ge=-90,
        le=0,
        description="Level below which the echo agent considers microphone audio silent, in dB relative to"
        " full scale.",
    )
    agent_echo_silence_s: float = Field(
        0.8,
        gt=0,
        le=300,
        description="Silence after which the echo agent answers a viewer whose client marks no end, in"
        " seconds of audio.",
    )
    agent_echo_gap_s: float = Field(
        1.5,
        gt=0,
        le=300,
        description="How long no microphone audio may arrive before the echo agent answers what it has, in"
        " seconds.",
    )

    _listed = field_validator("agents", mode="before")(listed)
