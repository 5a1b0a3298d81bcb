"""Speakers: the open audio sockets of the process, up to its limit."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter

from relay_control.audio_socket import AudioSocket
from relay_runtime.drain import Sessions, drain
from relay_runtime.tasks import TaskScope
from relay_wire import problems
from relay_wire.problems import Problem

REFUSED = Counter(
    "relay_control_speakers_refused_total", "Audio sockets refused at the limit of the process."
)
_RETRY_S = 1


class Speakers(Sessions[AudioSocket]):
    """The open audio sockets, each from its upgrade to its end.

    Args:
        limit: Most audio sockets at once, with those whose upgrade is under way.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._admitted = 0

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count one audio socket, from before its upgrade to its end.

        Raises:
            Problem: The process is at its limit.
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
        """Close every socket, spread over this time, so that its speaker connects to another process.

        Cancelling is safe.
        """
        async with TaskScope() as closing:
            await drain(
                self,
                drain_s,
                advise=lambda _socket, _after_ms: None,
                close=lambda socket: closing.spawn(socket.drain(), name="drain"),
            )
