"""Turn: the facts about one turn that its frames show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypeVar

from relay_cli.explain.frames import StoredFrame
from relay_cli.explain.playback import Arrival, Stall, stalls
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.pcm import BYTES_PER_SAMPLE

MOTION_BYTES_PER_S = 20_000
"""Motion of one second of speech, where the turn itself does not show it."""
STALL_S = 0.1
"""Shorter stalls are within the buffer of a player."""

E = TypeVar("E", bound=events.Event)


class OwnerChange(NamedTuple):
    """A new owner within the turn."""

    before: StoredFrame
    """The last frame of the former owner."""
    first: StoredFrame
    """The first frame of the next one."""

    @property
    def seconds(self) -> float:
        """Time without a frame."""
        return self.first.published_at_s - self.before.published_at_s


class Missing(NamedTuple):
    """Positions between two frames that the stream does not have."""

    after: StoredFrame
    until: StoredFrame


@dataclass(frozen=True)
class Turn:
    """One turn.

    Args:
        number: The turn.
        frames: Its frames, and those outside any turn between them, in the order of the stream; at least one.
        sample_rate: Of its audio, in hertz.
        stored_at_s: When its first speech was stored, as the uplink shows; None where that is gone.
    """

    number: int
    frames: Sequence[StoredFrame]
    sample_rate: int
    stored_at_s: float | None = None

    @cached_property
    def started(self) -> StoredFrame | None:
        """Its first frame; None when it is trimmed."""
        return next(self.events_of(events.TurnStarted), (None, None))[0]

    @cached_property
    def received_at_s(self) -> float | None:
        """When its first speech was stored; None when that is not known."""
        for _, event in self.events_of(events.TurnStarted):
            if event.received_at_ms:
                return event.received_at_ms / 1000
        return self.stored_at_s

    @property
    def origin_s(self) -> float:
        """The wall time that the timeline counts from."""
        first_s = self.frames[0].published_at_s
        return first_s if self.received_at_s is None else min(first_s, self.received_at_s)

    @cached_property
    def audio(self) -> list[StoredFrame]:
        """Audio frames, the END frame included."""
        return [frame for frame in self.frames if frame.kind is Kind.AUDIO]

    @cached_property
    def motion(self) -> list[StoredFrame]:
        """Motion frames with a payload."""
        return [frame for frame in self.frames if frame.kind is Kind.MOTION and frame.payload_bytes]

    @cached_property
    def audio_end(self) -> StoredFrame | None:
        """The END frame of audio."""
        return next((frame for frame in self.audio if frame.is_end), None)

    @cached_property
    def audio_only(self) -> StoredFrame | None:
        """The event that the turn continues without motion."""
        return next(self.events_of(events.AudioOnly), (None, None))[0]

    @cached_property
    def ended(self) -> tuple[StoredFrame, events.TurnEnded] | None:
        """The end of the turn; None while it is under way."""
        return next(self.events_of(events.TurnEnded), None)

    @cached_property
    def owner_changes(self) -> list[OwnerChange]:
        """New owners within the turn."""
        return [
            OwnerChange(before, frame)
            for before, frame in pairwise(self.frames)
            if frame.position.generation != before.position.generation
        ]

    @cached_property
    def missing(self) -> list[Missing]:
        """Where the positions do not follow each other."""
        return [
            Missing(before, frame)
            for before, frame in pairwise(self.frames)
            if not events.follows(before.position, frame.position, frame.event)
        ]

    @property
    def audio_s(self) -> float:
        """Audio published, in seconds."""
        return self.audio_bytes / (BYTES_PER_SAMPLE * self.sample_rate)

    @property
    def audio_played_at_s(self) -> float | None:
        """When a player has played all audio at the earliest; None before there is any."""
        if not self.audio:
            return None
        stalled_s = sum(stall.seconds for stall in self.audio_stalls)
        return self.audio[0].published_at_s + self.audio_s + stalled_s

    @property
    def audio_bytes(self) -> int:
        """Audio published."""
        return sum(frame.payload_bytes for frame in self.audio)

    @property
    def motion_bytes(self) -> int:
        """Motion published."""
        return sum(frame.payload_bytes for frame in self.motion)

    @cached_property
    def audio_stalls(self) -> list[Stall]:
        """Where a player had no audio left."""
        return stalls(
            (Arrival(frame.published_at_s, self.duration_s(frame)) for frame in self.audio), least_s=STALL_S
        )

    @cached_property
    def motion_stalls(self) -> list[Stall]:
        """Where a player had no motion left; one that ended with the switch to audio included."""
        arrivals = [Arrival(frame.published_at_s, self.motion_s(frame)) for frame in self.motion]
        if arrivals and self.audio_only:
            arrivals.append(Arrival(self.audio_only.published_at_s, 0.0))
        return stalls(arrivals, least_s=STALL_S)

    @cached_property
    def leads(self) -> list[float]:
        """At each motion payload, the media time of motion so far less the time since the first audio.

        In seconds; negative where motion was late.
        """
        if not self.audio:
            return []
        found, so_far_s = [], 0.0
        for frame in self.motion:
            so_far_s += self.motion_s(frame)
            elapsed_s = frame.published_at_s - self.audio[0].published_at_s
            found.append(so_far_s - elapsed_s)
        return found

    @cached_property
    def traceparent(self) -> str:
        """The trace context of its frames; empty when it is not sampled."""
        return next((frame.traceparent for frame in self.frames if frame.traceparent), "")

    def events_of(self, kind: type[E]) -> "Iterator[tuple[StoredFrame, E]]":
        """Events of a kind, with their frames."""
        return ((frame, frame.event) for frame in self.frames if isinstance(frame.event, kind))

    def duration_s(self, audio: StoredFrame) -> float:
        """How long an audio frame plays."""
        return audio.payload_bytes / (BYTES_PER_SAMPLE * self.sample_rate)

    def motion_s(self, frame: StoredFrame) -> float:
        """How long a motion frame plays."""
        return frame.payload_bytes / self._motion_bytes_per_s

    @cached_property
    def _motion_bytes_per_s(self) -> float:
        """Measured over a turn whose motion is complete: it is as long as the audio then."""
        is_complete = bool(self.started and self.motion and self.motion[-1].is_end and self.audio_end)
        if is_complete and self.audio_s:
            return self.motion_bytes / self.audio_s
        return MOTION_BYTES_PER_S


def of_turn(number: int, frames: Sequence[StoredFrame]) -> list[StoredFrame]:
    """The frames from the first of a turn to its last, those outside any turn between them included."""
    indexes = [index for index, frame in enumerate(frames) if frame.turn == number]
    return list(frames[indexes[0] : indexes[-1] + 1]) if indexes else []
