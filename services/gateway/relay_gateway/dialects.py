"""Dialects: the protocols viewers speak. A dialect reads what one viewer says, and writes what it is told."""

from collections.abc import Iterable
from typing import Protocol

from aiohttp import WSMessage, WSMsgType
from prometheus_client import Counter

from relay_gateway.delivery import Batch
from relay_gateway.socket import TEXT, message_head
from relay_streams.conversations import Conversation
from relay_wire import events, frame, messages
from relay_wire.compat import messages as clients
from relay_wire.compat import texts
from relay_wire.compat.rounds import Rounds
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.messages import Said
from relay_wire.position import Position

UNKNOWN = Counter("relay_gateway_unknown_messages_total", "Messages of types that no client we know has.")


class BadMessage(ValueError):
    """Raised when a viewer sent something that cannot be understood."""


class Dialect(Protocol):
    """How one viewer is spoken with. What it is told comes as whole WebSocket messages, joined."""

    def read(self, message: WSMessage) -> Said | bytes | None:
        """What a viewer says; or the answer, when the dialect has it; or nothing of interest.

        Raises:
            BadMessage: It cannot be understood.
        """

    def frames(self, batch: Batch) -> bytes:
        """The stream's next frames."""

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """An event of the gateway's own, after the frame at the cursor."""


class Native:
    """``avatar-relay.v1``: the frames themselves, the same bytes for everybody."""

    def read(self, message: WSMessage) -> Said:
        """Part of ``Dialect``."""
        try:
            if message.type is WSMsgType.TEXT:
                return messages.decode(message.data)
            received = frame.decode(message.data)
        except (messages.MessageError, frame.FrameError) as error:
            raise BadMessage(str(error)) from None
        if received.kind is not Kind.MICROPHONE:
            raise BadMessage(
                f"viewers send microphone audio, kind {Kind.MICROPHONE:d}, not {received.kind:d}"
            )
        return messages.Microphone(bytes(received.payload), received.is_end)

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
        record: Its conversation.
    """

    def __init__(self, record: Conversation) -> None:
        self._record = record
        self._rounds = Rounds()

    def read(self, message: WSMessage) -> Said | bytes | None:
        """Part of ``Dialect``."""
        if message.type is not WSMsgType.TEXT:
            raise BadMessage("messages here are JSON text")
        try:
            said = clients.decode(message.data)
        except messages.MessageError as error:
            raise BadMessage(str(error)) from None
        return self._answer(said) or _meaning(said)

    def frames(self, batch: Batch) -> bytes:
        """Part of ``Dialect``."""
        return _text_messages(
            text for delivery in batch.deliveries for text in self._rounds.follow(delivery.told)
        )

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """Part of ``Dialect``."""
        _ = cursor
        match event:
            case events.Hello():
                return _text_messages([texts.ready(self._record.id, event)])
            case events.Gap():
                return _text_messages(self._rounds.miss())
            case _:
                return _text_messages(texts.of_event(event))

    def _answer(self, said: clients.Message | clients.Unknown) -> bytes | None:
        match said:
            case clients.StartAgent():
                return _text_messages([texts.AGENT_READY])
            case clients.SetAvatar(avatar) if avatar not in ("", self._record.avatar_id):
                return _text_messages(
                    [texts.status(f"this conversation's avatar is {self._record.avatar_id}")]
                )
            case clients.Unknown():
                UNKNOWN.inc()
        return None


def _meaning(said: clients.Message | clients.Unknown) -> Said | None:
    """The same in our own words; None when it needs no answer and no owner."""
    meaning: Said | None = None
    match said:
        case clients.MicAudio(pcm):
            meaning = messages.Microphone(pcm)
        case clients.MicEnd():
            meaning = messages.Microphone(b"", end=True)
        case clients.Text(text) | clients.TextQuery(text):
            meaning = messages.Text(text)
        case clients.Interrupt():
            meaning = messages.Interrupt()
        case clients.Ping():
            meaning = messages.Ping()
        case clients.PlaySample(clip):
            meaning = messages.Sample(clip)
    return meaning


def _text_messages(parts: Iterable[bytes]) -> bytes:
    """Texts as WebSocket messages, joined."""
    return b"".join(piece for text in parts for piece in (message_head(len(text), TEXT), text))
