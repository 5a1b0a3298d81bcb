"""Settings of the simulator."""

from pydantic import Field

from relay_settings.process import ProcessSettings


class SimulatorSettings(ProcessSettings):
    """The simulator: stands in for the vendor's Console API and Motion Server."""

    simulator_host: str = Field("127.0.0.1", description="Address of the stand-in; it has no real secrets.")
    simulator_port: int = Field(8090, ge=0, le=65535, description="Its port; 0 takes a free one.")
    simulator_seed: int = Field(
        1, description="Decides the motion bytes, together with the request id and the audio."
    )
    simulator_speed: float = Field(
        1.0, gt=0, description="How many times faster than the vendor's observed timing; bytes do not change."
    )
    simulator_accepted_key: str = Field(
        "", description="API key the Console stand-in takes; empty takes any. It guards nothing real."
    )
    simulator_avatars: str = Field(
        "", description="Avatar ids that exist, comma-separated; empty: every id exists."
    )
    simulator_seats: int = Field(
        1000, ge=1, description="Motion sessions open at once, as a plan limits them."
    )
