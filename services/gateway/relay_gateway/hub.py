"""The audience: every viewer this gateway serves now."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from relay_gateway.fanout.subscriber import Subscriber
from relay_runtime.drain import Sessions

VIEWERS = Gauge("relay_gateway_viewers", "Open viewer sockets.")
UNSENT = Gauge("relay_gateway_unsent_bytes", "Bytes written to viewers that the kernel has not taken yet.")


class Hub(Sessions[Subscriber]):
    """Subscribers, from their handshake to their end."""

    def __init__(self) -> None:
        super().__init__()
        UNSENT.set_function(lambda: self.unsent_bytes)

    @property
    def unsent_bytes(self) -> int:
        """What waits in all sockets' buffers."""
        return sum(subscriber.unsent_bytes for subscriber in self)

    @contextmanager
    def seat(self, subscriber: Subscriber) -> Iterator[None]:
        """Count this one in while the block runs."""
        with self.join(subscriber), VIEWERS.track_inprogress():
            yield
