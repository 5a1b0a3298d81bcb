"""``/ws/host``: the vendor's binary protocol; a client brings the speech of one turn, and gets the motion."""

from collections.abc import Iterator

from aiohttp import WSMessage, WSMsgType

from relay_gateway.dialects.dialect import BadMessage
from relay_gateway.fanout.batch import Batch
from relay_gateway.websocket import BINARY, joined
from relay_streams.conversations import Conversation
from relay_wire import events, frame
from relay_wire.avatarkit import host
from relay_wire.frame import Kind
from relay_wire.messages import MessageError, Utterance
from relay_wire.pcm import AudioError
from relay_wire.position import Position
from relay_wire.samples import SampleReader


class AvatarKitBinary:
    """One client. Part of ``Dialect``, as is every public method here.

    Args:
        record: Its conversation.
    """

    def __init__(self, record: Conversation) -> None:
        self._record = record
        self._reader = SampleReader(record.sample_rate)
        self._refusal = ""
        """Why no more of the turn is taken: what follows would be taken for PCM."""
        self._said_all = False
        self._seen_all = False
        self.over = False

    def read(self, message: WSMessage) -> Utterance | None:
        """A piece of the turn."""
        if message.type is not WSMsgType.BINARY:
            raise BadMessage("after the start, messages are binary")
        try:
            audio, last = host.decode_audio(message.data)
        except MessageError as error:
            raise BadMessage(str(error)) from None
        pcm = self._samples(audio, last=last)
        self._said_all = self._said_all or last
        return Utterance(pcm, last) if pcm or last else None

    def _samples(self, audio: bytes, *, last: bool) -> bytes:
        if self._refusal:
            raise BadMessage(self._refusal)
        try:
            pcm = self._reader.feed(audio)
            return pcm + self._reader.finish() if last else pcm
        except AudioError as error:
            self._refusal = str(error)
            raise BadMessage(self._refusal) from None

    def frames(self, batch: Batch) -> bytes:
        """Motion; the client has the audio."""
        return joined(BINARY, (told for delivery in batch.deliveries for told in self._told(delivery.data)))

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """What concerns the motion."""
        _ = cursor
        match event:
            case events.Hello():
                about = host.metadata(
                    sample_rate=self._record.sample_rate,
                    avatar_id=self._record.avatar_id,
                    connection_id=self._record.id,
                )
                return joined(BINARY, [about])
            case events.Gap():
                return joined(BINARY, [host.error("some motion was missed")])
            case events.Error(_, text):
                return joined(BINARY, [host.error(text)])
        return b""

    def _told(self, data: bytes) -> Iterator[bytes]:
        received = frame.decode(data)
        if received.kind is Kind.MOTION and received.payload:
            self._seen_all = self._seen_all or received.is_end
            yield host.animation(received.payload, last=received.is_end)
        match events.of_frame(data):
            case events.Error(_, text):
                yield host.error(text)
            case events.AudioOnly(reason):
                yield host.error(f"there is no more motion: {reason}")
            case events.TurnEnded() if self._said_all:
                if not self._seen_all:
                    yield host.end()
                self.over = True
