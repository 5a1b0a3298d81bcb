"""Speakers: every audio socket that is open now, as many as one process serves."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter

from relay_control.audio_socket import AudioSocket
from relay_runtime.drain import Sessions, drain
from relay_runtime.tasks import TaskScope
from relay_wire import problems
from relay_wire.problems import Problem

REFUSED = Counter("relay_control_speakers_refused_total", "Audio sockets refused: the process had its limit.")
_RETRY_S = 1


class Speakers(Sessions[AudioSocket]):
    """Doors, each from its upgrade to its end.

    Args:
        limit: Most audio sockets at once, those included whose upgrade is under way.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._admitted = 0

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count one audio socket, from before its upgrade to its end.

        Raises:
            Problem: The process serves as many as it may.
        """
        if self._admitted >= self._limit:
            REFUSED.inc()
            text = f"this process serves {self._limit} audio sockets (RELAY_MAX_SPEAKERS)"
            raise Problem(problems.OVERLOADED, text, retry_after_s=_RETRY_S)
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def drain(self, drain_s: float) -> None:
        """Send every speaker elsewhere, spread over this time. Cancelling is safe."""
        async with TaskScope() as leaving:
            await drain(
                self,
                drain_s,
                advise=lambda _door, _after_ms: None,
                close=lambda door: leaving.spawn(door.drain(), name="drain"),
            )
