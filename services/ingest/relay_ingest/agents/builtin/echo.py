"""Echo: repeats a viewer's microphone, and answers typed text with tones."""

from collections.abc import AsyncIterator

from relay_ingest.agents.api import Agent, AgentSession, Ended, Event, Interrupted, Microphone, Text
from relay_ingest.agents.builtin.tones import tones
from relay_ingest.agents.builtin.utterances import Utterances


class Echo(Agent):
    """Repeats microphone audio when the viewer has stopped talking: at the end that the client marks, after
    ``RELAY_AGENT_ECHO_SILENCE_S`` of silence, or when no audio has arrived for ``RELAY_AGENT_ECHO_GAP_S``; of
    long audio, the last ``RELAY_AGENT_ECHO_S``.

    A microphone delivers audio no faster than it plays. Motion Server therefore receives the whole recording
    at once, so that clients never run out of motion (facts 3).
    """

    async def run(self, session: AgentSession) -> None:
        """Record and repeat; an interrupt discards the recording."""
        settings = self.settings
        utterances = Utterances(
            sample_rate=session.sample_rate,
            threshold_dbfs=settings.agent_echo_threshold_dbfs,
            silence_s=settings.agent_echo_silence_s,
            longest_s=settings.agent_echo_s,
        )
        event: Event | None = None
        while not isinstance(event, Ended):
            try:
                event = await session.receive(settings.agent_echo_gap_s if utterances.has_begun else None)
            except TimeoutError:
                await session.speak(utterances.stop(), barge_in=True)
            else:
                await self._answer(session, utterances, event)

    async def _answer(self, session: AgentSession, utterances: Utterances, event: Event) -> None:
        match event:
            case Microphone(pcm, end):
                for utterance in utterances.add(pcm):
                    await session.speak(utterance, barge_in=True)
                if end:
                    await session.speak(utterances.finish(), barge_in=True)
            case Text(text):
                await session.transcript("assistant", text)
                await session.speak(self._tones(text, session.sample_rate), barge_in=True)
            case Interrupted():
                utterances.clear()

    async def _tones(self, text: str, sample_rate: int) -> AsyncIterator[bytes]:
        for tone in tones(text, sample_rate=sample_rate, longest_s=self.settings.agent_echo_s):
            yield tone
