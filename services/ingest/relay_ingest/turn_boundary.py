"""Turn boundary: the time between two turns of a conversation, as its owner's clock and wall time have it."""

import asyncio
import time

from relay_turns.phase import Phase


class TurnBoundary:
    """Follows the phase of one conversation's turns.

    Args:
        phase: The present one.
    """

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._reached = asyncio.Event()
        self._idle_at_ms = 0
        """The wall time at which the last turn was over; 0: unknown."""

    def follow(self, phase: Phase) -> None:
        """Note the phase after a change of the turn's state."""
        if phase == "speaking":
            self._reached.clear()
        else:
            self._reached.set()
        if phase != self._phase:
            self._phase = phase
            if phase == "idle":
                self._idle_at_ms = int(time.time() * 1000)

    def ready_ms(self, stored_ms: int) -> int:
        """When a turn could begin whose speech was stored then: not before the last turn was over."""
        return max(stored_ms, self._idle_at_ms)

    async def wait(self) -> None:
        """Wait until no turn is spoken. Safe to cancel."""
        await self._reached.wait()

    def release(self) -> None:
        """End every wait: the owner has stopped."""
        self._reached.set()


def wall_ms(moment: float | None) -> int:
    """The wall time of a moment on the event loop's clock, in ms since the epoch; 0 for none."""
    if moment is None:
        return 0
    return int((time.time() + moment - asyncio.get_running_loop().time()) * 1000)
