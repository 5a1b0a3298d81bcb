"""What the dashboards need and no service registers yet."""

NOT_LANDED = {
    "relay_ingest_published_timestamp_seconds",
    "relay_ingest_takeover_seconds",
    "relay_ingest_uplink_oldest_seconds",
    "relay_ingest_uplink_seconds",
    "relay_motion_credits_total",
    "relay_motion_session_seconds",
    "relay_stream_retained_bytes",
}
"""Metrics that are to come. A stack that has one of them fails: tests/e2e/test_prometheus.py."""
