"""The hub: every viewer that a gateway serves now, and their drain."""

import asyncio

from prometheus_client import Gauge

from relay_gateway.fanout.subscriber import Subscriber
from relay_gateway.socket import CLOSE_S
from relay_runtime.drain import Sessions, drain
from relay_telemetry.fast_counter import FastCounters
from relay_wire import events
from relay_wire.close_codes import RESTART

PROTOCOLS = ("native", "avatarkit_json", "avatarkit_binary")
VIEWERS = FastCounters("relay_gateway_viewers", "Open viewer sockets.", "protocol", PROTOCOLS)
UNSENT = Gauge("relay_gateway_unsent_bytes", "Bytes written to viewers that the kernel has not accepted yet.")


class Hub(Sessions[Subscriber]):
    """Subscribers, from their handshake to their end."""

    def __init__(self) -> None:
        super().__init__()
        self.leaving = False
        """Whether further viewers are refused."""

    def start(self) -> None:
        """Report the buffers of this hub's viewers in the metrics."""
        UNSENT.set_function(lambda: self.unsent_bytes)

    @property
    def unsent_bytes(self) -> int:
        """The bytes in the buffers of all sockets."""
        return sum(subscriber.unsent_bytes for subscriber in self)

    async def drain(self, drain_s: float) -> None:
        """Refuse further viewers, and advise the present to reconnect elsewhere, at moments of their own.

        A viewer that cannot resume is closed at the end of its turn, if that comes within ``drain_s``.
        Returns when the last has left, at the latest a little after ``drain_s``; ``close`` ends the rest.
        Safe to cancel.
        """
        self.leaving = True
        await drain(
            self,
            drain_s,
            advise=lambda viewer, after_ms: viewer.send_event(events.Reconnect(after_ms, "draining")),
            close=lambda viewer: viewer.leave(RESTART),
            end=lambda viewer: viewer.end(RESTART),
        )

    async def close(self) -> None:
        """Refuse further viewers, and close the sockets of the present ones at once."""
        self.leaving = True
        for subscriber in self:
            subscriber.end(RESTART)
        await self.gone_by(asyncio.get_running_loop().time() + CLOSE_S)
