"""The ring: the recent frames of one feed, in memory."""

from collections import deque

from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_gateway.fanout.page import unbroken
from relay_telemetry.fast_counter import FastCounter
from relay_wire.position import Position

RING_BYTES = FastCounter("relay_gateway_ring_bytes", "Recent frames kept in memory.")


class Ring:
    """Consecutive frames, bounded in bytes; the oldest are removed first.

    Args:
        limit_bytes: The bound.
        floor: The position before the first frame.
    """

    def __init__(self, limit_bytes: int, floor: Position) -> None:
        self._limit_bytes = limit_bytes
        self._frames: deque[SharedFrame] = deque()
        self._size_bytes = 0
        self._floor = floor
        """The position before the oldest frame."""

    def append(self, frame: SharedFrame) -> None:
        """Add the next frame."""
        frames = self._frames
        frames.append(frame)
        size_bytes = self._size_bytes + len(frame.data)
        while size_bytes > self._limit_bytes:
            oldest = frames.popleft()
            self._floor = oldest.position
            size_bytes -= len(oldest.data)
        RING_BYTES.value += size_bytes - self._size_bytes
        self._size_bytes = size_bytes

    def after(self, cursor: Position, limit_bytes: int) -> Batch | None:
        """The frames that follow a cursor, up to a size, at least one.

        None when the ring does not have the frame that follows: it begins later, has no newer frame, or
        continues elsewhere, since the viewer has a frame that Redis has lost for good.
        """
        if cursor < self._floor:
            return None
        fitting: list[SharedFrame] = []
        size_bytes = 0
        for frame in self._frames:
            if frame.position <= cursor:
                continue
            size_bytes += len(frame.data)
            if fitting and size_bytes > limit_bytes:
                break
            fitting.append(frame)
        return Batch(fitting) if unbroken(cursor, fitting[:1]) else None

    def restart(self, floor: Position) -> None:
        """Remove every frame; the next one follows ``floor``."""
        self._frames.clear()
        RING_BYTES.value -= self._size_bytes
        self._size_bytes = 0
        self._floor = floor
