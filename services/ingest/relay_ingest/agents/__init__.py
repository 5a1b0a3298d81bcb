"""Agents: who answers the viewers of a conversation. docs/agents.md shows how to write one."""

from relay_ingest.agents.agent import Agent
from relay_ingest.agents.happening import Ended, Event, Interrupted, Microphone, Sample, Started, Text
from relay_ingest.agents.stage import Stage

__all__ = ["Agent", "Ended", "Event", "Interrupted", "Microphone", "Sample", "Stage", "Started", "Text"]
