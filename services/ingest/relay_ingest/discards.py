"""Discards: input that an owner may not publish, counted by kind and reason."""

from relay_telemetry.counter import OPEN, counter, expect
from relay_turns.effects import DISCARDS

DISCARDED = counter(
    "relay_ingest_discarded_total",
    "Input discarded because it may not be published.",
    what=OPEN,
    reason=OPEN,
)
for _what, _reasons in DISCARDS.items():
    for _reason in _reasons:
        expect(DISCARDED, what=_what, reason=_reason)
