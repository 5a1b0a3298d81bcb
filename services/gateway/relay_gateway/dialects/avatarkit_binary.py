"""``/ws/host``: the vendor's binary protocol; a client sends one turn's speech, and receives its motion."""

from collections.abc import Iterator

from relay_gateway.dialects.dialect import UNKNOWN, BadMessage
from relay_gateway.fanout.batch import Batch
from relay_gateway.websocket import BINARY, joined
from relay_streams.conversations import Conversation
from relay_wire import events, frame
from relay_wire.avatarkit import host
from relay_wire.close_codes import CloseCode
from relay_wire.frame import Kind
from relay_wire.messages import Utterance
from relay_wire.pcm import AudioError
from relay_wire.position import Position
from relay_wire.samples import SampleReader


class AvatarKitBinary:
    """One client. Every public method is part of ``Dialect``.

    Args:
        record: Its conversation.
    """

    protocol = "avatarkit_binary"

    def __init__(self, record: Conversation) -> None:
        self._record = record
        self._reader = SampleReader(record.sample_rate)
        self._audio_error = ""
        """Why the rest of the turn is rejected, if it is: after an error a header would be read as PCM."""
        self.input_complete = False
        """Whether the client has sent its whole turn; what it sends after that is not read."""
        self._begun = False
        self._motion_complete = False
        self.complete = False

    @property
    def idle(self) -> bool:
        """Whether no turn has begun: the rest of one cannot be received elsewhere."""
        return self.complete or not self._begun

    def last(self, code: CloseCode, /) -> bytes:
        """Why there is no more, and the end of the motion, which the client waits for."""
        return b"" if self.complete else joined(BINARY, (host.error(code.meaning), host.end()))

    def read(self, data: bytes | str) -> Utterance | None:
        """A chunk of the turn; None for anything else, which the vendor's server ignores, too."""
        received = None if isinstance(data, str) else host.decode_audio(data)
        if received is None:
            UNKNOWN.inc()
        if received is None or self.input_complete:
            return None
        audio, last = received
        self._begun = True
        pcm = self._samples(audio, last=last)
        self.input_complete = last
        return Utterance(pcm, last) if pcm or last else None

    def _samples(self, audio: bytes, *, last: bool) -> bytes:
        if self._audio_error:
            raise BadMessage(self._audio_error)
        try:
            pcm = self._reader.feed(audio)
            return pcm + self._reader.finish() if last else pcm
        except AudioError as error:
            self._audio_error = str(error)
            raise BadMessage(self._audio_error) from None

    def frames(self, batch: Batch) -> bytes:
        """The motion of the frames; the client has the audio."""
        return joined(BINARY, (message for each in batch.frames for message in self._encode(each.data)))

    def event(self, event: events.GatewayEvent, _cursor: Position, /) -> bytes:
        """The message for an event that concerns the motion; else nothing."""
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

    def _encode(self, data: bytes) -> Iterator[bytes]:
        received = frame.decode(data)
        if received.kind is Kind.MOTION and received.payload:
            self._motion_complete = self._motion_complete or received.is_end
            yield host.animation(received.payload, last=received.is_end)
        match events.of_frame(data):
            case events.Error(_, text):
                yield host.error(text)
            case events.AudioOnly(reason):
                yield host.error(f"there is no more motion: {reason}")
            case events.TurnEnded() if self.input_complete:
                if not self._motion_complete:
                    yield host.end()
                self.complete = True
