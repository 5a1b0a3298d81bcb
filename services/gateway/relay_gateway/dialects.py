"""Dialects: the protocols viewers speak. A dialect turns frames and the gateway's events into messages."""

from collections.abc import Iterable
from typing import Protocol

from relay_gateway.delivery import Batch
from relay_gateway.socket import TEXT, message_head
from relay_wire import events, frame
from relay_wire.compat import texts
from relay_wire.compat.rounds import Rounds
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import Position


class Dialect(Protocol):
    """How one viewer is written to. Everything comes back as whole WebSocket messages, joined."""

    def frames(self, batch: Batch) -> bytes:
        """The stream's next frames."""

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """An event of the gateway's own, after the frame at the cursor."""


class Native:
    """``avatar-relay.v1``: the frames themselves, the same bytes for everybody."""

    def frames(self, batch: Batch) -> bytes:
        """Part of ``Dialect``."""
        return batch.binary

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """Part of ``Dialect``."""
        payload = events.encode(event)
        data = frame.encode(
            Frame(Kind.EVENT, Flags.NONE, Codec.PCM_S16LE, 0, cursor.generation, 0, 0, 0, payload)
        )
        return message_head(len(data)) + data


class Compat:
    """The vendor's clients: JSON texts of what one of them can use.

    Args:
        conversation: Its id, which ``ready`` carries.
    """

    def __init__(self, conversation: str) -> None:
        self._conversation = conversation
        self._rounds = Rounds()

    def frames(self, batch: Batch) -> bytes:
        """Part of ``Dialect``."""
        return text_messages(
            text for delivery in batch.deliveries for text in self._rounds.follow(delivery.told)
        )

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """Part of ``Dialect``."""
        _ = cursor
        match event:
            case events.Hello():
                return text_messages([texts.ready(self._conversation, event)])
            case events.Gap():
                return text_messages(self._rounds.miss())
            case _:
                return text_messages(texts.of_event(event))


def text_messages(parts: Iterable[bytes]) -> bytes:
    """Texts as WebSocket messages, joined."""
    return b"".join(piece for text in parts for piece in (message_head(len(text), TEXT), text))
