"""Turns: what a viewer received of a turn, and its comparison with what was spoken. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay_wire import events
from relay_wire.frame import Frame, Kind, encode

_KEPT_OUTCOMES = ("complete", "audio_only")
"""Nobody interrupts a turn of the verification: every other outcome is a loss."""


@dataclass(frozen=True)
class SpokenTurn:
    """A turn that the relay has accepted."""

    number: int
    audio_bytes: int
    audio_sha256: str

    @classmethod
    def of(cls, number: int, pcm: bytes) -> "SpokenTurn":
        """The turn of this audio."""
        return cls(number, len(pcm), hashlib.sha256(pcm).hexdigest())


@dataclass
class ReceivedTurn:
    """One turn as one viewer received it, each frame once."""

    audio_bytes: int = 0
    audio_ends: int = 0
    motion: list[str] = field(default_factory=list)
    """The digests of its motion payloads."""
    outcome: str = ""
    order: list[str] = field(default_factory=list)
    """Kinds of frames and types of events as they arrived; equal neighbours once."""

    def __post_init__(self) -> None:
        self._audio = hashlib.sha256()
        self._frames = hashlib.sha256()

    @property
    def audio_sha256(self) -> str:
        """The digest of its audio."""
        return self._audio.hexdigest()

    @property
    def frames_sha256(self) -> str:
        """The digest of its frames up to its end, their headers included.

        An event may follow the end: one viewer receives it before the turns are compared, another one after.
        """
        return self._frames.hexdigest()

    @property
    def is_audio_only(self) -> bool:
        """Whether it continued without motion."""
        return self.outcome == "audio_only"

    def add(self, frame: Frame, event: events.Event | events.Unknown | None) -> None:
        """Append the next frame.

        Args:
            frame: The frame.
            event: The event in it; None when it has another kind.
        """
        if not self.outcome:
            self._frames.update(encode(frame))
        if frame.kind is Kind.AUDIO:
            self._audio.update(frame.payload)
            self.audio_bytes += len(frame.payload)
            self.audio_ends += frame.is_end
            self._note("audio")
        elif frame.kind is Kind.MOTION:
            if frame.payload:
                self.motion.append(hashlib.sha256(frame.payload).hexdigest())
            self._note("motion" if frame.payload else "switch to audio only")
        elif event is not None:
            if isinstance(event, events.TurnEnded):
                self.outcome = event.outcome
                self.order.append("turn_ended")
            elif isinstance(event, events.TurnStarted):
                self.order.append("turn_started")

    def _note(self, what: str) -> None:
        if self.order[-1:] != [what]:
            self.order.append(what)


def breaches(
    turn: ReceivedTurn, spoken: SpokenTurn, answers: Sequence[Sequence[str]] | None = None
) -> list[str]:
    """What is wrong with a turn; empty when it is whole.

    Args:
        turn: The turn as a viewer received it, up to its end.
        spoken: What was spoken.
        answers: Motion that the simulator has sent for this audio: the digests of each answer's payloads;
            None when it is unknown.
    """
    found = _order(turn)
    if (turn.audio_bytes, turn.audio_sha256) != (spoken.audio_bytes, spoken.audio_sha256):
        found.append(f"its audio of {turn.audio_bytes} bytes is not the {spoken.audio_bytes} bytes sent")
    if turn.outcome not in _KEPT_OUTCOMES:
        found.append(f"it ended as {turn.outcome or 'nothing'}")
    if turn.outcome == "complete" and not turn.motion:
        found.append("it is complete without motion")
    if answers is not None and not _is_answer(turn, answers):
        found.append(f"its {len(turn.motion)} motion payloads are not those that the simulator sent")
    return found


def _order(turn: ReceivedTurn) -> list[str]:
    order = turn.order
    found = []
    if order[:1] != ["turn_started"] or order.count("turn_started") != 1:
        found.append("turn_started is not its first frame, or not its only one")
    if order[-1:] != ["turn_ended"] or order.count("turn_ended") != 1:
        found.append("turn_ended is not its last frame, or not its only one")
    if turn.audio_ends != 1:
        found.append(f"{turn.audio_ends} audio frames have END")
    media = [what for what in order if not what.startswith("turn_")]
    if media[:1] == ["motion"]:
        found.append("motion is before audio")
    if "switch to audio only" in media and "motion" in media[media.index("switch to audio only") :]:
        found.append("motion follows the switch to audio only")
    return found


def _is_answer(turn: ReceivedTurn, answers: Sequence[Sequence[str]]) -> bool:
    if turn.outcome == "complete":
        return turn.motion in [list(answer) for answer in answers]
    return any(list(answer[: len(turn.motion)]) == turn.motion for answer in answers) or not turn.motion
