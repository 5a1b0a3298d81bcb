"""Echo: repeats a viewer's microphone."""

from relay_ingest.agents.api import Agent, AgentSession, Interrupted, Microphone
from relay_wire.pcm import chunk_bytes


class Echo(Agent):
    """Repeats microphone audio after its end has arrived; of long audio, the last ``RELAY_AGENT_ECHO_S``.

    A microphone delivers audio no faster than it plays. Motion Server therefore receives the whole recording
    at once, so that clients never run out of motion (facts 3).
    """

    async def run(self, session: AgentSession) -> None:
        """Record and repeat; an interrupt discards the recording."""
        limit_bytes = chunk_bytes(int(self.settings.agent_echo_s * 1000), session.sample_rate)
        recording = bytearray()
        async for event in session:
            match event:
                case Microphone(pcm, end):
                    recording += pcm
                    del recording[:-limit_bytes]
                    if end:
                        await session.speak(bytes(recording), barge_in=True)
                        recording.clear()
                case Interrupted():
                    recording.clear()
