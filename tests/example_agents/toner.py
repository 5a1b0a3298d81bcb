"""An agent that answers every text with a tone, a tenth of a second for each letter."""

from collections.abc import AsyncIterator

from relay_ingest.agents.api import Agent, AgentSession, Text


class Toner(Agent):
    accepts = frozenset((Text,))

    async def run(self, session: AgentSession) -> None:
        async for event in session:
            if isinstance(event, Text):
                await session.transcript("user", event.text)
                await session.speak(tones(event.text, session.sample_rate))


async def tones(text: str, sample_rate: int) -> AsyncIterator[bytes]:
    """Stands for a language model and a speech synthesiser."""
    for letter in text:
        wave = bytes([0, ord(letter) % 128]) * 20 + bytes([0, 128 + ord(letter) % 128]) * 20
        yield wave * (sample_rate // 10 // 40)
