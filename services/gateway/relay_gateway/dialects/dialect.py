"""The dialect: how one viewer is spoken with. It reads what the viewer says, and writes what it is told."""

from typing import Protocol

from aiohttp import WSMessage

from relay_gateway.fanout.batch import Batch
from relay_wire import events
from relay_wire.messages import ClientMessage
from relay_wire.position import Position


class BadMessage(ValueError):
    """Raised when a viewer sent something that cannot be understood."""


class BadReport(BadMessage):
    """Raised when that is a playback report: it is passed over, since a viewer is not to end by it."""


class Dialect(Protocol):
    """One viewer's protocol. What the viewer is told comes as whole WebSocket messages, joined."""

    @property
    def over(self) -> bool:
        """Whether the viewer has all it came for."""

    def read(self, message: WSMessage) -> ClientMessage | bytes | None:
        """What a viewer says; or the answer, when the dialect has it; or nothing of interest.

        Raises:
            BadMessage: It cannot be understood.
        """

    def frames(self, batch: Batch) -> bytes:
        """The stream's next frames."""

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """An event of the gateway's own, after the frame at the cursor."""
