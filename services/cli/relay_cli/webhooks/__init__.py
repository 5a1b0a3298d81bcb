"""``avatar-relay webhooks``: deliveries that wait, dead letters, and a test of an endpoint."""
