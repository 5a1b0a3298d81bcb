"""Stored frames: entries of a down stream, reduced to what a timeline is made of."""

from collections.abc import Mapping
from typing import NamedTuple, Self

from relay_wire import events, frame, text
from relay_wire.frame import Kind
from relay_wire.position import Position


class StoredFrame(NamedTuple):
    """One frame of a down stream, without its audio and motion."""

    position: Position
    kind: Kind
    turn: int
    media_ms: int
    """Audio of the turn published before it."""
    published_at_s: float
    """Wall time at the owner."""
    payload_bytes: int
    is_end: bool = False
    event: events.Event | events.Unknown | None = None
    traceparent: str = ""

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read the fields of a stream entry.

        Raises:
            FrameError: They hold no frame.
        """
        data = fields.get(b"f", b"")
        found = frame.decode(data)
        return cls(
            position=found.position,
            kind=found.kind,
            turn=found.turn,
            media_ms=found.media_ms,
            published_at_s=found.published_at_us / 1e6,
            payload_bytes=len(found.payload),
            is_end=found.is_end,
            event=events.of_frame(data),
            traceparent=text.traceparent(fields.get(b"traceparent", b"").decode("ascii", "replace")),
        )
