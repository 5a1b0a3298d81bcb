"""Settings of the gateway's endpoints for the vendor's official clients."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from relay_settings.base import listed
from relay_settings.vendor import VendorSettings
from relay_wire.pcm import SAMPLE_RATES


class AvatarKitSettings(VendorSettings):
    """``/ws/agent``, ``/ws/host`` and ``/api/config``."""

    avatarkit_clients: bool = Field(
        False,
        description="Serve the vendor's official clients: /ws/agent, /ws/host and /api/config.",
    )
    avatarkit_url_token: bool = Field(
        False,
        description=(
            "Accept viewer tokens in the URL there, as /c/<token>/ws/agent or in the query, where browsers "
            "and proxies may log them."
        ),
    )
    avatarkit_guests: bool = Field(
        False,
        description=(
            "Create a guest conversation, of SPATIUS_AVATAR_ID, for each socket without a token: "
            "then everybody who can connect can spend seats."
        ),
    )
    avatarkit_avatars: tuple[str, ...] = Field(
        (),
        description="Avatars besides SPATIUS_AVATAR_ID that a guest at /ws/host may request,"
        " comma-separated; another is refused.",
    )
    avatarkit_agent: str = Field(
        "push",
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        description="The agent of guest conversations; its viewers may talk over it unless it is push.",
    )
    avatarkit_clips: tuple[str, ...] = Field(
        (),
        description="Clips that /api/config offers to these clients, by the names that the clips agent has,"
        " comma-separated.",
    )
    avatarkit_start_s: float = Field(
        30.0,
        gt=0,
        le=300,
        description="How long a client of /ws/host may take to send its start, in seconds.",
    )
    avatarkit_silence_s: float = Field(
        60.0,
        gt=0,
        description="How long a client of /ws/host may send nothing before its turn ends; then it is closed.",
    )
    avatarkit_upload_bytes: int = Field(
        10 * 1024 * 1024,
        ge=1024,
        description="Largest message at /ws/host, whose clients upload speech unpaced.",
    )
    avatarkit_uploads: int = Field(
        100,
        ge=1,
        description="Most open sockets at /ws/host, each of which may hold a message; further ones get 503.",
    )
    avatarkit_sample_rate: int = Field(
        16000,
        description="Rate these clients play at; conversations with another are refused at /ws/agent.",
    )

    avatarkit_microphone_rate: int = Field(
        16000,
        description="Rate of the microphone audio that these clients send; all but the host-server demo's"
        " send 16000 whatever /api/config has.",
    )

    _avatars_and_clips_listed = field_validator("avatarkit_avatars", "avatarkit_clips", mode="before")(listed)

    @field_validator("avatarkit_sample_rate", "avatarkit_microphone_rate")
    @classmethod
    def _check_rate(cls, value: int) -> int:
        if value not in SAMPLE_RATES:
            raise ValueError(f"one of {SAMPLE_RATES}")
        return value

    @model_validator(mode="after")
    def _has_what_clients_need(self) -> Self:
        if self.avatarkit_clients and not (self.app_id and self.avatar_id):
            raise ValueError(
                "RELAY_AVATARKIT_CLIENTS needs SPATIUS_APP_ID and SPATIUS_AVATAR_ID: clients load them"
            )
        return self
