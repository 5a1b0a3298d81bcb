"""Owner: runs one conversation for as long as this worker owns it. The only place where decisions meet
effects.

Input from the uplink, Motion Server and the agent goes into the turn machine; the machine's effects go to the
writer and to Motion Server. All of it happens synchronously on the event loop, in the callback of the input,
so that nothing is queued in between and nothing can overtake.
"""

import asyncio
import time
from collections.abc import Callable

from prometheus_client import Histogram

from relay_ingest.agents import events as agent_events
from relay_ingest.agents import speech_output
from relay_ingest.agents.registry import AgentRegistry
from relay_ingest.agents.runner import AgentRunner
from relay_ingest.deadline_timer import DeadlineTimer
from relay_ingest.discards import DISCARDED
from relay_ingest.end_reasons import CLOSED, DEFECT, UNREADABLE
from relay_ingest.error_boundary import ErrorBoundary, Spawn
from relay_ingest.motion.client import MotionClient, MotionLimits
from relay_ingest.motion.failures import MotionFailure
from relay_ingest.motion.pool import MotionPool
from relay_ingest.motion.session import MotionConversation
from relay_ingest.motion.session_records import SessionRecords
from relay_ingest.turn_boundary import TurnBoundary, wall_ms
from relay_ingest.turn_trace import TurnTrace
from relay_ingest.uplink_reader import Accepted, UplinkReader
from relay_redis.errors import StoreError
from relay_settings.ingest import IngestSettings
from relay_streams.consumer import StreamConsumer
from relay_streams.leases import Lease, UplinkProgress
from relay_streams.publisher import Publisher
from relay_streams.uplink import Uplink
from relay_telemetry.trace_context import Context
from relay_turns.conversation_events import ConversationEvents
from relay_turns.effects import Abandon, Deferred, Discard, Effect, Publish, SendAudio
from relay_turns.machine import BARGE_IN, TurnMachine
from relay_turns.rules import Rules
from relay_turns.state import TurnState
from relay_wire import events, uplink

TAKEOVER_SECONDS = Histogram(
    "relay_ingest_takeover_seconds",
    "From the last renewal of a conversation's former owner to the first frame of this one.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300),
)

_PAUSE_BYTES = 1024 * 1024
"""Unacknowledged frames at which the uplink is read no further; motion is published up to
``backlog_bytes``."""


class Owner:
    """Runs one conversation until it ends, is handed over, or is lost.

    Args:
        lease: The ownership of the conversation.
        consumer: Reads the uplink.
        publisher: Appends to the down stream.
        up: Appends the agent's speech to the uplink, and looks up cancelled turns.
        registry: The agents of this worker.
        pool: The source of Motion sessions.
        settings: The worker's.
        spawn: Starts a task that the worker owns.
        on_lost: Called once when another worker has taken over, or Redis refuses a write.
        on_closed: Called once when the conversation's last frame is appended, with the reason of the end.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        consumer: StreamConsumer,
        publisher: Publisher,
        up: Uplink,
        registry: AgentRegistry,
        pool: MotionPool,
        settings: IngestSettings,
        spawn: Spawn,
        on_lost: Callable[["Owner", StoreError], None],
        on_closed: Callable[["Owner", str], None],
    ) -> None:
        record = lease.conversation
        self.lease = lease
        self._settings = settings
        self._on_lost = on_lost
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._rules = Rules(
            sample_rate=record.sample_rate,
            first_motion_timeout_s=settings.first_motion_timeout_s,
            motion_stall_timeout_s=settings.motion_stall_timeout_s,
            input_timeout_s=settings.input_timeout_s,
        )
        state = TurnState.restore(record.checkpoint)
        self._state_readable = state is not None
        self._machine = TurnMachine(self._rules, state)
        self._boundary = ErrorBoundary(spawn, self._fail, conversation=record.id, generation=lease.generation)
        self.writer = publisher.open(lease, progress=self._uplink_progress, on_lost=self._lost)
        self._motion = MotionClient(
            pool,
            MotionConversation(record.id, record.avatar_id, record.sample_rate),
            listener=self,
            limits=MotionLimits.of(settings),
            spawn=self._boundary.spawn,
        )
        self.sessions = SessionRecords(
            lease, client=publisher.client, spawn=self._boundary.spawn, outbox_entries=settings.outbox_bound
        )
        self._key = record.input_key if record.input_turn == record.turn else ""
        """The key that the turn was opened with."""
        age_s = (lease.generation - record.first_generation) / 1000
        is_new = age_s < settings.conversation_active_s or record.input_turn > record.turn
        self._active_at = self._loop.time() - (0.0 if is_new else settings.conversation_active_s)
        self._retiring = False
        self._turn_boundary = TurnBoundary(self._machine.phase)
        self._timer = DeadlineTimer(self._on_time)
        self._trace = TurnTrace(
            record.id,
            lease.generation,
            sample_rate=record.sample_rate,
            slow_s=settings.trace_slow_s,
            now=self._loop.time(),
        )
        self._events = ConversationEvents(
            self._machine.state,
            sample_rate=record.sample_rate,
            enabled=settings.jobs,
            recorded=record.recorded,
        )
        self._stopped = False
        self._failed = False
        self._agent = AgentRunner(
            lease,
            registry=registry,
            uplink=up,
            settings=settings,
            last_entry=lambda: self._uplink.last_handled,
            publish=self._emit,
            is_backlogged=self.is_behind,
            spawn=self._boundary.spawn,
        )
        self._uplink = UplinkReader(lease, consumer=consumer, up=up, boundary=self._boundary, handler=self)

    def start(self) -> None:
        """Start reading and the agent, and publish the first frames of this ownership. Call once."""
        record = self.lease.conversation
        self._agent.start()
        self._uplink.start()
        self.sessions.start()
        with self._boundary("start"):
            if self._machine.phase == "closed":
                # The former owner has published the last frame and could not finish.
                self._loop.call_soon(self._on_closed, self, CLOSED)
            else:
                self._trace.resume(self._machine.state, self._loop.time())
                self._begin()
                if self.lease.renewed_ms:
                    TAKEOVER_SECONDS.observe(max(time.time() - self.lease.renewed_ms / 1000, 0.0))
                self.on_cancel(record.stopped, record.stop_reason)
                if not self._state_readable:
                    self._trace.log.error("checkpoint unreadable, the conversation ends")
                if self.lease.replaced or not self._state_readable:
                    self._close(UNREADABLE)

    @property
    def conversation(self) -> str:
        """The conversation's id."""
        return self.lease.keys.id

    @property
    def idle_s(self) -> float:
        """How long the conversation has had no activity."""
        if self._machine.phase in ("speaking", "playing"):
            return 0.0
        return self._loop.time() - self._active_at

    @property
    def deferred_ms(self) -> int:
        """When the first speech that waits for its turn was stored, as a wall time; 0: none waits."""
        return self._uplink.deferred_ms

    def mark_active(self, ago_s: float) -> None:
        """Count activity of ``ago_s`` ago, such as a viewer's presence."""
        self._active_at = self._loop.time() - ago_s

    def stop(self) -> None:
        """Stop using the streams and Motion Server. Safe to call again."""
        if self._stopped:
            return
        self._stopped = True
        self._uplink.close()
        self._motion.close()
        self._agent.stop()
        self.writer.close()
        self._turn_boundary.release()
        self._timer.close()
        self.sessions.stop()
        self._trace.leave(self._loop.time())

    async def retire(self, within_s: float) -> None:
        """Wait for a turn boundary, at most ``within_s``, and until all frames are acknowledged.

        No turn begins from now on: waiting turns are left to the next owner. Cancelling is safe.
        """
        self._retiring = True
        self._turn_boundary.follow(self._machine.phase)
        try:
            async with asyncio.timeout(within_s):
                await self._turn_boundary.wait()
                await self.writer.drained()
        except TimeoutError:
            self._trace.log.warning("handover in mid-turn")

    # --- start and end -------------------------------------------------------------------------

    def _begin(self) -> None:
        """Publish the first frames of this ownership, unless they were published."""
        if not self.writer.last_position.seq:
            self.perform(self._machine.start(self._loop.time(), self.lease.conversation.last_position))

    def _close(self, reason: str) -> None:
        """Publish the last frames."""
        self.perform(self._machine.close(self._loop.time(), reason))
        self._agent.enqueue(agent_events.Ended(reason))
        self._on_closed(self, reason)

    def _fail(self) -> None:
        """End the conversation, since its owner cannot continue."""
        if self._failed or self._stopped:
            return
        self._failed = True
        self._uplink.close()
        # Then with a new machine, in case the state of the old one is the cause.
        for machine in (self._machine, TurnMachine(self._rules)):
            self._machine = machine
            try:
                self._begin()
                self.perform(machine.emit(events.Error(DEFECT, "the relay failed", retryable=False)))
                self._close(DEFECT)
            except Exception as further:  # noqa: BLE001  # the root of a callback, as above
                self._boundary.report("end", further)
            else:
                return
        self._lost(StoreError("the owner failed"))

    # --- inputs: the uplink --------------------------------------------------------------------

    def offer(self, speech: uplink.SpeechChunk, stored_ms: int) -> Accepted | Deferred:
        """Part of ``UplinkHandler``."""
        now, before = self._loop.time(), self._machine.turn
        ready_ms = self._turn_boundary.ready_ms(stored_ms)
        effects = self._machine.audio(
            now,
            speech.turn,
            speech.pcm,
            offset=speech.offset,
            end=speech.end,
            motion=speech.motion,
            barge_in=speech.barge_in,
            may_begin=not self._retiring,
            received_at_ms=ready_ms,
            trace=Context(speech.traceparent, speech.tracestate).encode(),
        )
        if isinstance(effects, Deferred):
            return effects
        self._active_at = now
        begins = self._machine.turn != before
        if begins:
            self._key = speech.key
            self._trace.begin(speech, stored_ms, ready_ms, now)
            if speech.barge_in and not speech.key.startswith(speech_output.KEY_PREFIX):
                self._agent.enqueue(agent_events.Interrupted(BARGE_IN))
        else:
            self._trace.further(speech, stored_ms)
        return Accepted(effects, begins)

    def on_cancel(self, upto: int, reason: str) -> None:
        """Part of ``UplinkHandler``."""
        if effects := self._machine.interrupt(self._loop.time(), upto, reason):
            self.perform(effects)

    def on_entry(self, entry: uplink.Entry) -> None:
        """Part of ``UplinkHandler``."""
        self._active_at = self._loop.time()
        match entry:
            case uplink.Interrupt(upto, reason):
                self.on_cancel(upto, reason)
                self._agent.enqueue(agent_events.Interrupted(reason))
            case uplink.Playback(turn, state, position_ms, viewer):
                now = self._loop.time()
                self.perform(self._machine.playback(now, turn, state, position_ms, viewer=viewer))
            case uplink.Close(reason):
                self._close(reason)
            case uplink.Text() | uplink.Microphone() | uplink.ClipRequest():
                self._agent.enqueue(entry)

    def may_resume(self) -> bool:
        """Part of ``UplinkHandler``."""
        return not self._retiring and self._machine.phase == "idle"

    def is_behind(self) -> bool:
        """Part of ``UplinkHandler``."""
        return self.writer.backlog_bytes > _PAUSE_BYTES

    def _uplink_progress(self) -> UplinkProgress:
        state = self._machine.state
        return UplinkProgress(
            self._uplink.last_read, state.turn, state.offset, state.input_state, self._key, state.trace
        )

    # --- inputs: Motion Server -----------------------------------------------------------------

    def session_opened(self, session: str, at: float) -> None:
        """Part of ``MotionListener``."""
        self._trace.session_opened(session, at)
        self.sessions.opened(session, at)

    def session_closed(self) -> None:
        """Part of ``MotionListener``."""
        self._trace.session_closed(self._loop.time())
        self.sessions.closed()

    def request_opened(self, turn: int, req_id: str) -> None:
        """Part of ``MotionListener``."""
        self._trace.log.debug("motion request", req_id=req_id)
        self._machine.request_opened(turn, req_id)

    def motion(self, req_id: str, payload: bytes, *, last: bool) -> None:
        """Part of ``MotionListener``."""
        now = self._loop.time()
        with self._boundary("motion"):
            self.perform(self._machine.motion(now, req_id, payload, last=last))
            if self.writer.backlog_bytes > self._settings.backlog_bytes:
                self.perform(self._machine.motion_failed(now, "backlog"))

    def motion_failed(self, failure: MotionFailure) -> None:
        """Part of ``MotionListener``."""
        self._trace.log.warning("motion failed", code=failure.code, phase=failure.phase, error=failure.detail)
        if self._stopped:
            return
        error = events.Error(failure.code, failure.message, failure.retryable)
        with self._boundary("motion"):
            self.perform(self._machine.motion_failed(self._loop.time(), failure.code, error))

    # --- inputs: the agent ---------------------------------------------------------------------

    def _emit(self, event: events.StreamEvent) -> None:
        if not self._stopped:
            with self._boundary("agent"):
                self.perform(self._machine.emit(event))

    # --- effects -------------------------------------------------------------------------------

    def perform(self, effects: list[Effect]) -> None:
        """Write the state with the frames to publish, and carry out the rest. Part of ``UplinkHandler``."""
        publishes = [effect for effect in effects if isinstance(effect, Publish)]
        now = self._loop.time()
        traces = self._trace.published(publishes, now)
        state, events = self._events.record(self._machine.state, publishes, self._trace.ended)
        self.writer.append(
            publishes,
            checkpoint=state.encode(),
            turn_phase=self._machine.phase,
            turn_ends_at_ms=wall_ms(self._machine.plays_until),
            uplink_cursor=self._uplink.cursor,
            traces=traces,
            events=events,
        )
        for effect in effects:
            match effect:
                case SendAudio(turn, pcm, end):
                    self._trace.motion_asked(now)
                    self._motion.send_audio(turn, pcm, end=end)
                case Abandon(_, overdue=True):
                    self._motion.close()
                case Abandon(turn):
                    self._motion.abandon(turn)
                case Discard(what, reason):
                    DISCARDED.labels(what, reason).inc()
        self._turn_boundary.follow(self._machine.phase)
        self._timer.set(self._machine.deadline)

    def _on_time(self) -> None:
        with self._boundary("timer"):
            self.perform(self._machine.tick(self._loop.time()))
            self._uplink.resume()

    # --- loss ----------------------------------------------------------------------------------

    def _lost(self, error: StoreError) -> None:
        self._trace.log.warning("conversation lost", error=str(error))
        self.stop()
        self._on_lost(self, error)
