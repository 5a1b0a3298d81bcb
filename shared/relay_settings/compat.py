"""Settings of the gateway's door for the vendor's official clients."""

from typing import Self

from pydantic import Field, model_validator

from relay_settings.vendor import VendorSettings


class CompatSettings(VendorSettings):
    """``/ws/agent`` and what its clients read besides."""

    compat: bool = Field(
        False,
        description="Serve the vendor's official clients: /ws/agent, /ws/host, /api/config and /healthz.",
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
        ge=8000,
        le=48000,
        description="Rate these clients play at; conversations with another are refused at /ws/agent.",
    )

    @model_validator(mode="after")
    def _says_what_clients_need(self) -> Self:
        if self.compat and not (self.app_id and self.avatar_id):
            raise ValueError("RELAY_COMPAT needs SPATIUS_APP_ID and SPATIUS_AVATAR_ID: clients load them")
        return self
