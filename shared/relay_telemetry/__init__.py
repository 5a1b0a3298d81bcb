"""Telemetry: logs, metrics and traces of every process, and the admin port that shows its health."""
