"""Settings of WebSockets: what keeps an idle one open."""

from pydantic import Field

from relay_settings.base import Settings


class WebSocketSettings(Settings):
    """The pings to viewers and speakers."""

    heartbeat_s: float = Field(
        25.0,
        gt=0,
        description="Interval of pings to a viewer, and to a speaker, where it is at least three times"
        " RELAY_UPLINK_WAIT_S; who does not answer in half of it is closed. At most half of the shortest"
        " idle time-out of a proxy.",
    )
