"""``/ws/agent``: the vendor's JSON protocol, in all its versions."""

from relay_gateway.dialects.dialect import UNKNOWN, BadMessage
from relay_gateway.fanout.batch import Batch
from relay_gateway.websocket import TEXT, joined
from relay_streams.conversations import Conversation
from relay_wire import events, messages, uplink
from relay_wire.avatarkit import messages as clients
from relay_wire.avatarkit import texts
from relay_wire.avatarkit.rounds import Rounds
from relay_wire.avatarkit.texts import translate
from relay_wire.close_codes import CloseCode
from relay_wire.messages import ClientMessage
from relay_wire.position import Position


class AvatarKitJson:
    """One of the vendor's clients. Every public method is part of ``Dialect``.

    Args:
        record: Its conversation.
        microphone_rate: The rate of the microphone audio that it sends, in Hz.
    """

    complete = False
    protocol = "avatarkit_json"

    def __init__(self, record: Conversation, *, microphone_rate: int) -> None:
        self._record = record
        self._microphone_rate = microphone_rate if microphone_rate != record.sample_rate else 0
        self._rounds = Rounds()

    def read(self, data: bytes | str) -> ClientMessage | bytes | None:
        """The message in the relay's own form, or the reply to it."""
        if not isinstance(data, str):
            raise BadMessage("messages here are JSON text")
        try:
            message = clients.decode(data)
        except messages.MessageError as error:
            raise BadMessage(str(error)) from None
        return self._reply(message) or self._translated(message)

    def frames(self, batch: Batch) -> bytes:
        """Translated once for all these clients, then numbered for this one."""
        return joined(
            TEXT,
            (text for each in batch.frames for text in self._rounds.follow(each.derived(translate))),
        )

    def event(self, event: events.GatewayEvent, _cursor: Position, /) -> bytes:
        """The clients' message for the event, if there is one."""
        match event:
            case events.Hello():
                return joined(TEXT, [texts.ready(self._record.id, event)])
            case events.Gap():
                return joined(TEXT, self._rounds.miss())
            case _:
                return joined(TEXT, texts.of_event(event))

    @property
    def idle(self) -> bool:
        """Whether the client is in no turn: it can neither resume nor receive the rest of one elsewhere."""
        return self._rounds.idle

    def last(self, _code: CloseCode, /) -> bytes:
        """The end of the open round, without which the avatar never rests."""
        return joined(TEXT, self._rounds.end())

    def _reply(self, message: clients.Message | clients.Unknown) -> bytes | None:
        match message:
            case clients.StartAgent():
                return joined(TEXT, [texts.AGENT_READY])
            case clients.SetAvatar(avatar) if avatar and avatar != self._record.avatar_id:
                return joined(TEXT, texts.of_event(_other_avatar(self._record.avatar_id)))
            case clients.Unknown():
                UNKNOWN.inc()
        return None

    def _translated(self, message: clients.Message | clients.Unknown) -> ClientMessage | None:
        """The message in the relay's own form; None when the owner does not need it."""
        translated: ClientMessage | None = None
        match message:
            case clients.MicAudio(pcm):
                translated = uplink.Microphone(pcm or b"", sample_rate=self._microphone_rate)
            case clients.MicEnd():
                translated = uplink.Microphone(b"", end=True, sample_rate=self._microphone_rate)
            case clients.Text(text) | clients.TextQuery(text):
                translated = uplink.Text(text)
            case clients.Interrupt():
                translated = uplink.Interrupt()
            case clients.Ping():
                translated = messages.Ping()
            case clients.PlaySample(clip):
                translated = uplink.ClipRequest(clip)
        return translated


def _other_avatar(avatar_id: str) -> events.Error:
    return events.Error("avatar_fixed", f"this conversation's avatar is {avatar_id}", retryable=False)
