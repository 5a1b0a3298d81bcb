"""The request log: what was answered to each request. The truth that tests compare with."""

from dataclasses import asdict, dataclass, field
from typing import Any

from relay_simulator.audio import AudioFormat


@dataclass(slots=True)
class RequestLog:
    """What was answered to one request."""

    connection_id: str
    avatar_id: str
    req_id: str
    sample_rate: int
    audio_format: AudioFormat = AudioFormat.PCM
    audio_bytes: int = 0
    audio_ms: int = 0
    """How long the audio sounds that motion was made of."""
    payloads: int = 0
    motion_bytes: int = 0
    ended: bool = False
    interrupted: bool = False
    playback_ms: int = 0
    """How much of it has sounded in the room; 0 without one."""
    payload_sha256: list[str] = field(default_factory=list)
    """Of each payload, whole, in order."""

    def shown(self) -> dict[str, Any]:
        """For the admin resource."""
        return asdict(self)
