"""Batches: frames on their way to viewers, encoded once for all viewers with the same dialect."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from relay_wire import frame

Trace = tuple[bytes, bytes]
"""The context that a frame carries: its ``traceparent`` and its ``tracestate``."""


class SharedFrame:
    """One frame, and the encodings that dialects have derived from it.

    Args:
        data: The whole frame.
    """

    __slots__ = ("_derived", "data", "position", "trace")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = frame.position_of(data)
        self.trace: Trace | None = None
        """Its context, when its turn is sampled."""
        self._derived: dict[object, Any] | None = None

    def derived(self, derive: Callable[[bytes], Any]) -> Any:
        """``derive(data)``, computed once for each function."""
        if self._derived is None:
            self._derived = {}
        if derive not in self._derived:
            self._derived[derive] = derive(self.data)
        return self._derived[derive]


class SharedEncoding(Protocol):
    """A dialect in which the bytes of a batch are the same for all its viewers."""

    @staticmethod
    def encode(frames: Sequence[SharedFrame]) -> bytes:
        """The frames as messages, ready for a connection."""


class Batch:
    """Consecutive frames, at least one."""

    __slots__ = ("_encoded", "end", "frames")

    def __init__(self, frames: Sequence[SharedFrame]) -> None:
        self.frames = frames
        self.end = frames[-1].position
        """The position of the last frame."""
        self._encoded: dict[object, bytes] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def encoded(self, dialect: type[SharedEncoding]) -> bytes:
        """The messages of this batch in a dialect, computed once for each dialect."""
        messages = self._encoded.get(dialect)
        if messages is None:
            messages = self._encoded[dialect] = dialect.encode(self.frames)
        return messages
