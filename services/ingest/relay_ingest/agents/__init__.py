"""Agents: who answers the viewers of a conversation. docs/guide/agents.md shows how to write one."""

from relay_ingest.agents.api import Agent
from relay_ingest.agents.events import ClipRequest, Ended, Event, Interrupted, Microphone, Started, Text
from relay_ingest.agents.session import AgentSession

__all__ = [
    "Agent",
    "AgentSession",
    "ClipRequest",
    "Ended",
    "Event",
    "Interrupted",
    "Microphone",
    "Started",
    "Text",
]
