"""State of the turn machine: the checkpoint for the next owner, and the state of the current owner alone."""

import msgspec

from relay_turns.phase import InputState, Phase


class TurnState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The conversation's turns up to now. It is the checkpoint: stored as it is, in the frames' atomic write.

    A field with a default belongs to one turn unless ``begin`` carries it over: the next turn begins with the
    default, and every owner continues with the stored value. The names are those of the stored JSON.
    """

    turn: int = 0
    """The turn that began last, 0 before the first."""
    phase: Phase = "idle"
    cancelled: int = 0
    """The greatest turn that an interrupt cancelled. Carried over: it may be a turn that has not begun."""
    interrupted: int = 0
    """The last turn whose interrupt was published. Carried over."""
    audio_bytes: int = 0
    """Published audio of the turn."""
    offset: int = 0
    """Where the turn's next chunk begins, in bytes: after lost audio it is ahead of ``audio_bytes``."""
    audio_ended: bool = False
    motion_ended: bool = False
    audio_only: bool = False
    """The turn continues without motion."""
    switch_due: str = ""
    """Why the turn is to become audio-only after its first audio: audio comes before the switch."""
    rendered: bool = False
    """Each chunk of the turn has the motion of its audio: Motion Server is not asked for any."""
    failed: bool = False
    """Audio of the turn is missing."""
    owner_changes: int = 0
    """Owners of the turn before the current one."""
    playing_ms: int = 0
    """How long viewers were still going to play when the turn ended."""
    trace: str = ""
    """The encoded trace context of the turn's first speech; empty: it came with none."""
    frames: int = 0
    """Frames of the turn; counted only for jobs."""
    motion_bytes: int = 0
    """Published motion of the turn; likewise."""
    degraded: bool = False
    """Motion was lost and has not come back since; recorded only for jobs. Carried over."""

    def begin(self, turn: int, *, rendered: bool = False, trace: str = "") -> "TurnState":
        """The state in which a turn begins."""
        return TurnState(
            turn,
            "speaking",
            cancelled=self.cancelled,
            interrupted=self.interrupted,
            rendered=rendered,
            trace=trace,
            degraded=self.degraded,
        )

    @property
    def input_state(self) -> InputState:
        """The state of the turn's audio."""
        if self.phase == "speaking" and not self.audio_ended:
            return "open"
        return "cut" if self.turn <= self.cancelled else "ended"

    @property
    def expects_motion(self) -> bool:
        """Whether motion of the turn may still be published."""
        return not (self.motion_ended or self.audio_only)

    @property
    def asks_motion(self) -> bool:
        """Whether that motion is to come from Motion Server."""
        return self.expects_motion and not self.rendered

    def motion_refusal(self, payload: bytes) -> str:
        """Why a motion payload of the turn may not be published now; empty: it may."""
        if self.audio_only:
            return "audio_only"
        if self.motion_ended:
            return "after_end"
        if self.audio_bytes == 0:
            return "before_audio"
        return "" if payload else "empty"

    def encode(self) -> bytes:
        """Write the checkpoint, as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "TurnState":
        """Read a checkpoint; an empty one is the state of a new conversation.

        Raises:
            ValueError: The bytes are not a checkpoint.
            RecursionError: They are nested too deeply to be read.
        """
        return msgspec.json.decode(data, type=cls) if data else cls()

    @classmethod
    def restore(cls, data: bytes) -> "TurnState | None":
        """The state in a checkpoint; None when it cannot be read."""
        try:
            return cls.decode(data)
        except (ValueError, RecursionError):
            return None


class LocalState(msgspec.Struct):
    """State of the turn that only the current owner has: its motion request, and times on the owner's clock.

    A turn begins with a new one, and so does an owner.
    """

    request: str | None = None
    """The id of the turn's request at Motion Server."""
    motion_seen: bool = False
    unanswered_bytes: int = 0
    """Audio sent to Motion Server since its last motion."""
    answer_due: float | None = None
    """When motion must have arrived, if Motion Server owes any."""
    input_due: float | None = None
    """When the turn's next chunk must have arrived, if one is missing."""
    first_audio_at: float = 0.0
