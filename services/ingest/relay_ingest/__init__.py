"""Ingest: owns conversations. Holds leases and Motion sessions, runs turns, publishes frames."""
