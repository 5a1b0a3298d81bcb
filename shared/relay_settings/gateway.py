"""Settings of the gateway."""

from typing import Self

from pydantic import Field, model_validator

from relay_settings.avatarkit import AvatarKitSettings
from relay_settings.host import Host
from relay_settings.limits import LimitSettings
from relay_settings.outbox import OutboxSettings
from relay_settings.process import ProcessSettings
from relay_settings.tokens import TokenSettings
from relay_settings.uplink import UplinkSettings
from relay_settings.websockets import WebSocketSettings


class GatewaySettings(
    ProcessSettings,
    UplinkSettings,
    OutboxSettings,
    TokenSettings,
    LimitSettings,
    AvatarKitSettings,
    WebSocketSettings,
):
    """The gateway: viewers' WebSockets."""

    gateway_host: Host = Field("127.0.0.1", description="Address for viewers; :: or 0.0.0.0 opens it.")
    gateway_port: int = Field(8080, ge=0, le=65535, description="Port for viewers; 0 takes a free one.")
    token_max_life_s: float = Field(
        12 * 3600.0,
        ge=0,
        description="How long tokens of an open socket are renewed, from a viewer's first token to the"
        " expiry of the last, if the gateway has a key that can sign; 0: not at all.",
    )
    client_buffer_bytes: int = Field(
        256 * 1024,
        ge=4096,
        description="Unsent bytes after which a viewer leaves live delivery and reads from its own cursor.",
    )
    client_notsent_bytes: int = Field(
        128 * 1024,
        ge=4096,
        description="Bytes that the kernel takes for a viewer beyond those on the wire (TCP_NOTSENT_LOWAT):"
        " urgent frames wait behind them, and behind RELAY_CLIENT_BUFFER_BYTES.",
    )
    slow_client_s: float = Field(
        20.0,
        gt=0,
        description="How long a viewer's full buffer may take to empty before it is closed as slow.",
    )
    store_outage_timeout_s: float = Field(
        60.0, gt=0, description="How long a viewer that is behind waits for Redis before it is closed."
    )
    ring_bytes: int = Field(
        1024 * 1024, ge=0, description="Recent frames kept in memory per conversation for quick resumes."
    )
    feed_linger_s: float = Field(
        5.0, ge=0, description="How long a conversation is still read after its last viewer here left."
    )
    gateway_poll_s: float = Field(
        2.0,
        gt=0,
        description="Interval of reads of a conversation without a notification; eight times as long when"
        " it has been silent for long.",
    )
    presence_s: float = Field(
        60.0,
        gt=0,
        description="Interval of writes that a conversation has viewers, and of checks that it has an"
        " owner; well below RELAY_CONVERSATION_IDLE_S.",
    )
    gateway_max_message_bytes: int = Field(
        64 * 1024, ge=1024, description="Largest message a viewer may send."
    )
    bad_messages: int = Field(8, ge=1, description="Malformed messages after which a viewer is closed.")

    @model_validator(mode="after")
    def _messages_fit_into_the_uplink(self) -> Self:
        if self.gateway_max_message_bytes > self.uplink_bytes * self.uplink_viewer_share:
            raise ValueError(
                "RELAY_GATEWAY_MAX_MESSAGE_BYTES must fit into RELAY_UPLINK_VIEWER_SHARE of"
                " RELAY_UPLINK_BYTES"
            )
        return self
