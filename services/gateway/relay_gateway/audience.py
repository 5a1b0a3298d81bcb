"""The audience: every viewer this gateway serves now."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from relay_gateway.subscriber import Subscriber

VIEWERS = Gauge("relay_gateway_viewers", "Open viewer sockets.")
UNSENT = Gauge("relay_gateway_unsent_bytes", "Bytes written to viewers that the kernel has not taken yet.")


class Audience:
    """Subscribers, from their handshake to their end."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self._gone = asyncio.Event()
        self._gone.set()
        UNSENT.set_function(lambda: self.unsent_bytes)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(tuple(self._subscribers))

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def unsent_bytes(self) -> int:
        """What waits in all sockets' buffers."""
        return sum(subscriber.unsent_bytes for subscriber in self._subscribers)

    @contextmanager
    def seat(self, subscriber: Subscriber) -> Iterator[None]:
        """Count this one in while the block runs."""
        self._subscribers.add(subscriber)
        self._gone.clear()
        VIEWERS.inc()
        try:
            yield
        finally:
            VIEWERS.dec()
            self._subscribers.discard(subscriber)
            if not self._subscribers:
                self._gone.set()

    async def gone_by(self, deadline: float) -> bool:
        """Wait until nobody is left, at most until this moment of the loop's clock; whether it is so."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True
