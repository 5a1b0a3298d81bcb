"""Speakers: every audio socket that is open now."""

from relay_control.door import Door
from relay_runtime.drain import Sessions, drain
from relay_runtime.tasks import TaskScope


class Speakers(Sessions[Door]):
    """Doors, each from its upgrade to its end."""

    async def drain(self, drain_s: float) -> None:
        """Send every speaker elsewhere, spread over this time. Cancelling is safe."""
        async with TaskScope() as leaving:
            await drain(
                self,
                drain_s,
                advise=lambda _door, _after_ms: None,
                close=lambda door: leaving.spawn(door.drain(), name="drain"),
            )
