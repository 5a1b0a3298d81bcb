"""``avatar-relay.v1``: the frames of the stream, the same bytes for every viewer."""

from collections.abc import Sequence

from relay_gateway.dialects.dialect import BadMessage, BadReport
from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_gateway.websocket import BINARY, joined, message_head
from relay_wire import events, frame, messages
from relay_wire.close_codes import CloseCode
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.messages import ClientMessage
from relay_wire.position import Position
from relay_wire.uplink import Microphone


class Native:
    """The relay's own protocol. Every method is part of ``Dialect``."""

    complete = False
    idle = True
    protocol = "native"

    def read(self, data: bytes | str) -> ClientMessage:
        """JSON text, or microphone audio in a frame."""
        try:
            if isinstance(data, str):
                return messages.decode(data)
            received = frame.decode(data)
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
        """The frames unchanged, joined once for all viewers."""
        return batch.encoded(Native)

    @staticmethod
    def encode(frames: Sequence[SharedFrame]) -> bytes:
        """Part of ``SharedEncoding``: one binary message per frame."""
        return b"".join([message_head(len(each.data)) + each.data for each in frames])

    def last(self, _code: CloseCode, /) -> bytes:
        """Nothing: the viewer resumes."""
        return b""

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """The event in a frame of sequence number 0."""
        payload = events.encode(event)
        return joined(
            BINARY,
            [
                frame.encode(
                    Frame(Kind.EVENT, Flags.NONE, Codec.PCM_S16LE, 0, cursor.generation, 0, 0, 0, payload)
                )
            ],
        )
