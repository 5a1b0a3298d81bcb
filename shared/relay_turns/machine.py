"""The turn machine: decides what may be published when, and what Motion Server is told.

Pure: no I/O, no clock, no task. Every input that depends on time takes ``now``, in seconds of any
clock that only goes forward. Every input returns the effects to perform, in order.

The rules it keeps, whatever happens in whatever order:

- audio of a turn comes before any motion of it;
- every turn that starts has exactly one END audio and exactly one ``turn_ended``, in every outcome;
- motion of another turn, of a cancelled turn, or after the motion's own end is discarded and counted;
- an empty motion payload is published only as the switch to audio-only, and no motion follows it;
- a turn whose motion does not come in time goes on as audio;
- a turn waits until the one before it has finished playing, unless it barges in: until the end computed
  from its audio, and longer while a viewer reports that it is behind. No report ends it for the others;
- an interrupt of the last turn is published once, whatever the clock says, since viewers may still hear
  it; only an interrupt can follow a turn's ``turn_ended``, and nothing of a later turn precedes it;
- what is sent to Motion Server is never paced: audio goes on as it comes.
"""

from enum import Enum
from typing import Literal

import msgspec

from relay_turns.checkpoint import Checkpoint, Phase
from relay_turns.effects import Abandon, Discard, Effect, Publish, Speak
from relay_wire import events
from relay_wire.frame import MAX_MOTION_BYTES, Kind
from relay_wire.pcm import duration_ms
from relay_wire.playback import Playback, PlaybackLimits
from relay_wire.position import Position

BARGE_IN = "barge_in"
"""The reason of an interrupt by a turn that barges in."""
InputState = Literal["open", "ended", "cut"]
"""A turn's audio: still coming, complete, or cancelled."""


class Admission(Enum):
    """What happens to audio of a turn if it is offered now."""

    NOW = "now"
    LATER = "later"
    """The turn before it is still speaking or playing: offer it again after the next change."""
    NEVER = "never"
    """The turn is over or was cancelled before it began."""


class Rules(msgspec.Struct, frozen=True):
    """The machine's settings. Times are in seconds, sizes of audio in milliseconds."""

    sample_rate: int
    first_motion_timeout_s: float = 5.0
    """From enough audio for a first window until the first motion."""
    motion_stall_timeout_s: float = 10.0
    """From enough audio for a further window, or the end of input, until the next motion."""
    input_timeout_s: float = 30.0
    """From one chunk of a turn to the next."""
    playback: PlaybackLimits = PlaybackLimits(grace_s=0.5, report_s=10.0, viewers=64)
    """How long a turn is waited for that is out, but still played."""
    first_window_ms: int = 500
    """Audio Motion Server wants before it answers at first (facts 3 and 12)."""
    next_window_ms: int = 4000
    """Audio after which an answer is surely due: twice the window seen (facts 3)."""


class TurnMachine:
    """The turns of one conversation, during one owner's term.

    Args:
        rules: The settings.
        checkpoint: Where the owner before this one left off.
    """

    def __init__(self, rules: Rules, checkpoint: Checkpoint | None = None) -> None:
        was = checkpoint or Checkpoint()
        self.turn = was.turn
        self.phase = was.phase
        self._rules = rules
        self._cancelled = was.cancelled
        self._interrupted = was.interrupted
        self._audio_bytes = was.audio_bytes
        # Where the turn's next chunk begins: after a hole it is ahead of the bytes published.
        self._offset = was.offset
        self._audio_ended = was.audio_ended
        self._motion_ended = was.motion_ended
        self._motion_seen = False
        self._audio_only = was.audio_only
        # An audio-only switch decided before the turn's first audio waits for it: audio comes first.
        self._switch_due = was.switch_due
        self._failed = was.failed
        self._playing_ms = was.playing_ms
        self._request: str | None = None
        self._unanswered_bytes = 0
        self._answer_due: float | None = None
        self._input_due: float | None = None
        self._first_audio_at = 0.0
        self._playback = self._play(0.0)

    # --- what the shell asks -------------------------------------------------------------------

    def admission(self, turn: int, *, barge_in: bool = False) -> Admission:
        """Whether audio of this turn may be given to ``audio`` now."""
        if self.phase is Phase.CLOSED or turn <= self._cancelled or turn < self.turn:
            return Admission.NEVER
        if turn == self.turn:
            return Admission.NOW if self.input_state == "open" else Admission.NEVER
        return Admission.NOW if barge_in or self.phase is Phase.IDLE else Admission.LATER

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do, if nothing else happens; None when nothing waits."""
        if self.phase is Phase.PLAYING:
            return self._playback.ends_at
        if self.phase is not Phase.SPEAKING:
            return None
        return min((due for due in (self._input_due, self._answer_due) if due is not None), default=None)

    @property
    def offset(self) -> int:
        """Bytes of the turn's audio that were taken."""
        return self._offset

    @property
    def input_state(self) -> InputState:
        """What became of the turn's audio."""
        if self.phase is Phase.SPEAKING and not self._audio_ended:
            return "open"
        return "cut" if self.turn <= self._cancelled else "ended"

    def checkpoint(self) -> Checkpoint:
        """The state after the effects returned so far."""
        return Checkpoint(
            turn=self.turn,
            phase=self.phase,
            cancelled=self._cancelled,
            interrupted=self._interrupted,
            audio_bytes=self._audio_bytes,
            offset=self._offset,
            audio_ended=self._audio_ended,
            motion_ended=self._motion_ended,
            audio_only=self._audio_only,
            switch_due=self._switch_due,
            failed=self._failed,
            playing_ms=self._playing_ms,
        )

    # --- inputs --------------------------------------------------------------------------------

    def begin_term(self, now: float, after: Position) -> list[Effect]:
        """This owner takes over: the first input, once. A turn that was being spoken goes on as audio."""
        effects: list[Effect] = [self._event(events.OwnerChanged(after=str(after)), turn=0)]
        if self.phase is Phase.PLAYING:
            self._playback = self._play(now)
        elif self.phase is Phase.SPEAKING:
            self._first_audio_at = now
            self._input_due = None if self._audio_ended else now + self._rules.input_timeout_s
            effects += self._without_motion(now, "owner_changed")
        return effects

    def audio(
        self,
        now: float,
        turn: int,
        pcm: bytes,
        *,
        offset: int | None = None,
        end: bool = False,
        barge_in: bool = False,
    ) -> list[Effect]:
        """Audio of a turn arrived: it is published first, then sent to Motion Server.

        With ``end`` the turn's input is complete; ``pcm`` may then be empty. Audio that is not
        admitted now is discarded, and so is what comes a second time by its ``offset`` in the turn,
        in bytes (None: it follows what came before). What is missing before it is told.
        """
        if self.admission(turn, barge_in=barge_in) is not Admission.NOW:
            return [Discard("audio", "not_admitted")]
        effects = [] if turn == self.turn else self._begin(now, turn, barge_in=barge_in)
        if offset is not None and offset > self._offset:
            effects += self._missing(offset)
        elif offset is not None and offset < self._offset:
            pcm = pcm[self._offset - offset :]
            if not pcm and not end:
                return [*effects, Discard("audio", "repeated")]
        if not pcm and not end:
            # Its speaker is silent and alive.
            self._input_due = now + self._rules.input_timeout_s
            return [*effects, Discard("audio", "empty")]
        effects.append(self._publish(Kind.AUDIO, pcm, end=end))
        if self._audio_bytes == 0:
            self._first_audio_at = now
        self._audio_bytes += len(pcm)
        self._offset += len(pcm)
        self._input_due = None if end else now + self._rules.input_timeout_s
        self._audio_ended = end
        if self._switch_due:
            effects += self._switch(self._switch_due)
        if self._wants_motion and self._audio_bytes > 0:
            effects.append(Speak(turn, pcm, end))
            self._expect_answer(now, len(pcm))
        return effects + self._end_if_complete(now)

    def request_opened(self, turn: int, req_id: str) -> None:
        """Motion Server knows this turn's request by this id; motion with another id is not of this turn."""
        if turn == self.turn and self.phase is Phase.SPEAKING:
            self._request = req_id

    def motion(self, now: float, req_id: str, payload: bytes, *, last: bool) -> list[Effect]:
        """A motion payload of a request arrived."""
        refusal = self._refusal(req_id, payload)
        if refusal:
            return [Discard("motion", refusal)]
        if len(payload) > MAX_MOTION_BYTES:
            return [Discard("motion", "too_large"), *self._without_motion(now, "motion_too_large")]
        effects: list[Effect] = [self._publish(Kind.MOTION, payload, end=last)]
        self._motion_seen = True
        self._motion_ended = last
        self._unanswered_bytes = 0
        self._answer_due = None
        if not last and self._audio_ended:
            self._answer_due = now + self._rules.motion_stall_timeout_s
        return effects + self._end_if_complete(now)

    def motion_failed(self, now: float, reason: str, error: events.Error | None = None) -> list[Effect]:
        """Motion Server will send no more for the running turn: it goes on as audio."""
        effects: list[Effect] = [self._event(error)] if error else []
        if self.phase is Phase.SPEAKING and self._wants_motion:
            effects += self._without_motion(now, reason)
        return effects

    def tell(self, event: events.StreamEvent) -> list[Effect]:
        """Say something besides: inside the turn while it is spoken, else outside any."""
        if self.phase is Phase.CLOSED:
            return []
        return [self._event(event, turn=None if self.phase is Phase.SPEAKING else 0)]

    def interrupt(self, now: float, upto: int, reason: str) -> list[Effect]:
        """Cancel the turns up to this one: the last that began stops, the waiting ones never begin."""
        self._cancelled = max(self._cancelled, upto)
        if self.phase is Phase.CLOSED or not self._interrupted < self.turn <= upto:
            return []
        self._interrupted = self.turn
        if self.phase is Phase.SPEAKING:
            return self._stop(now, reason)
        self.phase = Phase.IDLE
        return [self._event(events.Interrupted(reason))]

    def playback(
        self, now: float, turn: int, state: str, position_ms: int, *, viewer: str = ""
    ) -> list[Effect]:
        """A viewer reported its playback: the next turn waits for it, within bounds, if it is behind.

        That it has finished ends the wait for this viewer, and the grace given to all.
        """
        if self.phase is not Phase.PLAYING or turn != self.turn:
            return [Discard("playback", "other_turn")]
        left_ms = self._media_ms - min(max(position_ms, 0), self._media_ms)
        if state == "finished":
            self._playback.finished(viewer)
        elif not self._playback.report(viewer, now + left_ms / 1000):
            return [Discard("playback", "too_many")]
        return self.tick(now)

    def tick(self, now: float) -> list[Effect]:
        """Time passed: to be called at ``deadline``; calling it earlier or later does no harm."""
        if self.phase is Phase.PLAYING and now >= self._playback.ends_at:
            self.phase = Phase.IDLE
        if self.phase is not Phase.SPEAKING:
            return []
        if self._input_due is not None and now >= self._input_due:
            self._failed = True
            error = events.Error("input_timeout", "the turn's audio stopped before its end", retryable=True)
            return [self._event(error), *self.audio(now, self.turn, b"", end=True)]
        if self._answer_due is not None and now >= self._answer_due:
            reason = "motion_stalled" if self._motion_seen else "motion_timeout"
            return self._without_motion(now, reason, overdue=True)
        return []

    def close(self, now: float, reason: str) -> list[Effect]:
        """The conversation ends: the running turn stops, and nothing is published after this."""
        effects = self.interrupt(now, self.turn, reason)
        effects.append(self._event(events.ConversationEnded(reason), turn=0))
        self.phase = Phase.CLOSED
        return effects

    # --- the turn's life -----------------------------------------------------------------------

    def _begin(self, now: float, turn: int, *, barge_in: bool) -> list[Effect]:
        effects = self.interrupt(now, self.turn, BARGE_IN) if barge_in else []
        self.turn = turn
        self.phase = Phase.SPEAKING
        self._audio_bytes = self._offset = 0
        self._audio_ended = self._motion_ended = self._motion_seen = self._audio_only = False
        self._switch_due = ""
        self._failed = False
        self._playing_ms = 0
        self._request = None
        self._unanswered_bytes = 0
        self._answer_due = None
        self._input_due = now + self._rules.input_timeout_s
        return [*effects, self._event(events.TurnStarted())]

    def _stop(self, now: float, reason: str) -> list[Effect]:
        effects: list[Effect] = []
        if not self._audio_ended:
            # Before `interrupted`: audio after a client's interrupt() would open a new round (facts 4.3).
            effects.append(self._publish(Kind.AUDIO, b"", end=True))
        if self._wants_motion:
            effects.append(Abandon(self.turn))
        effects.append(self._event(events.Interrupted(reason)))
        return effects + self._end(now, "interrupted")

    def _end_if_complete(self, now: float) -> list[Effect]:
        # A turn without a single sample has no motion to wait for.
        if not self._audio_ended or (self._wants_motion and self._audio_bytes > 0):
            return []
        if self._failed:
            return self._end(now, "failed")
        return self._end(now, "audio_only" if self._audio_only else "complete")

    def _end(self, now: float, outcome: events.Outcome) -> list[Effect]:
        if outcome == "interrupted":
            self.phase = Phase.IDLE
        else:
            played_ms = int(max(now - self._first_audio_at, 0) * 1000)
            self._playing_ms = max(self._media_ms - played_ms, 0)
            self.phase = Phase.PLAYING
            self._playback = self._play(now)
        return [self._event(events.TurnEnded(outcome))]

    def _play(self, now: float) -> Playback:
        return Playback(now + self._playing_ms / 1000, self._rules.playback)

    def _without_motion(self, now: float, reason: str, *, overdue: bool = False) -> list[Effect]:
        """Go on as audio, unless the turn's motion is complete or already switched off."""
        if not self._wants_motion:
            return []
        abandon = Abandon(self.turn, overdue)
        self._audio_only = True
        self._answer_due = None
        if self._audio_bytes == 0 and not self._audio_ended:
            self._switch_due = reason
            return [abandon]
        return [abandon, *self._switch(reason), *self._end_if_complete(now)]

    def _switch(self, reason: str) -> list[Effect]:
        self._switch_due = ""
        return [self._event(events.AudioOnly(reason)), self._publish(Kind.MOTION, b"", end=True)]

    def _missing(self, offset: int) -> list[Effect]:
        self._failed = True
        text = f"{offset - self._offset} bytes of the turn's audio are lost"
        self._offset = offset
        return [self._event(events.Error("audio_missing", text, retryable=False))]

    # --- facts about the running turn ----------------------------------------------------------

    @property
    def _wants_motion(self) -> bool:
        return not (self._motion_ended or self._audio_only)

    @property
    def _media_ms(self) -> int:
        return duration_ms(self._audio_bytes, self._rules.sample_rate)

    def _refusal(self, req_id: str, payload: bytes) -> str:
        if self.phase is not Phase.SPEAKING or req_id != self._request:
            return "other_turn"
        if self._audio_only:
            return "audio_only"
        if self._motion_ended:
            return "after_end"
        if self._audio_bytes == 0:
            return "before_audio"
        return "" if payload else "empty"

    def _expect_answer(self, now: float, size_bytes: int) -> None:
        """Start the watchdog once Motion Server has enough audio to owe an answer."""
        self._unanswered_bytes += size_bytes
        rules = self._rules
        window_ms = rules.next_window_ms if self._motion_seen else rules.first_window_ms
        enough = duration_ms(self._unanswered_bytes, rules.sample_rate) >= window_ms
        if self._answer_due is None and (enough or self._audio_ended):
            timeout_s = rules.motion_stall_timeout_s if self._motion_seen else rules.first_motion_timeout_s
            self._answer_due = now + timeout_s

    def _publish(self, kind: Kind, payload: bytes, *, end: bool) -> Publish:
        return Publish(kind, self.turn, payload, self._media_ms, end)

    def _event(self, event: events.StreamEvent, *, turn: int | None = None) -> Publish:
        inside = turn is None
        return Publish(
            Kind.EVENT,
            self.turn if inside else 0,
            events.encode(event),
            self._media_ms if inside else 0,
        )
