"""The WebSocket of the audio socket: receives messages, sends answers, and classifies the close."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

from relay_settings.control import ControlSettings
from relay_wire import audio_socket, close_codes
from relay_wire.close_codes import PROTOCOL_ERROR, TOO_BIG, ReconnectAdvice

_WAITS_OF_A_PING = 3
"""The interval of pings in waits for capacity: a socket that is not read meanwhile does not answer."""
_NO_STATUS = frozenset({0, 1005})
"""Close frames without a code: what ``close()`` sends in many languages. aiohttp reports 0."""


@dataclass(frozen=True, slots=True)
class AudioSocketLimits:
    """Bounds of an audio socket."""

    heartbeat_s: float
    """Interval of pings. A socket that does not answer within half of it is closed."""
    wait_s: float
    """Longest wait of a chunk for capacity."""
    silence_s: float
    """Silence after which the uplink closes a turn."""
    hold_s: float
    """How long after its last audio a turn may be held open."""
    tail_bytes: int
    """Size of a turn's send buffer, in case Redis loses audio."""
    queue_bytes: int
    """Size of the speech queue; at the limit the socket is not read."""
    message_bytes: int
    """Largest message."""
    join_ms: int
    """How long a short piece waits to be joined with the next."""
    chunk_ms: int
    """Length at which a piece is not joined any more."""

    @classmethod
    def of(cls, settings: ControlSettings) -> "AudioSocketLimits":
        """Read the limits from the settings."""
        return cls(
            heartbeat_s=max(settings.heartbeat_s, _WAITS_OF_A_PING * settings.uplink_wait_s),
            wait_s=settings.uplink_wait_s,
            silence_s=settings.silence_s,
            hold_s=settings.max_hold_s,
            tail_bytes=settings.speech_tail_bytes,
            queue_bytes=settings.speech_queue_bytes,
            message_bytes=settings.control_max_message_bytes,
            join_ms=settings.audio_join_ms,
            chunk_ms=settings.audio_chunk_ms,
        )


class AudioWebSocket(web.WebSocketResponse):
    """The WebSocket of an audio socket. It sends an error before a close, also when aiohttp closes it."""

    def __init__(self, limits: AudioSocketLimits) -> None:
        self._limit_bytes = limits.message_bytes
        super().__init__(heartbeat=limits.heartbeat_s, max_msg_size=limits.message_bytes, compress=False)
        self.is_final = False
        """Whether the speaker has closed and will not resume its turn."""

    async def incoming(
        self,
    ) -> AsyncIterator[bytes | audio_socket.FromSpeaker | audio_socket.AudioSocketError]:
        """The messages of the speaker, until the socket closes."""
        code = None
        async for message in self:
            if message.type is WSMsgType.ERROR:
                code = message.data.code if isinstance(message.data, WebSocketError) else None
                break
            yield _item(message)
        self.is_final = _is_final(code or self.close_code)

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        """Close; after a message that was too large, an error is sent first.

        The speaker's own close is answered with its code (RFC 6455 5.5.1), one without a code with 1000.
        """
        if code == WSCloseCode.OK and self.close_code:
            code = self.close_code if close_codes.may_be_sent(self.close_code) else PROTOCOL_ERROR.code
        if code == TOO_BIG.code:
            text = f"a message may have at most {self._limit_bytes} bytes: send the audio in pieces"
            await self.send_message(audio_socket.Error("too-big", text, retryable=False))
        return await super().close(code=code, message=message, drain=drain)

    async def send_message(self, message: audio_socket.ToSpeaker) -> None:
        """Send a message, unless the socket is closed."""
        if not self.closed:
            with suppress(ConnectionError):
                await self.send_str(audio_socket.encode(message))


def _item(message: WSMessage) -> bytes | audio_socket.FromSpeaker | audio_socket.AudioSocketError:
    if message.type is WSMsgType.BINARY:
        return bytes(message.data) or audio_socket.Hold()
    try:
        return audio_socket.decode(message.data)
    except audio_socket.AudioSocketError as error:
        return error


def _is_final(code: int | None) -> bool:
    """Whether a close with this code means that the speaker will not resume its turn."""
    if code is None:
        return False
    return code in _NO_STATUS or code == TOO_BIG.code or close_codes.advice(code) is ReconnectAdvice.FINAL
