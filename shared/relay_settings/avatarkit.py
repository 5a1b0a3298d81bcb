"""Settings of the gateway's door for the vendor's official clients."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from relay_settings.vendor import VendorSettings
from relay_wire.pcm import SAMPLE_RATES


class AvatarKitSettings(VendorSettings):
    """``/ws/agent`` and what its clients read besides."""

    compat: bool = Field(
        False,
        description="Serve the vendor's official clients: /ws/agent, /ws/host and /api/config.",
    )
    compat_query_token: bool = Field(
        False,
        description="Take viewer tokens in the query there, where browsers and proxies may log them.",
    )
    compat_visitors: bool = Field(
        False,
        description=(
            "Give sockets without a token a conversation of their own, of SPATIUS_AVATAR_ID: "
            "then everybody who can connect can spend seats."
        ),
    )
    compat_avatars: tuple[str, ...] = Field(
        (),
        description="Avatars besides SPATIUS_AVATAR_ID that a visitor of /ws/host may ask for,"
        " comma-separated; another is refused.",
    )
    compat_agent: str = Field(
        "push",
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        description="The agent of visitors' conversations; its viewers may talk over it unless it is push.",
    )
    compat_start_s: float = Field(
        30.0, gt=0, le=300, description="How long a client of /ws/host may take to say its start, in seconds."
    )
    compat_sample_rate: int = Field(
        16000,
        description="Rate these clients play at; conversations with another are refused at /ws/agent.",
    )

    @field_validator("compat_avatars", mode="before")
    @classmethod
    def _split_avatars(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("compat_sample_rate")
    @classmethod
    def _check_rate(cls, value: int) -> int:
        if value not in SAMPLE_RATES:
            raise ValueError(f"one of {SAMPLE_RATES}")
        return value

    @model_validator(mode="after")
    def _says_what_clients_need(self) -> Self:
        if self.compat and not (self.app_id and self.avatar_id):
            raise ValueError("RELAY_COMPAT needs SPATIUS_APP_ID and SPATIUS_AVATAR_ID: clients load them")
        return self
