"""Echo: says what it hears."""

from collections.abc import AsyncIterator

from relay_ingest.agents.api import Agent
from relay_ingest.agents.events import Interrupted, Microphone
from relay_ingest.agents.session import AgentSession
from relay_wire.pcm import chunk_bytes


class Echo(Agent):
    """Repeats what was said into the microphone, once its end is told.

    A microphone is no faster than playback, so nothing is spoken before all of it is in: Motion Server
    gets it at once and the clients never run out of motion (facts 3).
    """

    async def converse(self, stage: AgentSession) -> None:
        """Listen, repeat; an interrupt makes it forget what it has heard."""
        limit_bytes = chunk_bytes(int(self.settings.agent_echo_s * 1000), stage.sample_rate)
        heard = bytearray()
        async for event in stage:
            match event:
                case Microphone(pcm, end):
                    heard += pcm
                    del heard[:-limit_bytes]
                    if end:
                        await stage.speak(_once(bytes(heard)), barge_in=True)
                        heard.clear()
                case Interrupted():
                    heard.clear()


async def _once(pcm: bytes) -> AsyncIterator[bytes]:
    yield pcm
