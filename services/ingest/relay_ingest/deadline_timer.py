"""Deadline timer: one callback at the next moment at which something is due."""

import asyncio
from collections.abc import Callable


class DeadlineTimer:
    """Calls back at the moment that was set last. Must be created on the event loop.

    Args:
        on_time: The callback.
    """

    def __init__(self, on_time: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_time = on_time
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def set(self, deadline: float | None) -> None:
        """Call back at this moment of the loop's clock, and at none that was set before; None: not at all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._closed:
            self._timer = self._loop.call_at(deadline, self._expire)

    def close(self) -> None:
        """Call back no more, whatever is set."""
        self._closed = True
        self.set(None)

    def _expire(self) -> None:
        self._timer = None
        self._on_time()
