"""The dialect: the protocol of one viewer, in both directions."""

from typing import Protocol

from relay_gateway.fanout.encoder import Encoder
from relay_wire.messages import ClientMessage


class BadMessage(ValueError):
    """Raised when a viewer sent something that cannot be decoded."""


class BadReport(BadMessage):
    """Raised when that is a playback report: it is skipped, and does not count towards closing the viewer."""


class Dialect(Encoder, Protocol):
    """Decodes what one viewer sends, and encodes what it receives."""

    def read(self, data: bytes | str) -> ClientMessage | bytes | None:
        """Decode a binary or text message of the viewer.

        Returns:
            The message; or the reply to it, encoded, when the dialect has it; or None when neither is needed.

        Raises:
            BadMessage: It cannot be decoded.
        """
