"""The speech queue: messages of a speaker that are not processed yet, in order."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

from prometheus_client import Gauge

QUEUED_BYTES = Gauge("relay_control_queued_bytes", "Bytes of speech received and not yet in the uplink.")
_ITEM_BYTES = 128
"""Counted for an item beside its audio, so that items without audio are bounded too."""

T = TypeVar("T")


class SpeechQueue(Generic[T]):
    """A queue of audio and of messages, bounded in bytes: at the limit ``put`` waits, so nothing is read.

    Args:
        limit_bytes: At this size ``put`` waits. One item may exceed it.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._items: deque[tuple[bytes | T, float]] = deque()
        self._size = 0
        self._popped_at = 0.0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, item: bytes | T) -> None:
        """Add an item, once the queue is below its limit."""
        await self._room.wait()
        self._items.append((item, asyncio.get_running_loop().time()))
        self._resize(_cost(item))
        self._changed.set()

    async def get(self) -> bytes | T:
        """Remove and return the next item; waits for one."""
        while not self._items:
            await self._change()
        return self._pop()

    async def get_joined(self, *, least_bytes: int, most_bytes: int, window_s: float) -> bytes | T:
        """Remove and return the next message, or the audio before it, joined.

        Args:
            least_bytes: Audio that does not wait for more.
            most_bytes: Most audio to join.
            window_s: Longest wait of the first piece for more.
        """
        item = await self.get()
        if not isinstance(item, bytes):
            return item
        pieces, size = [item], len(item)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._popped_at + window_s):
                while size < least_bytes:
                    while not self._items:
                        await self._change()
                    if not (more := self._pop_audio(most_bytes - size)):
                        break
                    pieces.append(more)
                    size += len(more)
        while more := self._pop_audio(most_bytes - size):
            pieces.append(more)
            size += len(more)
        return b"".join(pieces)

    def drop_before(self, message: T | None) -> int:
        """Drop the items before this message; all items if it is None. Returns the dropped bytes of audio."""
        dropped = 0
        while self._items and self._items[0][0] is not message:
            item = self._pop()
            dropped += len(item) if isinstance(item, bytes) else 0
        return dropped

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _pop_audio(self, most_bytes: int) -> bytes:
        """Remove the next item if it is audio that fits; else return nothing."""
        item = self._items[0][0] if self._items else b""
        if not isinstance(item, bytes) or not 0 < len(item) <= most_bytes:
            return b""
        self._pop()
        return item

    def _pop(self) -> bytes | T:
        item, self._popped_at = self._items.popleft()
        self._resize(-_cost(item))
        return item

    def _resize(self, change: int) -> None:
        self._size += change
        QUEUED_BYTES.inc(change)
        if self._size < self._limit_bytes:
            self._room.set()
        else:
            self._room.clear()


def _cost(item: object) -> int:
    return _ITEM_BYTES + (len(item) if isinstance(item, bytes) else 0)
