"""``/ws/agent``: the vendor's clients of all generations, in JSON texts."""

from aiohttp import WSMessage, WSMsgType
from prometheus_client import Counter

from relay_gateway.dialects.dialect import BadMessage
from relay_gateway.fanout.batch import Batch
from relay_gateway.websocket import TEXT, joined
from relay_streams.conversations import Conversation
from relay_wire import events, messages, uplink
from relay_wire.avatarkit import messages as clients
from relay_wire.avatarkit import texts
from relay_wire.avatarkit.rounds import Rounds
from relay_wire.messages import ClientMessage
from relay_wire.position import Position

UNKNOWN = Counter("relay_gateway_unknown_messages_total", "Messages of types that no client we know has.")


class AvatarKitJson:
    """The vendor's clients. Part of ``Dialect``, as is every public method here.

    Args:
        record: Its conversation.
    """

    over = False

    def __init__(self, record: Conversation) -> None:
        self._record = record
        self._rounds = Rounds()

    def read(self, message: WSMessage) -> ClientMessage | bytes | None:
        """What of it means something to us."""
        if message.type is not WSMsgType.TEXT:
            raise BadMessage("messages here are JSON text")
        try:
            said = clients.decode(message.data)
        except messages.MessageError as error:
            raise BadMessage(str(error)) from None
        return self._answer(said) or _meaning(said)

    def frames(self, batch: Batch) -> bytes:
        """What of them this client can use."""
        return joined(
            TEXT, (text for delivery in batch.deliveries for text in self._rounds.follow(delivery.told))
        )

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        """In the clients' own words, if they have any for it."""
        _ = cursor
        match event:
            case events.Hello():
                return joined(TEXT, [texts.ready(self._record.id, event)])
            case events.Gap():
                return joined(TEXT, self._rounds.miss())
            case _:
                return joined(TEXT, texts.of_event(event))

    def _answer(self, said: clients.Message | clients.Unknown) -> bytes | None:
        match said:
            case clients.StartAgent():
                return joined(TEXT, [texts.AGENT_READY])
            case clients.SetAvatar(avatar) if avatar and avatar != self._record.avatar_id:
                return joined(TEXT, [texts.status(f"this conversation's avatar is {self._record.avatar_id}")])
            case clients.Unknown():
                UNKNOWN.inc()
        return None


def _meaning(said: clients.Message | clients.Unknown) -> ClientMessage | None:
    """The same in our own words; None when it needs no answer and no owner."""
    meaning: ClientMessage | None = None
    match said:
        case clients.MicAudio(pcm):
            meaning = uplink.Microphone(pcm or b"")
        case clients.MicEnd():
            meaning = uplink.Microphone(b"", end=True)
        case clients.Text(text) | clients.TextQuery(text):
            meaning = uplink.Text(text)
        case clients.Interrupt():
            meaning = uplink.Interrupt()
        case clients.Ping():
            meaning = messages.Ping()
        case clients.PlaySample(clip):
            meaning = uplink.ClipRequest(clip)
    return meaning
