"""Memory: the frames an owner can write again when the store has lost them."""

from collections import deque
from collections.abc import Iterable

from relay_streams.pending_batch import PendingBatch
from relay_telemetry.fast_counter import FastCounter

REMEMBERED = FastCounter("relay_publish_remembered_bytes", "Acknowledged frames kept for writing them again.")


class RetransmitBuffer:
    """Acknowledged appends of one writer, oldest first, bounded in bytes and age; the oldest go first.

    Args:
        limit_bytes: Most bytes of frames kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._appends: deque[PendingBatch] = deque()
        self._size_bytes = 0

    def add(self, appends: Iterable[PendingBatch]) -> None:
        """Keep what was just acknowledged."""
        for append in appends:
            self._appends.append(append)
            self._resize(append.size_bytes)
        while self._size_bytes > self._limit_bytes:
            self._resize(-self._appends.popleft().size_bytes)

    def forget(self, before: float) -> None:
        """Drop what was appended before this moment of the monotonic clock."""
        while self._appends and self._appends[0].at < before:
            self._resize(-self._appends.popleft().size_bytes)

    def clear(self) -> None:
        """Drop everything."""
        self._appends.clear()
        self._resize(-self._size_bytes)

    @property
    def first_seq(self) -> int | None:
        """The oldest frame kept; None when there is none."""
        return self._appends[0].first_seq if self._appends else None

    def take_after(self, seq: int) -> list[PendingBatch]:
        """Take out what has frames after this one, in order."""
        taken: deque[PendingBatch] = deque()
        while self._appends and self._appends[-1].last_seq > seq:
            taken.appendleft(self._appends.pop())
            self._resize(-taken[0].size_bytes)
        return list(taken)

    def _resize(self, by_bytes: int) -> None:
        self._size_bytes += by_bytes
        REMEMBERED.value += by_bytes
