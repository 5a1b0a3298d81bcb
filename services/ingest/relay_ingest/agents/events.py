"""Events: what an agent receives."""

from dataclasses import dataclass

from relay_wire.uplink import ClipRequest, Microphone, Priority, Text

__all__ = ["ClipRequest", "Ended", "Event", "Interrupted", "Microphone", "Started", "Text"]


class _Control:
    """An event that a full queue never drops."""

    __slots__ = ()
    priority = Priority.CONTROL
    size_bytes = 0
    is_interrupt = False


@dataclass(frozen=True, slots=True)
class Started(_Control):
    """The first event: the agent runs."""

    resumed: bool
    """Whether another worker owned the conversation before. The state of its agent is lost."""


@dataclass(frozen=True, slots=True)
class Interrupted(_Control):
    """A viewer, the backend or the agent itself has interrupted.

    Speech that plays or waits has ended. It may arrive when there was none.
    """

    is_interrupt = True
    reason: str


@dataclass(frozen=True, slots=True)
class Ended(_Control):
    """The last event: the conversation has ended."""

    reason: str


Event = Started | Text | Microphone | ClipRequest | Interrupted | Ended
