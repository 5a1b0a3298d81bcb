"""The audio socket: a backend speaks turns as they are synthesised."""

from contextlib import suppress

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from prometheus_client import Counter, Gauge

from relay_control.trace_context import traceparent
from relay_streams.errors import Ended, Missing, Unavailable
from relay_streams.keys import ConversationKeys
from relay_streams.speech import Speech, new_key
from relay_streams.uplink import Busy, Closed, Full, Mismatch, Uplink
from relay_wire import speaker
from relay_wire.close_codes import (
    BAD_MESSAGE,
    CONVERSATION_ENDED,
    STORE_UNAVAILABLE,
    TRY_LATER,
    UNKNOWN_CONVERSATION,
    Advice,
    CloseCode,
)
from relay_wire.pcm import BYTES_PER_SAMPLE
from relay_wire.tail import Forgotten

SPEAKERS = Gauge("relay_control_speakers", "Open audio sockets.")
DISCARDED_BYTES = Counter(
    "relay_control_discarded_bytes_total", "Speech thrown away because its turn was over.", ["reason"]
)
RESUMES = Counter(
    "relay_control_resumes_total", "Audio sockets that asked to go on with a turn, and how it was.", ["state"]
)
BAD_MESSAGES = Counter("relay_control_bad_messages_total", "Messages that could not be understood.", ["kind"])

MAX_CHUNK_BYTES = 64 * 1024
"""Larger messages are cut, so that no frame delays the ones behind it."""
_BAD_MESSAGES = 8
"""So many messages that cannot be understood end the socket."""

_CLOSES: dict[type[Exception], CloseCode] = {
    Full: TRY_LATER,
    Unavailable: STORE_UNAVAILABLE,
    Ended: CONVERSATION_ENDED,
    Missing: UNKNOWN_CONVERSATION,
}

log = structlog.get_logger(__name__)


class Door:
    """One audio socket.

    Args:
        websocket: Open.
        uplink: Where speech goes.
        keys: The conversation.
        wait_s: How long a chunk may wait for room.
        tail_bytes: How much of a turn is kept, in case Redis loses it.
        traceparent: Of the upgrade request, for turns that bring none.
    """

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        uplink: Uplink,
        keys: ConversationKeys,
        *,
        wait_s: float,
        tail_bytes: int,
        traceparent: str,
    ) -> None:
        self._websocket = websocket
        self._uplink = uplink
        self._keys = keys
        self._wait_s = wait_s
        self._tail_bytes = tail_bytes
        self._traceparent = traceparent
        self._options = speaker.Start()
        self._speech: Speech | None = None
        self._half_sample = b""
        """Streams are cut anywhere: the first byte of a sample waits here for the second."""
        self._deaf: str | None = None
        """Why audio is thrown away until the speaker says `end` or `start`."""
        self._bad = 0

    async def serve(self) -> None:
        """Take speech until the socket closes.

        A turn left open by a broken connection stays open, until its silence is too long: the speaker
        may go on with it over another socket. A close with 1000 ends it.
        """
        with SPEAKERS.track_inprogress():
            async for message in self._websocket:
                if message.type is WSMsgType.ERROR:
                    break
                code = await self._guarded(message)
                if code is not None:
                    await self._websocket.close(code=code.code, message=code.name.encode())
            if self._websocket.close_code == WSCloseCode.OK and self._speech:
                await self._guarded_end()

    async def _guarded(self, message: WSMessage) -> CloseCode | None:
        """Act on a message; returns the code to close with when there is no going on."""
        try:
            if message.type is WSMsgType.BINARY:
                await self._audio(message.data)
            else:
                await self._text(speaker.decode(message.data))
        except speaker.SpeakerError as error:
            BAD_MESSAGES.labels("text").inc()
            self._bad += 1
            await self._say(speaker.Error("bad-message", str(error), retryable=False))
            return BAD_MESSAGE if self._bad >= _BAD_MESSAGES else None
        except (Full, Unavailable, Ended, Missing) as error:
            code = next(code for kind, code in _CLOSES.items() if isinstance(error, kind))
            retryable = code.advice is not Advice.FINAL
            await self._say(speaker.Error(code.name.replace("_", "-"), str(error), retryable))
            return code
        return None

    async def _guarded_end(self) -> None:
        try:
            await self._end()
        except (Full, Unavailable, Ended, Missing, ConnectionError) as error:
            log.info("a turn left open could not be ended", conversation=self._keys.id, error=str(error))

    async def _text(self, message: speaker.FromSpeaker) -> None:
        match message:
            case speaker.Start() if self._speech is not None:
                await self._say(
                    speaker.Error("turn-open", "end the turn before starting another", retryable=False)
                )
            case speaker.Start():
                self._options = message
                self._deaf = None
                if message.turn or message.key:
                    await self._resume(message)
            case speaker.End():
                await self._end()
            case speaker.Interrupt():
                self._forget()
                self._deaf = None
                turn = await self._uplink.interrupt(self._keys, "backend")
                await self._say(speaker.Interrupted(turn))

    async def _resume(self, start: speaker.Start) -> None:
        """Say where to go on with the turn that is meant, and take audio from there."""
        found = await self._uplink.find(self._keys, turn=start.turn, key=start.key or "")
        RESUMES.labels(found.state if found else "unknown").inc()
        if found is None:
            if start.turn:
                text = f"turn {start.turn} is none of the last eight"
                await self._stop_listening("unknown", speaker.Error("unknown-turn", text, retryable=False))
            else:
                await self._say(speaker.Ack(0, 0))
        elif found.state == "open":
            self._speech = self._new_speech()
            self._speech.go_on(found)
            await self._say(speaker.Ack(found.turn, found.offset))
        elif found.state == "ended":
            await self._stop_listening("ended", speaker.Ended(found.turn, found.offset))
        else:
            await self._stop_listening("interrupted", speaker.Interrupted(found.turn))

    async def _audio(self, data: bytes) -> None:
        if self._deaf is not None:
            DISCARDED_BYTES.labels(self._deaf).inc(len(data))
            return
        data = self._half_sample + data
        whole = len(data) - len(data) % BYTES_PER_SAMPLE
        self._half_sample = data[whole:]
        if not whole:
            return
        speech = self._speech = self._speech or self._new_speech()
        opening = not speech.turn
        if await self._said(speech, data[:whole]):
            if opening:
                await self._say(speaker.Turn(speech.turn))
            await self._say(speaker.Ack(speech.turn, speech.offset))

    async def _end(self) -> None:
        self._deaf = None
        speech, odd = self._speech, self._half_sample
        self._forget()
        if odd:
            BAD_MESSAGES.labels("odd-bytes").inc()
            text = "the turn's audio ended in the middle of a sample; its last byte was dropped"
            await self._say(speaker.Error("unsupported-audio", text, retryable=False))
        if speech is not None and await self._said(speech, b"", end=True):
            await self._say(speaker.Ended(speech.turn, speech.offset))
        self._deaf = None

    async def _said(self, speech: Speech, pcm: bytes, *, end: bool = False) -> bool:
        """Say it, or tell the speaker why its turn takes no more."""
        try:
            await speech.say(pcm, end=end)
        except Closed as closed:
            await self._stop_listening("interrupted", speaker.Interrupted(closed.turn))
        except Busy as busy:
            text = f"turn {busy.turn} is being spoken by someone else; start with barge_in to cancel it"
            await self._stop_listening("busy", speaker.Error("turn-open", text, retryable=True))
        except Mismatch as mismatch:
            text = f"{mismatch}: it was given other audio before"
            await self._stop_listening("mismatch", speaker.Error("mismatch", text, retryable=False))
        except Forgotten:
            text = "Redis has lost audio that was acknowledged; start with this turn again to see how much"
            await self._stop_listening("lost", speaker.Error("audio-lost", text, retryable=True))
        else:
            return True
        return False

    def _new_speech(self) -> Speech:
        return Speech(
            uplink=self._uplink,
            keys=self._keys,
            door="socket",
            wait_s=self._wait_s,
            chunk_bytes=MAX_CHUNK_BYTES,
            tail_bytes=self._tail_bytes,
            key=self._options.key or new_key(),
            barge_in=self._options.barge_in,
            traceparent=traceparent(self._options.traceparent) or self._traceparent,
        )

    async def _stop_listening(self, reason: str, answer: speaker.ToSpeaker) -> None:
        self._forget()
        self._deaf = reason
        await self._say(answer)

    def _forget(self) -> None:
        self._speech = None
        self._half_sample = b""
        self._options = speaker.Start()

    async def _say(self, message: speaker.ToSpeaker) -> None:
        if not self._websocket.closed:
            # The speaker may have left: then the socket's own end says so.
            with suppress(ConnectionError):
                await self._websocket.send_str(speaker.encode(message))
