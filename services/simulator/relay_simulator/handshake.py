"""The handshake: reads and checks the configuration of a session (facts 1.4.3, 1.13)."""

from dataclasses import dataclass
from typing import Any

from relay_simulator import egress, messages
from relay_simulator.audio import RATES, AudioFormat
from relay_simulator.egress import INVALID_ARGUMENT, Egress, Refusal

_FORMATS = tuple(AudioFormat)
"""The protocol's numbers are the positions here."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a session."""

    audio_format: AudioFormat
    sample_rate: int
    egress: Egress


def read(message: Any) -> Configuration:
    """Read and check the first message of a client.

    Args:
        message: The parsed message; None if it could not be parsed.

    Raises:
        Refusal: It is not a configuration, or not one that Motion Server accepts.
    """
    if message is None or message.type != messages.CONFIGURE_SESSION:
        raise Refusal(INVALID_ARGUMENT, "expected ClientConfigureSession message")
    configure = message.client_configure_session
    if configure.audio_format not in range(len(_FORMATS)):
        raise Refusal(INVALID_ARGUMENT, f"unsupported audio format {configure.audio_format}")
    audio_format = _FORMATS[configure.audio_format]
    if configure.sample_rate not in RATES[audio_format]:
        raise Refusal(INVALID_ARGUMENT, f"unsupported sample rate {configure.sample_rate}")
    return Configuration(audio_format, configure.sample_rate, egress.read(configure))
