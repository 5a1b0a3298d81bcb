"""Entries of the outbox: complete ones are read, damaged ones are refused."""

import pytest

from relay_streams.outbox import OutboxEvent
from relay_telemetry.trace_context import NO_TRACE, Context

FIELDS = {b"id": b"c.1-2", b"k": b"turn.ended", b"c": b"c", b"d": b"{}"}
TRACE = f"00-{'1' * 32}-{'2' * 16}-01"


def test_every_field() -> None:
    """The entry's id gives the time."""
    fields = {**FIELDS, b"n": b"3", b"a": b"key", b"t": TRACE.encode(), b"v": b"1500"}
    assert OutboxEvent.from_fields(4, "1700-1", fields) == OutboxEvent(
        "c.1-2", 3, "turn.ended", "c", 4, "key", b"{}", Context(TRACE), 1500, 1700, "1700-1"
    )


def test_optional_fields() -> None:
    """An internal event has no order number; without a creator, a trace and viewers there is nothing."""
    event = OutboxEvent.from_fields(0, "1-0", FIELDS)
    assert (event.order, event.key_id, event.trace, event.viewer_ms) == (0, "", NO_TRACE, 0)


@pytest.mark.parametrize("missing", FIELDS)
def test_a_missing_field(missing: bytes) -> None:
    """The entry is refused."""
    with pytest.raises(ValueError, match="without"):
        OutboxEvent.from_fields(0, "1-0", {name: text for name, text in FIELDS.items() if name != missing})


@pytest.mark.parametrize(
    "damage", [{b"n": b"-1"}, {b"n": b"1" * 17}, {b"v": b"x"}, {b"id": b"\xff"}, {b"t": b"\xff"}]
)
def test_a_damaged_field(damage: dict[bytes, bytes]) -> None:
    """The entry is refused."""
    with pytest.raises(ValueError, match=r"."):
        OutboxEvent.from_fields(0, "1-0", {**FIELDS, **damage})
