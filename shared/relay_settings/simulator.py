"""Settings of the simulator."""

from pydantic import Field

from relay_settings.host import Host
from relay_settings.process import ProcessSettings


class SimulatorSettings(ProcessSettings):
    """The simulator: stands in for the vendor's Console API and Motion Server."""

    simulator_host: Host = Field("127.0.0.1", description="Address of the simulator; it has no real secrets.")
    simulator_port: int = Field(
        8090, ge=0, le=65535, description="Port of the simulator; 0 takes a free one."
    )
    simulator_seed: int = Field(
        1, description="Decides the motion bytes, together with the request id and the audio."
    )
    simulator_speed: float = Field(
        1.0, gt=0, description="How many times faster than the vendor's observed timing; bytes do not change."
    )
    simulator_accepted_key: str = Field(
        "", description="API key that the simulated Console accepts; empty: any. It protects nothing real."
    )
    simulator_avatars: str = Field(
        "", description="Avatar ids that exist, comma-separated; empty: every id exists."
    )
    simulator_seats: int = Field(
        1000, ge=1, description="Motion sessions open at once, as a plan limits them."
    )
    simulator_connect_s: float = Field(
        0.3, ge=0, description="Time from a session's first message to its confirmation, at speed 1."
    )
    simulator_handshake_s: float = Field(
        10.0, gt=0, description="How long a connection may take to send its first message; then it is closed."
    )
    simulator_idle_s: float = Field(
        300.0,
        ge=0,
        description="Time without audio input after which a session is ended, at speed 1; 0: never.",
    )
    simulator_session_s: float = Field(
        600.0,
        ge=0,
        description="Longest session, at speed 1, as the vendor's smallest plan has it; 0: no limit.",
    )
    simulator_token_expiry: bool = Field(
        True, description="End a session when its token expires; off: tokens count for new sessions only."
    )
    simulator_message_bytes: int = Field(
        16 * 1024 * 1024, ge=1024, description="Largest message taken; a larger one closes with 1009."
    )
    simulator_room_s: float = Field(
        3.0, gt=0, description="How long a room's server may take for each step of joining, and for a call."
    )
