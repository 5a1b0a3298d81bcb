"""Agents: the code that answers viewers. An agent imports ``relay_ingest.agents.api``."""
