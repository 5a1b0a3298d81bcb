"""The dialect: the protocol of one viewer, in both directions."""

from typing import Protocol

from prometheus_client import Counter

from relay_gateway.fanout.encoder import Encoder
from relay_wire.messages import ClientMessage

UNKNOWN = Counter(
    "relay_gateway_unknown_messages_total",
    "Messages of the vendor's clients that were ignored for their type.",
)


class BadMessage(ValueError):
    """Raised when a message of a viewer cannot be decoded."""


class BadReport(BadMessage):
    """Raised for a playback report: it is skipped, and does not count towards the close for bad messages."""


class Dialect(Encoder, Protocol):
    """Decodes the messages of one viewer, and encodes those for it."""

    @property
    def protocol(self) -> str:
        """Its name in metrics."""

    def read(self, data: bytes | str) -> ClientMessage | bytes | None:
        """Decode a binary or text message of the viewer.

        Returns:
            The message; or the dialect's own reply, encoded; or None when the message needs neither.

        Raises:
            BadMessage: It cannot be decoded.
        """
