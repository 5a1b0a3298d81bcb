"""Events: what an agent receives."""

from typing import NamedTuple

from relay_wire.uplink import ClipRequest, Microphone, Text

__all__ = ["ClipRequest", "Ended", "Event", "Interrupted", "Microphone", "Started", "Text"]


class Started(NamedTuple):
    """The first event: the agent runs."""

    resumed: bool
    """Whether another worker owned the conversation before; the memory of its agent is lost."""


class Interrupted(NamedTuple):
    """A viewer, the backend or the agent itself has interrupted.

    Speech that plays or waits has ended. It may arrive when there was none.
    """

    reason: str


class Ended(NamedTuple):
    """The last event: the conversation has ended."""

    reason: str


Event = Started | Text | Microphone | ClipRequest | Interrupted | Ended
