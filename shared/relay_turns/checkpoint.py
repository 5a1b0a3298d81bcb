"""Checkpoints: the turn machine's state, as one owner leaves it to the next."""

from enum import Enum

import msgspec


class Phase(Enum):
    """Where the conversation stands."""

    IDLE = "idle"
    SPEAKING = "speaking"
    """A turn's frames are being published."""
    PLAYING = "playing"
    """All of a turn's frames are out; viewers still play them."""
    CLOSED = "closed"


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the next owner must know to go on. It travels with the frames, in the same atomic write."""

    turn: int = 0
    phase: Phase = Phase.IDLE
    cancelled: int = 0
    interrupted: int = 0
    audio_bytes: int = 0
    offset: int = 0
    audio_ended: bool = False
    motion_ended: bool = False
    audio_only: bool = False
    switch_due: str = ""
    failed: bool = False
    playing_ms: int = 0

    def encode(self) -> bytes:
        """Write it as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Checkpoint":
        """Read what ``encode`` wrote; nothing is the state of a new conversation.

        Raises:
            msgspec.MsgspecError: The bytes are something else.
        """
        return msgspec.json.decode(data, type=cls) if data else cls()
