"""Owners: one conversation during our term. The only place where decisions meet effects.

What comes from the up stream and from Motion Server goes into the turn machine; what the machine
decides goes to the writer and to Motion. All of it happens synchronously on the event loop, in the
callback that brought the input, so nothing is queued in between and nothing can overtake.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import Counter

from relay_ingest.agents import happening, voice
from relay_ingest.agents.catalog import Catalog
from relay_ingest.agents.host import Host
from relay_ingest.containment import Containment, Spawn
from relay_ingest.motion import Motion, MotionLimits
from relay_ingest.observer import TurnObserver
from relay_ingest.vendor import MotionFailure, Vendor
from relay_settings.ingest import IngestSettings
from relay_streams.conversations import fields_of
from relay_streams.errors import StoreError
from relay_streams.ownership import Heard, Lease
from relay_streams.publisher import Publisher
from relay_streams.puller import Entry, Puller
from relay_streams.uplink import Uplink
from relay_telemetry.counter import OPEN, counter, expect
from relay_wire import events, uplink
from relay_wire.checkpoint import Phase
from relay_wire.effects import DISCARDS, Abandon, Discard, Effect, Publish, Speak
from relay_wire.turns import Admission, Rules, TurnMachine

DISCARDED = counter(
    "relay_ingest_discarded_total",
    "What arrived and may not be published.",
    what=OPEN,
    reason=OPEN,
)
for _what, _reasons in DISCARDS.items():
    for _reason in _reasons:
        expect(DISCARDED, what=_what, reason=_reason)
BAD_ENTRIES = Counter("relay_ingest_bad_entries_total", "Up entries that could not be read.")

_PAUSE_BYTES = 1024 * 1024
"""Unacknowledged frames at which no more speech is taken; motion still is, up to ``backlog_bytes``."""
_PAUSE_S = 0.05
DEFECT = "internal_error"
"""Why a conversation ends when its owner fails."""
UNREADABLE = "unreadable_record"
"""Why one ends whose record is damaged."""

log = structlog.get_logger(__name__)


class Owner:
    """Runs one conversation until it ends, is handed over, or is lost.

    Args:
        lease: The term just claimed.
        puller: Reads the up stream.
        publisher: Writes the down stream.
        uplink: Where the agent speaks.
        catalog: The agents there are.
        vendor: Makes Motion sessions.
        settings: The worker's.
        spawn: Starts a task that the worker owns.
        on_lost: Called once when another owner took over, or the store refused us.
        on_closed: Called once when the conversation's last frame is appended.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        puller: Puller,
        publisher: Publisher,
        uplink: Uplink,
        catalog: Catalog,
        vendor: Vendor,
        settings: IngestSettings,
        spawn: Spawn,
        on_lost: Callable[["Owner", StoreError], None],
        on_closed: Callable[["Owner"], None],
    ) -> None:
        record = lease.conversation
        self.lease = lease
        self._settings = settings
        self._on_lost = on_lost
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._log = log.bind(conversation=record.id, generation=lease.generation)
        self._rules = Rules(
            sample_rate=record.sample_rate,
            first_motion_timeout_s=settings.first_motion_timeout_s,
            motion_stall_timeout_s=settings.motion_stall_timeout_s,
            input_timeout_s=settings.input_timeout_s,
        )
        self._machine = TurnMachine(self._rules, record.checkpoint)
        self._contained = Containment(spawn, self._fail, conversation=record.id, generation=lease.generation)
        self.writer = publisher.open(lease, heard=self._heard_so_far, on_lost=self._lost)
        self._motion = Motion(
            vendor,
            avatar_id=record.avatar_id,
            sample_rate=record.sample_rate,
            listener=self,
            limits=MotionLimits(
                idle_s=settings.motion_idle_s,
                session_s=settings.motion_session_s,
                close_s=settings.motion_close_s,
                outbox_bytes=settings.motion_outbox_bytes,
            ),
            conversation=record.id,
            spawn=self._contained.spawn,
        )
        self._cursor = record.up
        self._heard = _order(record.up)
        """The last entry acted on. What is not speech is not acted on again when it is read a second time."""
        self._key = record.input_key if record.input_turn == record.turn else ""
        """What the turn was opened with."""
        self._held_after: str | None = None
        """Where the speech begins that waits for its turn. It stays in the stream, and is read again."""
        self._retiring = False
        self._boundary = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._observer = TurnObserver(record.id)
        self._stopped = False
        self._failed = False
        self._agent = Host(
            lease,
            catalog=catalog,
            uplink=uplink,
            settings=settings,
            heard=lambda: "{}-{}".format(*self._heard),
            publish=self._tell,
            is_behind=lambda: self.writer.backlog_bytes > _PAUSE_BYTES,
            spawn=self._contained.spawn,
        )
        self._following = puller.follow(
            lease.keys.up, lease.keys.partition, record.up, self._on_entries, self._on_uplink_failure
        )
        with self._contained("start"):
            if self._machine.phase is Phase.CLOSED:
                # The owner before us published the last frame and could not finish.
                self._loop.call_soon(on_closed, self)
            else:
                self._begin()
                if lease.replaced:
                    self._close(UNREADABLE)

    @property
    def conversation(self) -> str:
        """The conversation's id."""
        return self.lease.keys.id

    def stop(self) -> None:
        """Touch the conversation no more: neither the streams nor Motion Server. Safe to call again."""
        if self._stopped:
            return
        self._stopped = True
        self._following.close()
        self._motion.close()
        self._agent.stop()
        self.writer.close()
        self._boundary.set()
        if self._timer is not None:
            self._timer.cancel()
        self._observer.leave("left")

    async def retire(self, within_s: float) -> None:
        """Come to a turn boundary, at most so late, with everything appended acknowledged.

        No turn begins from now on: what waits is the next owner's. Cancelling is safe.
        """
        self._retiring = True
        self._mark_boundary()
        try:
            async with asyncio.timeout(within_s):
                await self._boundary.wait()
                await self.writer.drained()
        except TimeoutError:
            self._log.warning("leaving in the middle of a turn", turn=self._machine.turn)

    # --- the term ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Publish the term's first frames, unless they are out."""
        if not self.writer.tail.seq:
            self._perform(self._machine.begin_term(self._loop.time(), self.lease.conversation.tail))

    def _close(self, reason: str) -> None:
        """Publish the last frames."""
        self._perform(self._machine.close(self._loop.time(), reason))
        self._agent.hear(happening.Ended(reason))
        self._on_closed(self)

    def _fail(self, *_: object) -> None:
        """End the conversation, since its owner cannot go on."""
        if self._failed or self._stopped:
            return
        self._failed = True
        self._following.close()
        # Where the state is what cannot be worked with, another begins.
        for machine in (self._machine, TurnMachine(self._rules)):
            self._machine = machine
            try:
                self._begin()
                self._perform(machine.tell(events.Error(DEFECT, "the relay failed", retryable=False)))
                self._close(DEFECT)
            except Exception as further:  # noqa: BLE001  # the root of a callback, as above
                self._contained.report("end", further)
            else:
                return
        self._lost(StoreError("the owner failed"))

    # --- inputs: the up stream -----------------------------------------------------------------

    def _on_uplink_failure(self, error: Exception) -> None:
        self._contained.report("uplink", error)
        self._fail()

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        for id_bytes, fields in entries:
            entry = id_bytes.decode()
            try:
                said = uplink.decode(fields_of(list(fields)))
            except uplink.UplinkError as error:
                BAD_ENTRIES.inc()
                self._log.warning("an up entry could not be read", entry=entry, error=str(error))
                self._consumed(entry)
                continue
            if isinstance(said, uplink.Speech):
                self._on_speech(entry, said)
            else:
                self._on_said(entry, said)
            if self._stopped or self._resume_held():
                return
        self._pause_if_behind()

    def _on_speech(self, entry: str, said: uplink.Speech) -> None:
        admission = self._machine.admission(said.turn, barge_in=said.barge_in)
        begins = said.turn > self._machine.turn
        if admission is Admission.LATER or (self._retiring and begins and admission is Admission.NOW):
            if self._held_after is None:
                self._held_after = self._cursor
            return
        if admission is Admission.NOW and begins:
            self._held_after = None  # A turn that barges in leaves those before it unspoken.
            self._key = said.key
            self._observer.begin(said)
            if said.barge_in and not said.key.startswith(voice.KEYS):
                self._agent.hear(happening.Interrupted("barge_in"))
        self._consumed(entry)
        effects = self._machine.audio(
            self._loop.time(), said.turn, said.pcm, offset=said.offset, end=said.end, barge_in=said.barge_in
        )
        self._perform(effects)

    def _heard_so_far(self) -> Heard:
        cursor, machine = self._following.cursor.decode(), self._machine
        return Heard(cursor, machine.turn, machine.offset, machine.input_state, self._key)

    def _on_said(self, entry: str, said: uplink.Entry) -> None:
        if _order(entry) > self._heard:
            now = self._loop.time()
            match said:
                case uplink.Interrupt(upto, reason):
                    self._perform(self._machine.interrupt(now, upto, reason))
                    self._agent.hear(happening.Interrupted(reason))
                case uplink.Playback(turn, state, position_ms):
                    self._perform(self._machine.playback(now, turn, state, position_ms))
                case uplink.Close(reason):
                    self._close(reason)
                case uplink.Text() | uplink.Microphone() | uplink.Sample():
                    self._agent.hear(said)
        self._consumed(entry)

    def _consumed(self, entry: str) -> None:
        self._heard = max(self._heard, _order(entry))
        if self._held_after is None:
            self._cursor = entry

    def _resume_held(self) -> bool:
        """Read the waiting speech again once its turn may begin. True when it is being read."""
        if self._held_after is None or self._retiring or self._machine.phase is not Phase.IDLE:
            return False
        self._following.seek(self._held_after)
        self._held_after = None
        return True

    def _pause_if_behind(self) -> None:
        if self.writer.backlog_bytes > _PAUSE_BYTES:
            self._following.pause()
            self._loop.call_later(_PAUSE_S, self._unpause)

    def _unpause(self) -> None:
        if not self._stopped:
            self._following.resume()
            self._pause_if_behind()

    # --- inputs: Motion Server -----------------------------------------------------------------

    def request_opened(self, turn: int, req_id: str) -> None:
        """Part of ``MotionListener``."""
        self._log.debug("motion request", turn=turn, req_id=req_id)
        self._machine.request_opened(turn, req_id)

    def motion(self, req_id: str, payload: bytes, *, last: bool) -> None:
        """Part of ``MotionListener``."""
        now = self._loop.time()
        with self._contained("motion"):
            self._perform(self._machine.motion(now, req_id, payload, last=last))
            if self.writer.backlog_bytes > self._settings.backlog_bytes:
                self._perform(self._machine.motion_failed(now, "backlog"))

    def motion_failed(self, failure: MotionFailure) -> None:
        """Part of ``MotionListener``."""
        if self._stopped:
            return
        error = events.Error(failure.code, failure.message, failure.retryable)
        with self._contained("motion"):
            self._perform(self._machine.motion_failed(self._loop.time(), failure.code, error))

    # --- inputs: the agent ---------------------------------------------------------------------

    def _tell(self, event: events.StreamEvent) -> None:
        if not self._stopped:
            with self._contained("agent"):
                self._perform(self._machine.tell(event))

    # --- effects -------------------------------------------------------------------------------

    def _perform(self, effects: list[Effect]) -> None:
        publishes = [effect for effect in effects if isinstance(effect, Publish)]
        self.writer.append(
            publishes,
            checkpoint=self._machine.checkpoint().encode(),
            up=self._cursor,
            traceparent=self._observer.traceparent,
        )
        for effect in effects:
            match effect:
                case Speak(turn, pcm, end):
                    self._motion.speak(turn, pcm, end=end)
                case Abandon(_, overdue=True):
                    self._motion.close()
                case Abandon(turn):
                    self._motion.abandon(turn)
                case Discard(what, reason):
                    DISCARDED.labels(what, reason).inc()
                case Publish():
                    self._observer.published(effect, self._loop.time())
        self._mark_boundary()
        self._set_timer()

    def _mark_boundary(self) -> None:
        if self._machine.phase is Phase.SPEAKING:
            self._boundary.clear()
        else:
            self._boundary.set()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.deadline
        if deadline is not None and not self._stopped:
            self._timer = self._loop.call_at(deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        with self._contained("timer"):
            self._perform(self._machine.tick(self._loop.time()))
            self._resume_held()

    # --- the end -------------------------------------------------------------------------------

    def _lost(self, error: StoreError) -> None:
        self._log.warning("conversation lost", error=str(error))
        self.stop()
        self._on_lost(self, error)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
