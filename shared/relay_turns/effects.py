"""Effects: decisions of the turn machine, as values for its caller to perform."""

from typing import NamedTuple

from relay_wire.frame import Kind


class Publish(NamedTuple):
    """Append a frame to the conversation."""

    kind: Kind
    turn: int
    payload: bytes
    media_ms: int
    end: bool = False


class SendAudio(NamedTuple):
    """Send audio of a turn to Motion Server; with ``end`` the request is complete."""

    turn: int
    pcm: bytes
    end: bool


class Abandon(NamedTuple):
    """End the turn's motion request and discard its unsent audio: no more of its motion is published."""

    turn: int
    overdue: bool = False
    """Motion Server has not sent an answer that is due: its session is closed, too."""


class Discard(NamedTuple):
    """Count an input that may not be published."""

    what: str
    reason: str


DISCARDS = {
    "audio": ("not_admitted", "repeated", "empty"),
    "motion": ("too_large", "other_turn", "audio_only", "after_end", "before_audio", "empty"),
    "playback": ("other_turn", "too_many"),
}
"""The inputs that can be discarded, and the reasons."""

Effect = Publish | SendAudio | Abandon | Discard


class Deferred(NamedTuple):
    """Answer to audio of a turn that may not begin yet. Nothing has changed: offer the audio again later."""

    turn: int
