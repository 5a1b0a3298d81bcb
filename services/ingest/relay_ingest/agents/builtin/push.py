"""Push: the app's backend is the only speaker."""

from relay_ingest.agents.api import Agent, AgentSession


class Push(Agent):
    """Answers nothing. The default."""

    accepts = frozenset()

    async def run(self, session: AgentSession) -> None:
        """Return at once: the backend speaks."""
