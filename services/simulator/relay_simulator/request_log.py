"""The request log: the answers to each request, for tests to compare with."""

from dataclasses import asdict, dataclass, field
from typing import Any

from relay_simulator.audio import AudioFormat


@dataclass(slots=True)
class RequestLog:
    """One request and its answers."""

    connection_id: str
    avatar_id: str
    req_id: str
    sample_rate: int
    audio_format: AudioFormat = AudioFormat.PCM
    audio_bytes: int = 0
    audio_sha256: str = ""
    """The digest of its audio so far, as it was received."""
    audio_ms: int = 0
    """Duration of the audio whose motion has been generated."""
    payloads: int = 0
    motion_bytes: int = 0
    ended: bool = False
    interrupted: bool = False
    playback_ms: int = 0
    """Duration played in the room; 0 without one."""
    payload_sha256: list[str] = field(default_factory=list)
    """The digest of each payload, in order."""

    def as_json(self) -> dict[str, Any]:
        """The JSON of the admin resource."""
        return asdict(self)
