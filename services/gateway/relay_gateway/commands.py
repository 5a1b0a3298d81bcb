"""Viewer commands: messages of a viewer, on their way to the uplink."""

import secrets
from collections.abc import Callable, Mapping
from typing import NamedTuple, get_args

from prometheus_client import Counter

from relay_auth.viewer_tokens import Role
from relay_gateway.unsupported import UnsupportedMessages
from relay_redis.errors import StoreError, Unavailable
from relay_streams.errors import Ended, Missing, UplinkFull, UplinkRejected
from relay_streams.keys import ConversationKeys
from relay_streams.turn_input import TurnInput, new_key
from relay_streams.uplink import Uplink
from relay_telemetry.counter import counter
from relay_wire import events
from relay_wire.messages import ClientMessage, Ping, Utterance
from relay_wire.uplink import AgentMessage, Interrupt, Message, Microphone, Playback

MESSAGES = counter(
    "relay_gateway_messages_total",
    "Messages from viewers.",
    kind=(kind.__name__.lower() for kind in get_args(ClientMessage)),
)
BAD_MESSAGES = Counter("relay_gateway_bad_messages_total", "Malformed messages.")
BAD_REPORTS = Counter("relay_gateway_bad_reports_total", "Malformed playback reports, which were ignored.")
DROPPED = counter(
    "relay_gateway_uplink_dropped_total",
    "Messages that did not enter the uplink.",
    reason=(
        "uplink_full",
        "store_unavailable",
        "turn_over",
        "conversation_ended",
        "store_refused",
        "forbidden",
        "listener_report",
    ),
)


class _Answer(NamedTuple):
    """The ``error`` event for a message that did not enter the uplink."""

    code: str
    text: str
    """Empty: the error's own."""
    retryable: bool


_ANSWERS: Mapping[type[StoreError], _Answer] = {
    UplinkFull: _Answer("uplink_full", "the conversation's uplink is full", retryable=True),
    UplinkRejected: _Answer("turn_over", "", retryable=False),
    Unavailable: _Answer("store_unavailable", "the relay cannot accept messages now", retryable=True),
    Ended: _Answer("conversation_ended", "the conversation is over", retryable=False),
    Missing: _Answer("conversation_ended", "the conversation is over", retryable=False),
    # Redis refuses this command, by its rights or its state; it may accept others.
    StoreError: _Answer("store_refused", "the relay cannot accept this message now", retryable=True),
}
"""By error, the more specific first."""

_CHUNK_BYTES = 64 * 1024
_BUFFER_BYTES = 1024 * 1024
"""Size of the send buffer of a viewer's own speech, in case Redis loses bytes of it."""


class ViewerCommands:
    """Handles one viewer's messages: answers pings, and appends the others to the uplink if its role allows.

    Args:
        uplink: Appends the messages.
        keys: The viewer's conversation.
        role: The role of its token.
        speech_wait_s: How long its own speech waits for room in the uplink, or for Redis; meanwhile none of
            its other messages is handled.
        send_event: Sends it an event.
        reachable: Whether Redis is connected.
    """

    def __init__(
        self,
        uplink: Uplink,
        keys: ConversationKeys,
        role: Role,
        *,
        speech_wait_s: float,
        send_event: Callable[[events.GatewayEvent], None],
        reachable: Callable[[], bool],
    ) -> None:
        self._uplink = uplink
        self._keys = keys
        self._role = role
        self._speech_wait_s = speech_wait_s
        self._send_event = send_event
        self._reachable = reachable
        self._speech: TurnInput | None = None
        """Its own speech, once it speaks."""
        self._away = False
        """Whether Redis did not answer the last message."""
        self._unsupported: UnsupportedMessages | None = None
        """Once it has sent a message that the agent is not known to accept."""
        self._refusal = ""
        """The code of the error for the last microphone audio, if that was refused."""
        self._connection = secrets.token_hex(4)
        """Distinguishes this viewer's playback reports from those of others."""

    async def handle(self, message: ClientMessage) -> None:
        """Handle a message. One that the uplink rejects is answered with an ``error`` event."""
        MESSAGES.labels(type(message).__name__.lower()).inc()
        if isinstance(message, Ping):
            self._send_event(events.Pong(message.id))
        elif self._role is Role.SPEAK:
            await self._append(message)
        elif isinstance(message, Playback):
            DROPPED.labels("listener_report").inc()  # Without effect, so that a listener's token is harmless.
        else:
            self._reject(message, _Answer("forbidden", "the token's role is to listen", retryable=False))

    def close(self) -> None:
        """End what belongs to the viewer, which has left, also in the middle of a turn of its own."""
        if self._unsupported is not None:
            self._unsupported.close()
        if self._speech is not None:
            self._speech.finish("ViewerLeft")

    def reject_message(self, reason: str) -> None:
        """Answer a malformed message with an ``error`` event."""
        self._send_event(events.Error("bad_message", reason, retryable=False))

    async def _append(self, message: Message | Utterance) -> None:
        try:
            if isinstance(message, Utterance):
                self._speech = self._speech or self._new_speech()
                await self._speech.append(message.pcm, end=message.end)
            else:
                self._check_reachable()
                receipt = await self._uplink.append(self._keys, self._completed(message))
                if isinstance(message, Microphone):
                    self._refusal = ""
                if isinstance(message, AgentMessage) and not receipt.accepted:
                    self._note_unsupported(message, accepted=receipt.accepted)
        except StoreError as error:
            self._away = self._away or isinstance(error, Unavailable)
            answer = next(answer for kind, answer in _ANSWERS.items() if isinstance(error, kind))
            self._reject(message, answer._replace(text=answer.text or str(error)))

    def _note_unsupported(self, message: AgentMessage, *, accepted: bool | None) -> None:
        if self._unsupported is None:
            self._unsupported = UnsupportedMessages(
                accepts=lambda: self._uplink.accepts(self._keys), send_event=self._send_event
            )
        self._unsupported.note(message, accepted=accepted)

    def _completed(self, message: Message) -> Message:
        """The entry with the fields that the gateway sets."""
        match message:
            case Interrupt():
                return Interrupt(reason="viewer")
            case Playback(turn, state, position_ms):
                return Playback(turn, state, position_ms, self._connection)
        return message

    def _check_reachable(self) -> None:
        # While Redis is away only one message waits for the time-out, so that the pings behind it do not.
        if self._away and not self._reachable():
            raise Unavailable("Redis is still away")
        self._away = False

    def _new_speech(self) -> TurnInput:
        return TurnInput(
            uplink=self._uplink,
            keys=self._keys,
            source="viewer",
            wait_s=self._speech_wait_s,
            chunk_bytes=_CHUNK_BYTES,
            buffer_bytes=_BUFFER_BYTES,
            key=new_key(),
            viewer=True,
        )

    def _reject(self, message: ClientMessage | Message, answer: _Answer) -> None:
        DROPPED.labels(answer.code).inc()
        if isinstance(message, Microphone):
            # It comes in pieces, many in a second, and apps show each error.
            if answer.code == self._refusal:
                return
            self._refusal = answer.code
        self._send_event(events.Error(*answer))
