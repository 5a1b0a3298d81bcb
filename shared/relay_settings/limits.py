"""Settings of limits on viewers, and of the origins they may connect from."""

from pydantic import Field, field_validator

from relay_settings.base import Settings, listed
from relay_settings.origins import normalised


class LimitSettings(Settings):
    """Limits on viewers: how many, how often, how much, from where."""

    max_viewers: int = Field(20_000, ge=1, description="Viewers at a gateway; further ones get 503.")
    max_address_viewers: int = Field(
        2000, ge=1, description="Viewers at a gateway from one address (IPv6: one /64); further ones get 429."
    )
    max_conversation_viewers: int = Field(
        5000, ge=1, description="Viewers of one conversation at a gateway; further ones get 503."
    )
    requests_per_s: float = Field(
        100.0, gt=0, description="Requests per second from one address, with RELAY_REQUESTS_BURST; else 429."
    )
    requests_burst: int = Field(
        1000,
        ge=1,
        description="Requests from one address at once, as of an office that reconnects after an outage.",
    )
    messages_per_s: float = Field(
        200.0,
        gt=0,
        description="Frames per second from a viewer (messages, their fragments, pings); else it is closed"
        " with 4201.",
    )
    message_bytes_per_s: float = Field(
        256 * 1024,
        gt=0,
        description="Bytes of messages per second from a viewer; else it is closed with 4201.",
    )
    message_burst_s: float = Field(
        5.0, ge=1, description="How many seconds' worth of messages a viewer may send at once."
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=16,
        description="Proxies before the gateway that append to X-Forwarded-For; 0: the header is"
        " ignored, and a viewer's address is the one it connects from.",
    )
    origins: tuple[str, ...] = Field(
        (),
        description="Origins whose pages may open sockets, comma-separated, as https://app.example,"
        " capacitor://localhost or http://localhost:* for every port; * for any; null for pages from disk and"
        " sandboxed frames. Not checked: pages of the gateway's own host, requests with a token in a header.",
    )

    _origins_listed = field_validator("origins", mode="before")(listed)

    @field_validator("origins")
    @classmethod
    def _normalise(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(normalised, value))
