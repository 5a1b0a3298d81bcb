"""What the dashboards need and no service registers yet."""

NOT_LANDED: set[str] = set()
"""Metrics that are to come. A stack that has one of them fails: tests/e2e/test_prometheus.py."""
