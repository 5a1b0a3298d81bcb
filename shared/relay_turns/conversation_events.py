"""Conversation events: which events the outbox gets with which frames of a conversation; pure.

- ``turn.ended`` with the frame ``turn_ended``. Its numbers of bytes and frames are those of the whole turn,
  since the checkpoint carries them from owner to owner. Its times are those that the last owner has seen.
- ``conversation.degraded`` with the frame ``audio_only``, once until motion is back.
- ``conversation.recovered`` with the first motion of a later turn.
- ``conversation.ended`` with the frame ``conversation_ended``.

The motion of clips does not come from Motion Server, so it shows neither a loss nor a recovery.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from relay_turns.effects import Publish
from relay_turns.state import TurnState
from relay_wire import events
from relay_wire.frame import Kind

Line = Mapping[str, object]
"""The fields of a turn that has ended, as ``TurnTimeline.line``."""
FrameEvent = tuple[int, str, bytes]
"""An event: the index of its frame, its type, and its data as JSON."""

_OF_LINE: Final = (
    "reason",
    "source",
    "input_s",
    "waited_ms",
    "first_audio_ms",
    "first_motion_ms",
    "motion_lead_min_ms",
    "motion_session_s",
    "motion_credits",
)
"""What ``turn.ended`` has of a turn's line."""


class ConversationEvents:
    """The events of one conversation, for as long as one worker owns it.

    Args:
        state: The former owner's.
        sample_rate: Of the audio.
        enabled: Whether there are any: without jobs there are none, and the state stays as it is.
        recorded: Whether the conversation is recorded: its ends of turns, and its own, carry that.
    """

    def __init__(self, state: TurnState, *, sample_rate: int, enabled: bool, recorded: bool = False) -> None:
        self._enabled = enabled
        self._recorded = {"recorded": True} if recorded else {}
        self._sample_rate = sample_rate
        self._turn = state.turn
        self._frames = state.frames
        self._audio_bytes = state.audio_bytes
        self._motion_bytes = state.motion_bytes
        self._owner_changes = state.owner_changes + (state.phase == "speaking")
        self._degraded = state.degraded

    def record(
        self, state: TurnState, publishes: Sequence[Publish], lines: Mapping[int, Line]
    ) -> tuple[TurnState, Sequence[FrameEvent]]:
        """Record frames that are about to be appended.

        Args:
            state: The turn machine's, after them.
            publishes: The frames.
            lines: By turn, the fields of those that end with one of the frames.

        Returns:
            The state to store with the frames, and their events.
        """
        if not self._enabled:
            return state, ()
        found: list[FrameEvent] = []
        for index, publish in enumerate(publishes):
            if publish.turn:
                self._count(publish)
            if publish.kind is Kind.EVENT:
                found += self._of_event(index, publish, state, lines)
            elif publish.kind is Kind.MOTION and publish.payload and self._degraded and not state.rendered:
                self._degraded = False
                found.append(_event(index, "conversation.recovered", {"turn": publish.turn}))
        if state.turn != self._turn:
            return replace(state, degraded=self._degraded), found
        if state.turn == self._turn and state.owner_changes != self._owner_changes:
            self._owner_changes = state.owner_changes + (state.phase == "speaking")
        stored = replace(state, frames=self._frames, motion_bytes=self._motion_bytes, degraded=self._degraded)
        return stored, found

    def _count(self, publish: Publish) -> None:
        if publish.turn != self._turn:
            self._turn = publish.turn
            self._frames = self._audio_bytes = self._motion_bytes = self._owner_changes = 0
        self._frames += 1
        if publish.kind is Kind.AUDIO:
            self._audio_bytes += len(publish.payload)
        elif publish.kind is Kind.MOTION:
            self._motion_bytes += len(publish.payload)

    def _of_event(
        self, index: int, publish: Publish, state: TurnState, lines: Mapping[int, Line]
    ) -> Sequence[FrameEvent]:
        match events.decode(publish.payload):
            case events.TurnEnded(outcome):
                return (_event(index, "turn.ended", self._turn_ended(outcome, lines.get(publish.turn, {}))),)
            case events.AudioOnly(reason) if not (self._degraded or state.rendered):
                self._degraded = True
                return (_event(index, "conversation.degraded", {"turn": publish.turn, "reason": reason}),)
            case events.ConversationEnded(reason):
                return (
                    _event(
                        index, "conversation.ended", {"reason": reason, "turns": self._turn, **self._recorded}
                    ),
                )
            case _:
                return ()

    def _turn_ended(self, outcome: str, line: Line) -> dict[str, object]:
        return {
            "turn": self._turn,
            "outcome": outcome,
            "sample_rate": self._sample_rate,
            "audio_s": round(self._audio_bytes / (2 * self._sample_rate), 3),
            "audio_bytes": self._audio_bytes,
            "motion_bytes": self._motion_bytes,
            "frames": self._frames,
            "owner_changes": self._owner_changes,
            **{name: line[name] for name in _OF_LINE if name in line},
            **self._recorded,
        }


def _event(index: int, kind: str, data: Mapping[str, object]) -> FrameEvent:
    return index, kind, msgspec.json.encode(data)
