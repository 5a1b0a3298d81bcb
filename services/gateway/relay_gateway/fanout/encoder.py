"""The seam between the fan-out and a viewer's protocol."""

from typing import Protocol

from relay_gateway.fanout.batch import Batch
from relay_wire import events
from relay_wire.close_codes import CloseCode
from relay_wire.position import Position


class Encoder(Protocol):
    """Encodes frames and events for one viewer, as whole messages ready for its connection."""

    @property
    def complete(self) -> bool:
        """Whether the viewer has received everything that it connected for."""

    @property
    def idle(self) -> bool:
        """Whether a close now would cut nothing that the viewer cannot resume elsewhere."""

    def frames(self, batch: Batch) -> bytes:
        """The next frames of the stream."""

    def event(self, event: events.GatewayEvent, cursor: Position, /) -> bytes:
        """An event of the gateway's own, after the frame at the cursor."""

    def last(self, code: CloseCode, /) -> bytes:
        """The messages before a close by the gateway; after them nothing is encoded."""
