"""All scenarios; importing this fills the registry."""

from tests.benchmarks.scenarios import delivery, idle, ingest, load, scale, storm, tracing

__all__ = ["delivery", "idle", "ingest", "load", "scale", "storm", "tracing"]
