"""Deliveries: frames on their way to viewers, put into each protocol once for all who speak it."""

from collections.abc import Sequence
from functools import cached_property

from relay_gateway.socket import message_head
from relay_wire import frame
from relay_wire.compat.texts import Told, translate


class Delivery:
    """One frame. What it is in the vendor's clients' protocol is made when the first of them needs it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = frame.position_of(data)

    @cached_property
    def told(self) -> Told:
        """For the vendor's clients."""
        return translate(self.data)


class Batch:
    """Frames that follow each other, at least one."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries = deliveries
        self.end = deliveries[-1].position

    def __len__(self) -> int:
        return len(self.deliveries)

    @cached_property
    def binary(self) -> bytes:
        """For native viewers: WebSocket messages, joined."""
        return b"".join(
            part for each in self.deliveries for part in (message_head(len(each.data)), each.data)
        )
