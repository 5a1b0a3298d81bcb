"""The agent: the one class to write."""

from abc import ABC, abstractmethod

from relay_ingest.agents.session import AgentSession
from relay_settings.agents import AgentSettings


class Agent(ABC):
    """Answers the viewers of one conversation, during one owner's term.

    Args:
        settings: The operator's.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def converse(self, stage: AgentSession) -> None:
        """Listen and speak until there is nothing more to do; usually a loop over the stage's events.

        It runs on the worker's event loop, beside all its conversations, so it must never block.
        Returning is fine: nobody answers then. What it raises is told to viewers as ``agent_failed``.
        It is cancelled when the conversation changes owners; when it ends, only if it takes too long.
        """
