"""The turn machine: decides what is published when, and what is sent to Motion Server.

Pure: no I/O, no clock, no task. Every input that depends on time takes ``now``, in seconds of any
clock that only goes forward. Every input returns the effects to perform, in order.

The rules it keeps, whatever happens in whatever order:

- audio of a turn comes before any motion of it;
- every turn that starts has exactly one END audio and exactly one ``turn_ended``, in every outcome;
- motion of another turn, of a cancelled turn, or after the motion's own end is discarded and counted;
- an empty motion payload is published only as the switch to audio-only, and no motion follows it;
- a turn whose motion does not arrive in time continues as audio;
- a turn waits until the one before it has finished playing, unless it barges in: until the end computed
  from its audio, and longer while a viewer reports that it is behind. No report ends it for the others;
- an interrupt of the last turn is published once, whatever the clock says, since viewers may still play
  it; only an interrupt can follow a turn's ``turn_ended``, and nothing of a later turn precedes it;
- audio for Motion Server is never paced: it is sent as it arrives;
- a turn whose chunks have their motion sends nothing to Motion Server, expects nothing from it, and keeps
  its motion over a change of owners.
"""

from msgspec.structs import replace

from relay_turns.effects import Abandon, Deferred, Discard, Effect, Publish, SendAudio
from relay_turns.phase import Phase
from relay_turns.playback import TurnPlayback
from relay_turns.rules import Rules
from relay_turns.state import LocalState, TurnState
from relay_wire import events
from relay_wire.frame import MAX_MOTION_BYTES, Kind
from relay_wire.pcm import duration_ms
from relay_wire.position import Position

BARGE_IN = "barge_in"
"""The reason of an interrupt by a turn that barges in."""


class TurnMachine:
    """The turns of one conversation, during one generation.

    Args:
        rules: The settings.
        state: The last owner's state.
    """

    def __init__(self, rules: Rules, state: TurnState | None = None) -> None:
        self.state = state or TurnState()
        """The state after the effects returned so far. Each change replaces it."""
        self._rules = rules
        self._local = LocalState()
        self._playback = self._expected_playback(0.0)

    @property
    def turn(self) -> int:
        """The turn that began last, 0 before the first."""
        return self.state.turn

    @property
    def phase(self) -> Phase:
        """Where the conversation stands."""
        return self.state.phase

    @property
    def plays_until(self) -> float | None:
        """The end of playback computed from the audio, while a turn is playing; else None."""
        return self._playback.computed_end if self.phase == "playing" else None

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do, if nothing else happens; None when nothing waits."""
        if self.phase == "playing":
            return self._playback.ends_at
        if self.phase != "speaking":
            return None
        dues = (self._local.input_due, self._local.answer_due)
        return min((due for due in dues if due is not None), default=None)

    # --- inputs --------------------------------------------------------------------------------

    def start(self, now: float, after: Position) -> list[Effect]:
        """Begin this owner's generation: the first input, once. A turn that was speaking continues as audio.

        Args:
            now: The time.
            after: The last frame of the generation before.
        """
        effects: list[Effect] = [self._event(events.OwnerChanged(after=str(after)), turn=0)]
        if self.phase == "playing":
            self._playback = self._expected_playback(now)
        elif self.phase == "speaking":
            self.state = replace(self.state, owner_changes=self.state.owner_changes + 1)
            self._local.first_audio_at = now
            if not self.state.audio_ended:
                self._expect_input(now)
            effects += self._continue_without_motion(now, "owner_changed")
        return effects

    def audio(
        self,
        now: float,
        turn: int,
        pcm: bytes,
        *,
        offset: int | None = None,
        end: bool = False,
        motion: tuple[bytes, ...] | None = None,
        barge_in: bool = False,
        may_begin: bool = True,
        received_at_ms: int = 0,
        trace: str = "",
    ) -> list[Effect] | Deferred:
        """Audio of a turn arrived: it is published first, then sent to Motion Server.

        Audio of a turn that is over, or was cancelled before it began, is discarded.

        Args:
            now: The time.
            turn: The turn.
            pcm: The audio; may be empty.
            offset: Where it begins in the turn, in bytes; None: it follows the audio before. Repeated
                audio is discarded, and an event reports missing audio.
            end: The turn's input is complete.
            motion: The motion of this audio, published after it; None: the turn's motion comes from Motion
                Server. The first chunk decides for its turn.
            barge_in: The turn interrupts those before it; else it waits until they have finished playing.
            may_begin: Whether a turn may begin now.
            received_at_ms: The wall time at which the audio was stored and the turn before was over; 0:
                unknown.
            trace: The encoded trace context of the audio, which a turn keeps that begins with it.

        Returns:
            The effects; or ``Deferred``, which has changed nothing, when the turn may not begin yet.
        """
        state = self.state
        is_over = turn == state.turn and state.input_state != "open"
        if is_over or self.phase == "closed" or turn <= state.cancelled or turn < state.turn:
            return [Discard("audio", "not_admitted")]
        if turn == state.turn:
            return self._append(now, pcm, offset=offset, end=end, motion=motion)
        if not may_begin or not (barge_in or self.phase == "idle"):
            return Deferred(turn)
        begun = self._begin(
            now,
            turn,
            barge_in=barge_in,
            received_at_ms=received_at_ms,
            rendered=motion is not None,
            trace=trace,
        )
        return begun + self._append(now, pcm, offset=offset, end=end, motion=motion)

    def request_opened(self, turn: int, req_id: str) -> None:
        """Motion Server knows this turn's request by this id; motion with another id is not of this turn."""
        if turn == self.turn and self.phase == "speaking":
            self._local.request = req_id

    def motion(self, now: float, req_id: str, payload: bytes, *, last: bool) -> list[Effect]:
        """A motion payload of a request arrived."""
        refusal = self._motion_refusal(req_id, payload)
        if refusal:
            return [Discard("motion", refusal)]
        if len(payload) > MAX_MOTION_BYTES:
            return [Discard("motion", "too_large"), *self._continue_without_motion(now, "motion_too_large")]
        effects: list[Effect] = [self._publish(Kind.MOTION, payload, end=last)]
        local = self._local
        local.motion_seen = True
        local.unanswered_bytes = 0
        local.answer_due = None
        if last:
            self.state = replace(self.state, motion_ended=True)
        elif self.state.audio_ended:
            local.answer_due = now + self._rules.motion_stall_timeout_s
        return effects + self._end_if_complete(now)

    def motion_failed(self, now: float, reason: str, error: events.Error | None = None) -> list[Effect]:
        """Motion Server will send no more for the running turn: it continues as audio."""
        effects: list[Effect] = [self._event(error)] if error else []
        return effects + self._continue_without_motion(now, reason)

    def emit(self, event: events.StreamEvent) -> list[Effect]:
        """Publish an event: in the current turn while that is speaking, else in none."""
        if self.phase == "closed":
            return []
        return [self._event(event, turn=None if self.phase == "speaking" else 0)]

    def interrupt(self, now: float, upto: int, reason: str) -> list[Effect]:
        """Cancel the turns up to this one: the last that began stops, the waiting ones never begin."""
        state = self.state
        self.state = replace(state, cancelled=max(state.cancelled, upto))
        if self.phase == "closed" or not state.interrupted < state.turn <= upto:
            return []
        self.state = replace(self.state, interrupted=state.turn)
        if self.phase == "speaking":
            return self._stop(now, reason)
        self.state = replace(self.state, phase="idle")
        return [self._event(events.Interrupted(reason))]

    def playback(
        self, now: float, turn: int, state: str, position_ms: int, *, viewer: str = ""
    ) -> list[Effect]:
        """A viewer reported its playback: the next turn waits for it, within bounds, if it is behind.

        That it has finished ends the wait for this viewer, and the grace given to all.
        """
        if self.phase != "playing" or turn != self.turn:
            return [Discard("playback", "other_turn")]
        left_ms = self._media_ms - min(max(position_ms, 0), self._media_ms)
        if state == "finished":
            self._playback.finish(viewer)
        elif not self._playback.report(viewer, now + left_ms / 1000):
            return [Discard("playback", "too_many")]
        return self.tick(now)

    def tick(self, now: float) -> list[Effect]:
        """Time passed: to be called at ``deadline``; calling it earlier or later does no harm."""
        if self.phase == "playing" and now >= self._playback.ends_at:
            self.state = replace(self.state, phase="idle")
        if self.phase != "speaking":
            return []
        local = self._local
        if local.input_due is not None and now >= local.input_due:
            self.state = replace(self.state, failed=True)
            error = events.Error("input_timeout", "the turn's audio stopped before its end", retryable=True)
            return [self._event(error), *self._append(now, b"", end=True)]
        if local.answer_due is not None and now >= local.answer_due:
            reason = "motion_stalled" if local.motion_seen else "motion_timeout"
            return self._continue_without_motion(now, reason, overdue=True)
        return []

    def close(self, now: float, reason: str) -> list[Effect]:
        """The conversation ends: the running turn stops, and nothing is published after this."""
        effects = self.interrupt(now, self.turn, reason)
        effects.append(self._event(events.ConversationEnded(reason), turn=0))
        self.state = replace(self.state, phase="closed")
        return effects

    # --- the steps of a turn -----------------------------------------------------------------------

    def _begin(
        self, now: float, turn: int, *, barge_in: bool, received_at_ms: int, rendered: bool, trace: str
    ) -> list[Effect]:
        effects = self.interrupt(now, self.turn, BARGE_IN) if barge_in else []
        self.state = self.state.begin(turn, rendered=rendered, trace=trace)
        self._local = LocalState()
        self._expect_input(now)
        return [*effects, self._event(events.TurnStarted(received_at_ms))]

    def _append(
        self,
        now: float,
        pcm: bytes,
        *,
        offset: int | None = None,
        end: bool,
        motion: tuple[bytes, ...] | None = None,
    ) -> list[Effect]:
        effects: list[Effect] = []
        if offset is not None and offset > self.state.offset:
            effects += self._skip_missing(offset)
        elif offset is not None and offset < self.state.offset:
            # The motion of a chunk is published with the first of its audio, in one write.
            pcm, motion = pcm[self.state.offset - offset :], None
            if not pcm and not end:
                return [Discard("audio", "repeated")]
        if not pcm and not end:
            # An empty chunk holds the turn open: its speaker is connected, and silent.
            self._expect_input(now)
            return [*effects, Discard("audio", "empty")]
        effects.append(self._publish(Kind.AUDIO, pcm, end=end))
        self._count_audio(now, len(pcm), end=end)
        if self.state.switch_due:
            effects += self._switch_to_audio_only(self.state.switch_due)
        if self.state.rendered:
            effects += self._publish_rendered(motion or (), end=end)
        elif self.state.expects_motion and self.state.audio_bytes > 0:
            effects.append(SendAudio(self.turn, pcm, end))
            self._expect_answer(now, len(pcm))
        return effects + self._end_if_complete(now)

    def _publish_rendered(self, payloads: tuple[bytes, ...], *, end: bool) -> list[Effect]:
        """Publish the motion of a chunk. A turn that ends without all of its motion ends as audio."""
        effects: list[Effect] = []
        for number, payload in enumerate(payloads, start=1):
            refusal = self.state.motion_refusal(payload)
            if refusal or len(payload) > MAX_MOTION_BYTES:
                effects.append(Discard("motion", refusal or "too_large"))
            else:
                is_last = end and number == len(payloads)
                effects.append(self._publish(Kind.MOTION, payload, end=is_last))
                self.state = replace(self.state, motion_ended=is_last)
        if end and self.state.expects_motion and self.state.audio_bytes > 0:
            self.state = replace(self.state, audio_only=True)
            effects += self._switch_to_audio_only("motion_missing")
        return effects

    def _skip_missing(self, offset: int) -> list[Effect]:
        text = f"{offset - self.state.offset} bytes of the turn's audio are lost"
        self.state = replace(self.state, offset=offset, failed=True)
        return [self._event(events.Error("audio_missing", text, retryable=False))]

    def _count_audio(self, now: float, size_bytes: int, *, end: bool) -> None:
        state = self.state
        if state.audio_bytes == 0:
            self._local.first_audio_at = now
        self.state = replace(
            state,
            audio_bytes=state.audio_bytes + size_bytes,
            offset=state.offset + size_bytes,
            audio_ended=end,
        )
        if end:
            self._local.input_due = None
        else:
            self._expect_input(now)

    def _stop(self, now: float, reason: str) -> list[Effect]:
        effects: list[Effect] = []
        if not self.state.audio_ended:
            # Before `interrupted`: audio after a client's interrupt() would open a new round (facts 4.3).
            effects.append(self._publish(Kind.AUDIO, b"", end=True))
        if self.state.asks_motion:
            effects.append(Abandon(self.turn))
        effects.append(self._event(events.Interrupted(reason)))
        return effects + self._end(now, "interrupted")

    def _end_if_complete(self, now: float) -> list[Effect]:
        state = self.state
        # A turn without a single sample has no motion to wait for.
        if not state.audio_ended or (state.expects_motion and state.audio_bytes > 0):
            return []
        if state.failed:
            return self._end(now, "failed")
        return self._end(now, "audio_only" if state.audio_only else "complete")

    def _end(self, now: float, outcome: events.Outcome) -> list[Effect]:
        if outcome == "interrupted":
            self.state = replace(self.state, phase="idle")
        else:
            played_ms = int(max(now - self._local.first_audio_at, 0) * 1000)
            self.state = replace(self.state, phase="playing", playing_ms=max(self._media_ms - played_ms, 0))
            self._playback = self._expected_playback(now)
        return [self._event(events.TurnEnded(outcome))]

    def _expected_playback(self, now: float) -> TurnPlayback:
        return TurnPlayback(now + self.state.playing_ms / 1000, self._rules.playback)

    def _continue_without_motion(self, now: float, reason: str, *, overdue: bool = False) -> list[Effect]:
        """Continue the speaking turn as audio, unless Motion Server owes it no motion any more."""
        state = self.state
        if self.phase != "speaking" or not state.asks_motion:
            return []
        abandon = Abandon(self.turn, overdue)
        self._local.answer_due = None
        self.state = replace(state, audio_only=True)
        if state.audio_bytes == 0 and not state.audio_ended:
            self.state = replace(self.state, switch_due=reason)
            return [abandon]
        return [abandon, *self._switch_to_audio_only(reason), *self._end_if_complete(now)]

    def _switch_to_audio_only(self, reason: str) -> list[Effect]:
        self.state = replace(self.state, switch_due="")
        return [self._event(events.AudioOnly(reason)), self._publish(Kind.MOTION, b"", end=True)]

    # --- facts about the running turn ----------------------------------------------------------

    @property
    def _media_ms(self) -> int:
        return duration_ms(self.state.audio_bytes, self._rules.sample_rate)

    def _motion_refusal(self, req_id: str, payload: bytes) -> str:
        if self.phase != "speaking" or req_id != self._local.request:
            return "other_turn"
        return self.state.motion_refusal(payload)

    def _expect_input(self, now: float) -> None:
        self._local.input_due = now + self._rules.input_timeout_s

    def _expect_answer(self, now: float, size_bytes: int) -> None:
        """Start the watchdog once Motion Server has enough audio to owe an answer."""
        rules, local = self._rules, self._local
        local.unanswered_bytes += size_bytes
        window_ms = rules.next_window_ms if local.motion_seen else rules.first_window_ms
        is_enough = duration_ms(local.unanswered_bytes, rules.sample_rate) >= window_ms
        if local.answer_due is None and (is_enough or self.state.audio_ended):
            timeout_s = rules.motion_stall_timeout_s if local.motion_seen else rules.first_motion_timeout_s
            local.answer_due = now + timeout_s

    # --- frames --------------------------------------------------------------------------------

    def _publish(self, kind: Kind, payload: bytes, *, end: bool) -> Publish:
        return Publish(kind, self.turn, payload, self._media_ms, end)

    def _event(self, event: events.StreamEvent, *, turn: int | None = None) -> Publish:
        is_inside = turn is None
        return Publish(
            Kind.EVENT,
            self.turn if is_inside else 0,
            events.encode(event),
            self._media_ms if is_inside else 0,
        )
