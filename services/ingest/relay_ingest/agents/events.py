"""What an agent hears of."""

from typing import NamedTuple

from relay_wire.uplink import ClipRequest, Microphone, Text

__all__ = ["ClipRequest", "Ended", "Event", "Interrupted", "Microphone", "Started", "Text"]


class Started(NamedTuple):
    """The first event: the agent has the conversation."""

    resumed: bool
    """Another worker had it before, with an agent of its own, whose memory is gone."""


class Interrupted(NamedTuple):
    """Somebody said stop: a viewer, the backend, or the agent itself.

    What was being said is over, also when it had not begun. It may come when nothing was.
    """

    reason: str


class Ended(NamedTuple):
    """The last event: the conversation is over."""

    reason: str


Event = Started | Text | Microphone | ClipRequest | Interrupted | Ended
