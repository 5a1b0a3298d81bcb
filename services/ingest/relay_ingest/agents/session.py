"""The stage: what an agent sees of its conversation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import get_args

from relay_ingest.agents.events import Ended, Event, Interrupted
from relay_ingest.agents.queue import EventQueue
from relay_ingest.agents.speech_output import REFUSALS, REFUSED, SpeechOutput, TooLong
from relay_runtime.tasks import first_of
from relay_telemetry.counter import counter
from relay_wire import events

DROPPED = counter(
    "relay_agent_dropped_total",
    "Events an agent was too slow to read.",
    event=[kind.__name__.lower() for kind in get_args(Event)],
)

_TEXT_CHARACTERS = 16_384
_ROLE_CHARACTERS = 64
_PAUSE_S = 0.05


class AgentSession:
    """Iterate over it to hear what happens, in order, until the conversation has ended.

    Attributes:
        conversation: The conversation's id.
        sample_rate: Of all its audio, both ways, in Hz: mono signed 16-bit little-endian samples.
    """

    def __init__(
        self,
        *,
        conversation: str,
        sample_rate: int,
        inbox: EventQueue,
        voice: SpeechOutput,
        publish: Callable[[events.StreamEvent], None],
        is_behind: Callable[[], bool],
    ) -> None:
        self.conversation = conversation
        self.sample_rate = sample_rate
        self._inbox = inbox
        self._voice = voice
        self._publish = publish
        self._is_behind = is_behind
        self._arrived = asyncio.Event()
        self._turns = asyncio.Lock()
        self._cut = asyncio.Event()
        self._whole = False
        """Whether the speech that runs, or ran last, is on its way whole."""
        self._loop = asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events. Those that are not read in time are dropped: microphone audio first."""
        while True:
            event = self._inbox.take(self._loop.time())
            if event is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            yield event
            if isinstance(event, Ended):
                return

    async def speak(
        self, chunks: AsyncIterator[bytes], *, barge_in: bool = False, real_time: bool = False
    ) -> bool:
        """Speak a turn of the conversation. Give chunks as they are made, never paced.

        The turn waits until the one before it has been played, unless it barges in; this method waits only
        for its audio to be on its way. Speeches of one agent follow each other.

        Args:
            chunks: PCM, cut anywhere: an async generator, which is closed in the end. Without a sample
                there is no turn.
            barge_in: Cancel what is spoken or waits, instead of waiting for it.
            real_time: The chunks come no faster than they are played: 4 s are gathered first.

        Returns:
            Whether all of it is on its way. False: it was interrupted, or there is an interrupt that the
            agent has not read yet, or the turn was refused, as while a backend speaks. Nothing more of it
            is heard then.

        Raises:
            Overdue: The chunks made a pause longer than ``RELAY_AGENT_TIMEOUT_S``. The turn has ended.
            Exception: What the chunks raise. The turn has ended.

        Cancelling is safe and ends the turn.
        """
        if barge_in:
            self._cut.set()
        async with self._turns:
            self._cut.clear()
            try:
                if self._inbox.interrupted:
                    REFUSED.labels("interrupted").inc()
                    return False
                speech = self._say(chunks, barge_in=barge_in, real_time=real_time)
                self._whole = False
                await first_of(speech=speech, cut=self._until_cut())
                return self._whole
            finally:
                self._inbox.excuse(self._loop.time())

    async def transcript(self, role: str, text: str) -> None:
        """Tell the viewers what was said, by ``user`` or ``assistant``. It overtakes speech on its way.

        Waits while the store is behind.
        """
        await self._tell(events.Transcript(role[:_ROLE_CHARACTERS], text[:_TEXT_CHARACTERS]))

    async def error(self, code: str, message: str, *, retryable: bool = False) -> None:
        """Tell the viewers that something failed. Waits while the store is behind."""
        await self._tell(events.Error(code, message[:_TEXT_CHARACTERS], retryable))

    async def interrupt(self) -> None:
        """Stop what is spoken or waits. ``Interrupted`` comes back; what is said before it is refused."""
        try:
            await self._voice.interrupt()
        except REFUSALS as error:
            REFUSED.labels(type(error).__name__.lower()).inc()

    # --- the host's side -----------------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """Let the agent know of something."""
        for dropped in self._inbox.put(event, self._loop.time()):
            DROPPED.labels(type(dropped).__name__.lower()).inc()
        if isinstance(event, Interrupted | Ended):
            self._cut.set()
        self._arrived.set()

    def neglected_s(self) -> float:
        """For how long the agent has left events unread, without being busy speaking."""
        return 0.0 if self._turns.locked() else self._inbox.neglected_s(self._loop.time())

    # --- parts ---------------------------------------------------------------------------------

    async def _say(self, chunks: AsyncIterator[bytes], *, barge_in: bool, real_time: bool) -> None:
        try:
            await self._voice.say(chunks, barge_in=barge_in, real_time=real_time)
        except TooLong:
            REFUSED.labels("toolong").inc()
            await self.error("agent_speech_too_long", "the agent's speech was cut")
        except REFUSALS as error:
            REFUSED.labels(type(error).__name__.lower()).inc()
        else:
            self._whole = True

    async def _until_cut(self) -> None:
        await self._cut.wait()
        REFUSED.labels("interrupted").inc()

    async def _tell(self, event: events.StreamEvent) -> None:
        while self._is_behind():  # noqa: ASYNC110  # a number tells it, no event
            await asyncio.sleep(_PAUSE_S)
        self._publish(event)
        # An agent that only talks must not keep the event loop for itself.
        await asyncio.sleep(0)
