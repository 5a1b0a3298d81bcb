"""Agent session: what an agent can see and do in its conversation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import get_args

from relay_ingest.agents.events import Ended, Event, Interrupted
from relay_ingest.agents.queue import EventQueue
from relay_ingest.agents.speech_output import REJECTED, SpeechOutput, SpeechTooLong
from relay_redis.errors import StoreError
from relay_runtime.tasks import first_of
from relay_telemetry.counter import counter
from relay_wire import events

DROPPED = counter(
    "relay_agent_dropped_total",
    "Events dropped because the agent had not read them in time.",
    event=[kind.__name__.lower() for kind in get_args(Event)],
)

_TEXT_CHARACTERS = 16_384
_ROLE_CHARACTERS = 64
_BACKLOG_POLL_S = 0.05


class AgentSession:
    """Iterate over it to receive the conversation's events, in order, until the conversation has ended.

    Attributes:
        conversation: The conversation's id.
        sample_rate: Of its speech, in Hz: mono signed 16-bit little-endian samples. A ``Microphone`` has the
            rate of its own audio.
    """

    def __init__(
        self,
        *,
        conversation: str,
        sample_rate: int,
        queue: EventQueue,
        output: SpeechOutput,
        publish: Callable[[events.StreamEvent], None],
        is_backlogged: Callable[[], bool],
    ) -> None:
        self.conversation = conversation
        self.sample_rate = sample_rate
        self._queue = queue
        self._output = output
        self._publish = publish
        self._is_backlogged = is_backlogged
        self._arrived = asyncio.Event()
        self._speaking = asyncio.Lock()
        self._interrupted = asyncio.Event()
        """Ends the speech that is being appended."""
        self._complete = False
        """Whether all of the speech that is being appended, or was last, is in the uplink."""
        self._loop = asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events. Those that are not read in time are dropped: microphone audio first."""
        event: Event | None = None
        while not isinstance(event, Ended):
            event = await self.receive()
            yield event

    async def receive(self, within_s: float | None = None) -> Event:
        """The next event; ``Ended`` is the last one. Cancelling loses none.

        Raises:
            TimeoutError: None arrived within this time.
        """
        async with asyncio.timeout(within_s):
            while (event := self._queue.get(self._loop.time())) is None:
                self._arrived.clear()
                await self._arrived.wait()
        return event

    async def speak(
        self, audio: bytes | AsyncIterator[bytes], *, barge_in: bool = False, real_time: bool = False
    ) -> bool:
        """Speak a turn of the conversation.

        The turn waits until the one before it has been played, unless it barges in; this method waits only
        until its audio is in the uplink. Concurrent calls are served one after the other.

        Args:
            audio: PCM: all of it, or an async generator of chunks of any length, which is closed in the end.
                Yield chunks as soon as they exist, never paced. Without a sample there is no turn.
            barge_in: Interrupt the turns that play or wait, instead of waiting for them.
            real_time: The chunks arrive no faster than they are played: 4 s are buffered first.

        Returns:
            Whether all of it is in the uplink. False: it was interrupted, or there is an interrupt that the
            agent has not read yet, or the turn was rejected, for example because a backend speaks. Nothing
            more of it is played then.

        Raises:
            AgentTimeout: No chunk arrived for ``RELAY_AGENT_TIMEOUT_S``. The turn has ended.
            Exception: What the generator raises. The turn has ended.

        Cancelling is safe and ends the turn.
        """
        if barge_in:
            self._interrupted.set()
        async with self._speaking:
            self._interrupted.clear()
            try:
                if self._queue.has_interrupt:
                    REJECTED.labels("interrupted").inc()
                    return False
                speech = self._stream(audio, barge_in=barge_in, real_time=real_time)
                self._complete = False
                await first_of(speech=speech, interrupt=self._wait_for_interrupt())
                return self._complete
            finally:
                self._queue.restart_unread(self._loop.time())

    async def transcript(self, role: str, text: str) -> None:
        """Send viewers the text of speech of ``user`` or ``assistant``. It overtakes audio in the uplink.

        Waits while Redis is behind with the conversation's frames.
        """
        await self._publish_event(events.Transcript(role[:_ROLE_CHARACTERS], text[:_TEXT_CHARACTERS]))

    async def error(self, code: str, message: str, *, retryable: bool = False) -> None:
        """Send viewers an ``error`` event. Waits while Redis is behind with the conversation's frames."""
        await self._publish_event(events.Error(code, message[:_TEXT_CHARACTERS], retryable))

    async def interrupt(self) -> None:
        """Interrupt the turns that play or wait. ``Interrupted`` follows; until then speech is rejected."""
        try:
            await self._output.interrupt()
        except StoreError as error:
            REJECTED.labels(type(error).__name__.lower()).inc()

    # --- for the runner ------------------------------------------------------------------------

    def enqueue(self, event: Event) -> None:
        """Add an event to the agent's queue; an interrupt and the conversation's end stop its speech."""
        for dropped in self._queue.put(event, self._loop.time()):
            DROPPED.labels(type(dropped).__name__.lower()).inc()
        if isinstance(event, Interrupted | Ended):
            self._interrupted.set()
        self._arrived.set()

    def unread_s(self) -> float:
        """How long the agent has left events unread, without being busy in ``speak``."""
        return 0.0 if self._speaking.locked() else self._queue.unread_s(self._loop.time())

    # --- speech and events ---------------------------------------------------------------------------------

    async def _stream(self, audio: bytes | AsyncIterator[bytes], *, barge_in: bool, real_time: bool) -> None:
        try:
            await self._output.stream(audio, barge_in=barge_in, real_time=real_time)
        except SpeechTooLong:
            REJECTED.labels("speechtoolong").inc()
            await self.error("agent_speech_too_long", "the agent's speech was cut")
        except StoreError as error:
            REJECTED.labels(type(error).__name__.lower()).inc()
        else:
            self._complete = True

    async def _wait_for_interrupt(self) -> None:
        await self._interrupted.wait()
        REJECTED.labels("interrupted").inc()

    async def _publish_event(self, event: events.StreamEvent) -> None:
        while self._is_backlogged():  # noqa: ASYNC110  # a number, whose change sets no event
            await asyncio.sleep(_BACKLOG_POLL_S)
        self._publish(event)
        # An agent that publishes without a pause must not block the event loop.
        await asyncio.sleep(0)
