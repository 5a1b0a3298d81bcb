"""Settings of control."""

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from relay_settings.base import named
from relay_settings.clips import ClipSettings
from relay_settings.host import Host
from relay_settings.origins import normalised
from relay_settings.process import ProcessSettings
from relay_settings.recordings import RecordingSettings
from relay_settings.tokens import TokenSettings
from relay_settings.uplink import UplinkSettings
from relay_settings.vendor import VendorAccountSettings
from relay_settings.websockets import WebSocketSettings


class ControlSettings(
    ProcessSettings,
    UplinkSettings,
    ClipSettings,
    RecordingSettings,
    TokenSettings,
    VendorAccountSettings,
    WebSocketSettings,
):
    """Control: the API for the app's backend."""

    control_host: Host = Field("127.0.0.1", description="Address for backends; :: or 0.0.0.0 opens it.")
    control_port: int = Field(8081, ge=0, le=65535, description="Port for backends; 0 takes a free one.")
    api_keys: tuple[SecretStr, ...] = named(
        "RELAY_API_KEYS",
        "Entries of the backends' API keys, as <id>:<sha256>:<scopes>, comma-separated; "
        "`avatar-relay keys new` makes one.",
        min_length=1,
    )
    key_requests_per_s: float = Field(
        50.0, gt=0, description="Requests per second with one key, with RELAY_KEY_REQUESTS_BURST; else 429."
    )
    key_requests_burst: int = Field(500, ge=1, description="Requests with one key at once.")
    key_conversations: int = Field(
        10_000, ge=1, description="Conversations of one key that have not ended; else 429."
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="Origins whose pages may read control's responses, written as in RELAY_ORIGINS but with"
        " each port listed; empty: none.",
    )
    session_tokens: bool = Field(
        False, description="Serve the vendor's session tokens to Direct Mode clients: /api/session-token."
    )
    session_token_ttl_s: int = Field(
        3300, ge=60, le=86_400, description="Life of a session token, at most a day."
    )
    session_tokens_for_listeners: bool = Field(
        False, description="Give them to viewer tokens with the role listen, too: each is a billed session."
    )
    session_tokens_per_minute: float = Field(
        6.0,
        gt=0,
        description="Session tokens for the viewers of one conversation, with RELAY_SESSION_TOKENS_BURST.",
    )
    session_tokens_burst: int = Field(
        10, ge=1, description="Session tokens for the viewers of one conversation at once."
    )
    vendor_timeout_s: float = Field(10.0, gt=0, description="Longest wait for a session token of the vendor.")
    gateway_url: str = Field(
        "ws://127.0.0.1:8080", description="Where viewers connect, as control returns it to backends."
    )
    token_ttl_s: int = Field(
        300, ge=10, le=86_400, description="Life of a viewer token, unless the request has another."
    )
    max_turn_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Largest body of a turn; a larger one is refused with 413."
    )
    max_bodies_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024,
        description="Most bytes of request bodies held at once; a further body is refused with 503.",
    )
    body_timeout_s: float = Field(
        60.0, gt=0, description="How long a whole body may take to arrive; then 408."
    )
    control_max_message_bytes: int = Field(
        8 * 1024 * 1024, ge=4096, description="Largest message on the audio socket."
    )
    max_speakers: int = Field(
        1000, ge=1, description="Audio sockets at a control process; further ones are refused with 503."
    )
    speech_queue_bytes: int = Field(
        4 * 1024 * 1024,
        ge=64 * 1024,
        description="Most speech that waits at an audio socket; at the limit the socket is not read.",
    )
    max_hold_s: float = Field(
        300.0, ge=0, description="How long after its last audio a silent speaker may hold a turn open."
    )
    audio_join_ms: int = Field(
        40,
        ge=0,
        le=1000,
        description="How long a piece of live speech shorter than RELAY_AUDIO_CHUNK_MS waits for the next,"
        " to be joined with it.",
    )
    audio_chunk_ms: int = Field(
        100,
        ge=10,
        le=1000,
        description="Audio per frame of a turn that is posted whole, or arrives in shorter pieces.",
    )
    speech_tail_bytes: int = Field(
        1024 * 1024,
        ge=0,
        description="Audio that control keeps per turn, to append it again if Redis loses it in a fail-over.",
    )

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _normalise(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(map(normalised, value))
        for origin in origins:
            if origin.endswith(":*"):
                raise ValueError(f"{origin!r}: list each port")
        return origins

    @model_validator(mode="after")
    def _can_ask_the_vendor(self) -> Self:
        if self.session_tokens and not (self.vendor_api_key and self.app_id):
            raise ValueError("RELAY_SESSION_TOKENS needs SPATIUS_API_KEY and SPATIUS_APP_ID")
        return self
