"""``avatar-relay.v1``: the frames themselves, the same bytes for everybody."""

from aiohttp import WSMessage, WSMsgType

from relay_gateway.dialects.dialect import BadMessage, BadReport
from relay_gateway.fanout.batch import Batch
from relay_gateway.websocket import BINARY, joined
from relay_wire import events, frame, messages
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.messages import ClientMessage
from relay_wire.position import Position
from relay_wire.uplink import Microphone


class Native:
    """Part of ``Dialect``, as is every method here."""

    over = False

    def read(self, message: WSMessage) -> ClientMessage:
        """JSON text, or microphone audio in a frame."""
        try:
            if message.type is WSMsgType.TEXT:
                return messages.decode(message.data)
            received = frame.decode(message.data)
        except messages.ReportError as error:
            raise BadReport(str(error)) from None
        except (messages.MessageError, frame.FrameError) as error:
            raise BadMessage(str(error)) from None
        if received.kind is not Kind.MICROPHONE:
            raise BadMessage(
                f"viewers send microphone audio, kind {Kind.MICROPHONE:d}, not {received.kind:d}"
            )
        return Microphone(bytes(received.payload), received.is_end)

    def frames(self, batch: Batch) -> bytes:
        """As they are."""
        return batch.binary

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """In a frame of sequence number 0."""
        payload = events.encode(event)
        return joined(
            BINARY,
            [
                frame.encode(
                    Frame(Kind.EVENT, Flags.NONE, Codec.PCM_S16LE, 0, cursor.generation, 0, 0, 0, payload)
                )
            ],
        )
