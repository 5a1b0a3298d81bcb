"""Recovery: how long a viewer has no frames after its connection ends. Pure: the caller passes the time."""

from relay_cli.recording import percentile


class Recovery:
    """Measures one viewer.

    Attributes:
        times_ms: From the end of each connection to the next new frame, in ms.
        stall_ms: The longest time between two frames of one turn, in ms.
    """

    def __init__(self) -> None:
        self.times_ms: list[float] = []
        self.stall_ms = 0.0
        self._disconnected_at: float | None = None
        self._last: tuple[int, float] | None = None

    def disconnect(self, now: float) -> None:
        """Record the end of a connection; further ends before the next frame have no effect.

        Args:
            now: In seconds, of any steady clock.
        """
        if self._disconnected_at is None:
            self._disconnected_at = now

    def receive(self, turn: int, now: float) -> None:
        """Record a frame that arrived for the first time.

        Args:
            turn: Its turn; 0 for a frame of none.
            now: In seconds, of the same clock.
        """
        if self._disconnected_at is not None:
            self.times_ms.append((now - self._disconnected_at) * 1000)
            self._disconnected_at = None
        if not turn:  # as owner_changed, which a new owner publishes after the pause
            return
        if self._last is not None and turn == self._last[0]:
            self.stall_ms = max(self.stall_ms, (now - self._last[1]) * 1000)
        self._last = turn, now


def distribution(times_ms: list[float]) -> dict[str, float | int | None]:
    """Count, p50, p90, p99 and maximum; None where there are no times."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {"count": len(times_ms)} | {
        name: round(percentile(times_ms, share), 1) if times_ms else None for name, share in shares.items()
    }
