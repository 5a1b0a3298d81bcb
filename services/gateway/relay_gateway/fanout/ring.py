"""The ring: the recent frames of one feed, in memory."""

from collections import deque

from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_telemetry.fast_counter import FastCounter
from relay_wire.position import Position

RING_BYTES = FastCounter("relay_gateway_ring_bytes", "Recent frames kept in memory.")


class Ring:
    """Recent frames, bounded in bytes; the oldest go first."""

    def __init__(self, limit_bytes: int, floor: Position) -> None:
        self._limit_bytes = limit_bytes
        self._deliveries: deque[SharedFrame] = deque()
        self._size_bytes = 0
        self._floor = floor

    def append(self, delivery: SharedFrame) -> None:
        """Keep one more frame."""
        deliveries = self._deliveries
        deliveries.append(delivery)
        size_bytes = self._size_bytes + len(delivery.data)
        while size_bytes > self._limit_bytes:
            oldest = deliveries.popleft()
            self._floor = oldest.position
            size_bytes -= len(oldest.data)
        RING_BYTES.value += size_bytes - self._size_bytes
        self._size_bytes = size_bytes

    def after(self, cursor: Position, limit_bytes: int) -> Batch | None:
        """Frames that follow a cursor, as many as fit (at least one).

        None when the ring does not reach back that far, or has nothing newer.
        """
        if cursor < self._floor:
            return None
        fitting: list[SharedFrame] = []
        size_bytes = 0
        for delivery in self._deliveries:
            if delivery.position <= cursor:
                continue
            size_bytes += len(delivery.data)
            if fitting and size_bytes > limit_bytes:
                break
            fitting.append(delivery)
        return Batch(fitting) if fitting else None

    def restart(self, floor: Position) -> None:
        """Forget everything; what comes next follows ``floor``."""
        self._deliveries.clear()
        RING_BYTES.value -= self._size_bytes
        self._size_bytes = 0
        self._floor = floor
