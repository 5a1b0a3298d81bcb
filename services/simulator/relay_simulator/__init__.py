"""The simulator: the vendor's Console API and Motion Server, spoken as the real SDK expects (facts 12)."""
