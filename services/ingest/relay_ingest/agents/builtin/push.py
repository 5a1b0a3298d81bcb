"""Push: the app's backend speaks, nobody else."""

from relay_ingest.agents.api import Agent
from relay_ingest.agents.session import AgentSession


class Push(Agent):
    """Answers nothing. The default."""

    async def converse(self, stage: AgentSession) -> None:
        """Leave the stage to the backend."""
