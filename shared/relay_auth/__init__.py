"""Auth: viewer tokens, which control signs and gateways verify, and API keys, which control verifies."""
