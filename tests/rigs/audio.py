"""Speech in tests: mono PCM16."""

RATE = 16_000
"""Samples in a second."""
SECOND = bytes(index % 251 for index in range(2 * RATE))
"""One second whose every stretch of 251 bytes differs from its neighbours, so that an order shows."""
