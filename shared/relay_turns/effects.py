"""Effects: what the turn machine decides and its shell performs."""

from typing import NamedTuple

from relay_wire.frame import Kind


class Publish(NamedTuple):
    """Append a frame to the conversation."""

    kind: Kind
    turn: int
    payload: bytes
    media_ms: int
    end: bool = False


class Speak(NamedTuple):
    """Send audio of a turn to Motion Server; with ``end`` the request is complete."""

    turn: int
    pcm: bytes
    end: bool


class Abandon(NamedTuple):
    """Nothing more of this turn's motion is wanted: end its request, drop what waits to be sent."""

    turn: int
    overdue: bool = False
    """Motion Server owed an answer and did not give it: its session is not to be trusted either."""


class Discard(NamedTuple):
    """Something arrived that may not be published. Count it."""

    what: str
    reason: str


DISCARDS = {
    "audio": ("not_admitted", "repeated", "empty"),
    "motion": ("too_large", "other_turn", "audio_only", "after_end", "before_audio", "empty"),
    "playback": ("other_turn", "too_many"),
}
"""What can be discarded, and why."""

Effect = Publish | Speak | Abandon | Discard
