"""Echo: repeats a viewer's microphone, and answers typed text with tones."""

import asyncio
from collections.abc import AsyncIterator

from relay_ingest.agents.api import Agent, AgentSession, Ended, Event, Interrupted, Microphone, Text
from relay_ingest.agents.builtin.resampler import resampled
from relay_ingest.agents.builtin.tones import tones
from relay_ingest.agents.builtin.utterances import Utterances
from relay_settings.agents import AgentSettings


class Echo(Agent):
    """Repeats microphone audio when the viewer has stopped talking: at the end that the client marks, after
    ``RELAY_AGENT_ECHO_SILENCE_S`` of silence, or when no audio has arrived for ``RELAY_AGENT_ECHO_GAP_S``; of
    long audio, the last ``RELAY_AGENT_ECHO_S``.

    A microphone delivers audio no faster than it plays. Motion Server therefore receives the whole recording
    at once, so that clients never run out of motion (facts 3).
    """

    accepts = frozenset((Microphone, Text))

    def __init__(self, settings: AgentSettings) -> None:
        super().__init__(settings)
        self._recordings: dict[int, Utterances] = {}
        """By sample rate: clients of one conversation may have different ones."""

    async def run(self, session: AgentSession) -> None:
        """Record and repeat; an interrupt discards the recording."""
        event: Event | None = None
        while not isinstance(event, Ended):
            begun = any(recording.has_begun for recording in self._recordings.values())
            try:
                event = await session.receive(self.settings.agent_echo_gap_s if begun else None)
            except TimeoutError:
                for sample_rate, recording in self._recordings.items():
                    await self._repeat(session, recording.stop(), sample_rate)
            else:
                await self._answer(session, event)

    async def _answer(self, session: AgentSession, event: Event) -> None:
        match event:
            case Microphone(pcm, end, sample_rate):
                recording = self._recording(sample_rate)
                for utterance in recording.add(pcm):
                    await self._repeat(session, utterance, sample_rate)
                if end:
                    await self._repeat(session, recording.finish(), sample_rate)
            case Text(text):
                await session.transcript("assistant", text)
                await session.speak(self._tones(text, session.sample_rate), barge_in=True)
            case Interrupted():
                for recording in self._recordings.values():
                    recording.clear()

    async def _repeat(self, session: AgentSession, pcm: bytes, sample_rate: int) -> None:
        if pcm and sample_rate != session.sample_rate:
            pcm = await asyncio.to_thread(resampled, pcm, sample_rate=sample_rate, to=session.sample_rate)
        if pcm:
            await session.speak(pcm, barge_in=True)

    def _recording(self, sample_rate: int) -> Utterances:
        if sample_rate not in self._recordings:
            self._recordings[sample_rate] = Utterances(
                sample_rate=sample_rate,
                threshold_dbfs=self.settings.agent_echo_threshold_dbfs,
                silence_s=self.settings.agent_echo_silence_s,
                longest_s=self.settings.agent_echo_s,
            )
        return self._recordings[sample_rate]

    async def _tones(self, text: str, sample_rate: int) -> AsyncIterator[bytes]:
        for tone in tones(text, sample_rate=sample_rate, longest_s=self.settings.agent_echo_s):
            yield tone
