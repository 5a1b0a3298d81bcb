"""The audio socket: a backend streams the speech of turns while it is synthesised.

One task reads the socket into a queue, another appends the queue to the uplink: while audio waits for
capacity, pings are still answered and an interrupt is still received.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog
from prometheus_client import Gauge

from relay_control.audio_errors import check_format, closing, rejection
from relay_control.audio_websocket import AudioSocketLimits, AudioWebSocket
from relay_control.speech_queue import SpeechQueue
from relay_control.trace_context import context
from relay_redis.errors import StoreError
from relay_runtime.http import ErrorTable
from relay_runtime.tasks import first_of
from relay_streams.errors import TurnClosed, UplinkRejected
from relay_streams.keys import ConversationKeys
from relay_streams.turn_input import CHUNKS_AT_ONCE, TurnInput, new_key
from relay_streams.uplink import Uplink
from relay_telemetry.counter import counter
from relay_telemetry.trace_context import Context
from relay_wire import audio_socket
from relay_wire.close_codes import BAD_MESSAGE, RESTART, CloseCode, ReconnectAdvice
from relay_wire.pcm import AudioError, chunk_bytes
from relay_wire.samples import SampleReader
from relay_wire.uplink import Interrupt

SPEAKERS = Gauge("relay_control_speakers", "Open audio sockets.")
DISCARDED_BYTES = counter(
    "relay_control_discarded_bytes_total",
    "Bytes of speech discarded because the turn was over, or its audio not supported.",
    reason=("unknown", "ended", "interrupted", "busy", "mismatch", "lost", "unsupported"),
)
RESUMES = counter(
    "relay_control_resumes_total",
    "Turns that audio sockets asked to resume, by state.",
    state=("open", "ended", "cut", "unknown"),
)
BAD_MESSAGES = counter(
    "relay_control_bad_messages_total",
    "Malformed messages.",
    kind=("text", "odd-bytes", "audio"),
)

MAX_CHUNK_BYTES = 64 * 1024
"""Longest entry of the uplink: longer audio is cut, so that no entry delays those behind it for long."""
_BAD_MESSAGES = 8
"""Malformed messages after which the socket is closed."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Closed:
    """The socket has closed."""

    final: bool
    """The speaker will not resume the open turn."""


class _OvertakenError(Exception):
    """Raised when an interrupt arrives while audio waits for capacity."""


class AudioSocket:
    """One audio socket.

    Args:
        websocket: The open WebSocket.
        uplink: Appends the speech.
        keys: The conversation.
        sample_rate: The conversation's sample rate.
        limits: The bounds.
        errors: The problem of each error of the store.
        trace: Trace context of the upgrade request, for turns without one.
    """

    def __init__(
        self,
        websocket: AudioWebSocket,
        uplink: Uplink,
        keys: ConversationKeys,
        *,
        sample_rate: int,
        limits: AudioSocketLimits,
        errors: ErrorTable,
        trace: Context,
    ) -> None:
        self._websocket = websocket
        self._send = websocket.send_message
        self._uplink = uplink
        self._keys = keys
        self._sample_rate = sample_rate
        self._limits = limits
        self._errors = errors
        self._trace = trace
        self._queue: SpeechQueue[audio_socket.FromSpeaker | audio_socket.AudioSocketError | _Closed] = (
            SpeechQueue(limits.queue_bytes)
        )
        self._interrupt: audio_socket.Interrupt | None = None
        """The last one in the queue."""
        self._interrupted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._options = audio_socket.Start()
        self._turn: TurnInput | None = None
        self._reader = SampleReader(sample_rate)
        self._appended_at = self._alive_at = 0.0
        self._discarding: str | None = None
        """Why audio is discarded until the next `end` or `start`; None while it is not."""
        self._bad = 0
        self._leaving = False

    async def serve(self) -> None:
        """Append speech until the socket closes.

        A turn left open by a broken connection stays open until its silence is too long: the speaker
        may resume it over another socket. A close that is final, or has no code, ends it.
        """
        with SPEAKERS.track_inprogress():
            try:
                await first_of(process=self._process(), read=self._read())
            finally:
                self._queue.drop_before(None)
                if self._turn is not None:
                    self._turn.finish()

    async def drain(self) -> None:
        """Close the socket; the speaker resumes at another process after the last acknowledged byte."""
        self._leaving = True
        self._queue.drop_before(None)
        text = "this process is shutting down: connect again and resume after the last ack"
        await self._send(audio_socket.Error("restarting", text, retryable=True))
        await self._websocket.close(code=RESTART.code, message=RESTART.name.encode())

    # --- reading ----------------------------------------------------------------------------------

    async def _read(self) -> None:
        async for item in self._websocket.incoming():
            if isinstance(item, audio_socket.Interrupt):
                self._interrupt = item
                self._interrupted.set()
            await self._queue.put(item)
        await self._queue.put(_Closed(self._websocket.is_final and not self._leaving))
        await asyncio.Event().wait()  # until the queue is processed

    # --- processing ---------------------------------------------------------------------------------

    async def _process(self) -> None:
        while not isinstance(item := await self._next(), _Closed):
            code = await self._handle(item)
            if code is not None:
                if code.advice is ReconnectAdvice.FINAL:
                    await self._end_quietly()
                await self._websocket.close(code=code.code, message=code.name.encode())
                return
        if item.final:
            await self._end_quietly()

    async def _next(self) -> bytes | audio_socket.FromSpeaker | audio_socket.AudioSocketError | _Closed:
        if self._turn is None or not self._turn.turn:
            return await self._queue.get()  # the first piece does not wait for others
        return await self._queue.get_joined(
            least_bytes=chunk_bytes(self._limits.chunk_ms, self._sample_rate),
            most_bytes=MAX_CHUNK_BYTES * CHUNKS_AT_ONCE,
            window_s=self._limits.join_ms / 1000,
        )

    async def _handle(
        self, item: bytes | audio_socket.FromSpeaker | audio_socket.AudioSocketError
    ) -> CloseCode | None:
        """Act on a message. Returns a close code when the socket cannot stay open."""
        try:
            match item:
                case bytes():
                    await self._audio(item)
                case audio_socket.AudioSocketError():
                    return await self._on_bad_message(item)
                case _:
                    await self._text(item)
        except StoreError as error:
            code, answer = closing(error, self._errors)
            await self._send(answer)
            return code
        return None

    async def _end_quietly(self) -> None:
        if self._turn is None:
            return
        try:
            await self._end()
        except StoreError as error:
            log.info("open turn not ended", conversation=self._keys.id, error=str(error))

    async def _on_bad_message(self, error: audio_socket.AudioSocketError) -> CloseCode | None:
        BAD_MESSAGES.labels("text").inc()
        self._bad += 1
        await self._send(audio_socket.Error("bad-message", str(error), retryable=False))
        return BAD_MESSAGE if self._bad >= _BAD_MESSAGES else None

    async def _text(self, message: audio_socket.FromSpeaker) -> None:
        match message:
            case audio_socket.Start() if self._turn is not None:
                await self._send(
                    audio_socket.Error("turn-open", "end the turn before starting another", retryable=False)
                )
            case audio_socket.Start():
                await self._start(message)
            case audio_socket.End():
                await self._end()
            case audio_socket.Hold():
                await self._hold()
            case audio_socket.Interrupt():
                if self._turn is not None:
                    self._turn.finish("Interrupted")
                self._reset()
                self._discarding = None
                if message is self._interrupt:
                    self._interrupted.clear()
                turn = (await self._uplink.append(self._keys, Interrupt(reason="backend"))).turn
                await self._send(audio_socket.Interrupted(turn))

    async def _start(self, start: audio_socket.Start) -> None:
        self._reset()
        self._options = start
        self._discarding = None
        try:
            check_format(start, self._sample_rate)
        except AudioError as error:
            await self._refuse_audio(error)
            return
        if start.turn or start.key:
            await self._resume(start)

    async def _resume(self, start: audio_socket.Start) -> None:
        """Answer with the offset of the turn to resume, and append from there."""
        found = await self._uplink.find(self._keys, turn=int(start.turn), key=start.key or "")
        RESUMES.labels(found.state if found else "unknown").inc()
        if found is None:
            if start.turn:
                text = f"turn {start.turn} is not among the last eight"
                await self._discard("unknown", audio_socket.Error("unknown-turn", text, retryable=False))
            else:
                await self._send(audio_socket.Ack(0, 0))
        elif found.state == "open":
            self._turn = self._new_input()
            self._turn.resume(found)
            self._reader = SampleReader(self._sample_rate, begun=found.offset > 0)
            await self._send(audio_socket.Ack(found.turn, found.offset))
        elif found.state == "ended":
            await self._discard("ended", audio_socket.Ended(found.turn, found.offset))
        else:
            await self._discard("interrupted", audio_socket.Interrupted(found.turn))

    async def _audio(self, data: bytes) -> None:
        if self._discarding is not None:
            DISCARDED_BYTES.labels(self._discarding).inc(len(data))
            return
        try:
            pcm = self._reader.feed(data)
        except AudioError as error:
            DISCARDED_BYTES.labels("unsupported").inc(len(data))
            await self._refuse_audio(error)
            return
        if not pcm:
            return
        speech = self._turn = self._turn or self._new_input()
        opening = not speech.turn
        if await self._append(speech, pcm):
            if opening:
                await self._send(audio_socket.Turn(speech.turn))
            await self._send(audio_socket.Ack(speech.turn, speech.offset))

    async def _hold(self) -> None:
        if self._turn is not None and self._turn.turn:
            try:
                await self._turn.hold(self._limits.hold_s)
            except _OvertakenError:
                self._on_overtaken(0)
            except TurnClosed as closed:
                await self._on_turn_closed(closed)
            else:
                self._alive_at = self._loop.time()
                await self._send(audio_socket.Ack(self._turn.turn, self._turn.offset))

    async def _refuse_audio(self, error: AudioError) -> None:
        """Discard the rest of a turn whose audio is not supported; the turn ends with what is appended."""
        BAD_MESSAGES.labels("audio").inc()
        speech = self._turn
        await self._discard(
            "unsupported", audio_socket.Error("unsupported-audio", str(error), retryable=False)
        )
        if speech is not None and speech.turn and await self._append(speech, b"", end=True):
            await self._send(audio_socket.Ended(speech.turn, speech.offset))

    async def _end(self) -> None:
        self._discarding = None
        speech, pcm = self._turn, await self._rest()
        if pcm and speech is None:
            speech = self._new_input()
        self._reset()
        if speech is not None:
            opening = not speech.turn
            if await self._append(speech, pcm, end=True):
                if opening:
                    await self._send(audio_socket.Turn(speech.turn))
                await self._send(audio_socket.Ended(speech.turn, speech.offset))
        self._discarding = None

    async def _rest(self) -> bytes:
        """The last samples of the turn's reader; incomplete audio is answered with an error."""
        pcm, text = b"", ""
        try:
            pcm = self._reader.finish()
        except AudioError as error:
            text = str(error)
        if self._reader.odd:
            text = text or "the turn's audio ended in the middle of a sample; its last byte was discarded"
        if text:
            BAD_MESSAGES.labels("odd-bytes").inc()
            await self._send(audio_socket.Error("unsupported-audio", text, retryable=False))
        return pcm

    async def _append(self, speech: TurnInput, pcm: bytes, *, end: bool = False) -> bool:
        """Append audio. False when it is rejected, which is answered."""
        try:
            await speech.append(pcm, end=end)
        except _OvertakenError:
            self._on_overtaken(len(pcm))
        except TurnClosed as closed:
            await self._on_turn_closed(closed)
        except UplinkRejected as error:
            await self._discard(error.code, rejection(error))
        else:
            self._appended_at = self._alive_at = self._loop.time()
            return True
        return False

    def _on_overtaken(self, waiting_bytes: int) -> None:
        """Discard the audio that an interrupt has overtaken."""
        discarded = waiting_bytes + self._queue.drop_before(self._interrupt)
        DISCARDED_BYTES.labels("interrupted").inc(discarded)
        self._reset()

    async def _on_turn_closed(self, closed: TurnClosed) -> None:
        """Answer that the turn is closed, with the reason if it is the speaker's own silence."""
        await self._discard("interrupted", audio_socket.Interrupted(closed.turn))
        now, limits = self._loop.time(), self._limits
        if now - self._alive_at > limits.silence_s:
            text = (
                f"the turn was ended after {limits.silence_s:g} s of silence: send hold to keep a turn open"
            )
        elif now - self._appended_at >= limits.hold_s:
            text = f"a turn may be held open for {limits.hold_s:g} s"
        else:
            return
        await self._send(
            audio_socket.Error("input-timeout", f"{text}; further audio is discarded", retryable=False)
        )

    def _new_input(self) -> TurnInput:
        self._appended_at = self._alive_at = self._loop.time()
        return TurnInput(
            uplink=self._uplink,
            keys=self._keys,
            source="socket",
            wait_s=self._limits.wait_s,
            chunk_bytes=MAX_CHUNK_BYTES,
            buffer_bytes=self._limits.tail_bytes,
            key=self._options.key or new_key(),
            barge_in=self._options.barge_in,
            trace=context(self._options.traceparent, self._options.tracestate) or self._trace,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        """Wait for the next attempt, or for an interrupt, which overtakes the audio that waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupted.wait()
        if self._interrupted.is_set():
            raise _OvertakenError

    async def _discard(self, reason: str, answer: audio_socket.ToSpeaker) -> None:
        self._reset()
        self._discarding = reason
        await self._send(answer)

    def _reset(self) -> None:
        self._turn = None
        self._reader = SampleReader(self._sample_rate)
        self._options = audio_socket.Start()
