"""The API of agents: the class to write, the session it is given, and the events it receives."""

from abc import ABC, abstractmethod
from typing import ClassVar

from relay_ingest.agents.events import ClipRequest, Ended, Event, Interrupted, Microphone, Started, Text
from relay_ingest.agents.session import AgentSession
from relay_ingest.agents.speech_output import AgentTimeout
from relay_settings.agents import AgentSettings
from relay_wire.uplink import AgentMessage

__all__ = [
    "Agent",
    "AgentSession",
    "AgentTimeout",
    "ClipRequest",
    "Ended",
    "Event",
    "Interrupted",
    "Microphone",
    "Started",
    "Text",
]


class Agent(ABC):
    """Answers the viewers of one conversation, for as long as one worker owns it.

    Args:
        settings: The operator's.
    """

    accepts: ClassVar[frozenset[type[AgentMessage]]] = frozenset((Text, Microphone, ClipRequest))
    """The viewers' messages that it answers; it receives no others.

    A viewer that sends another kind is informed once, and that message does not interrupt the avatar.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def run(self, session: AgentSession) -> None:
        """Receive events and speak until there is nothing more to do; usually a loop over the session.

        It runs on the worker's event loop, beside all its conversations, so it must never block. After it has
        returned, the conversation has no agent any more. What it raises reaches viewers as an ``error`` event
        ``agent_failed``, without its text. It is cancelled when the conversation changes owners; when the
        conversation ends, only if it takes longer than ``RELAY_AGENT_TIMEOUT_S``.
        """
