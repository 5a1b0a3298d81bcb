"""The audio socket: a backend speaks turns as they are synthesised.

Two tasks: one reads the socket into a queue, the other brings what is queued into the uplink. So pings are
answered and an interrupt is seen while audio waits for room.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from prometheus_client import Gauge

from relay_control.audio_websocket import AudioSocketLimits, AudioWebSocket
from relay_control.speech_queue import SpeechQueue
from relay_control.trace_context import traceparent
from relay_redis.errors import StoreError
from relay_runtime.http import ErrorTable
from relay_runtime.tasks import first_of
from relay_streams.errors import (
    AudioLost,
    Ended,
    InputMismatch,
    Missing,
    SpeakerBusy,
    TurnClosed,
    UplinkFull,
    UplinkRejected,
)
from relay_streams.keys import ConversationKeys
from relay_streams.turn_input import CHUNKS_AT_ONCE, TurnInput, new_key
from relay_streams.uplink import Uplink
from relay_telemetry.counter import counter
from relay_wire import audio_socket, close_codes
from relay_wire.close_codes import BAD_MESSAGE, RESTART, CloseCode, ReconnectAdvice
from relay_wire.pcm import AudioError, Unsupported, check_rate, chunk_bytes
from relay_wire.samples import SampleReader
from relay_wire.uplink import Interrupt

SPEAKERS = Gauge("relay_control_speakers", "Open audio sockets.")
DISCARDED_BYTES = counter(
    "relay_control_discarded_bytes_total",
    "Speech thrown away because its turn was over, or could not be spoken.",
    reason=("unknown", "ended", "interrupted", "busy", "mismatch", "lost", "unsupported"),
)
RESUMES = counter(
    "relay_control_resumes_total",
    "Audio sockets that asked to go on with a turn, and how it was.",
    state=("open", "ended", "cut", "unknown"),
)
BAD_MESSAGES = counter(
    "relay_control_bad_messages_total",
    "Messages that could not be understood.",
    kind=("text", "odd-bytes", "audio"),
)

MAX_CHUNK_BYTES = 64 * 1024
"""Larger messages are cut, so that no frame delays the ones behind it."""
_BAD_MESSAGES = 8
"""So many messages that cannot be understood end the socket."""
_OWN_WORDS = (Ended, UplinkFull, Missing)

_ANSWERS: Mapping[type[UplinkRejected], tuple[str, str, bool]] = {
    SpeakerBusy: (
        "turn-open", "turn {turn} is being spoken by someone else; start with barge_in to cancel it", True
    ),
    InputMismatch: ("mismatch", "{error}: it was given other audio before", False),
    AudioLost: (
        "audio-lost",
        "Redis has lost audio that was acknowledged; start with this turn again to see how much",
        True,
    ),
}  # fmt: skip
"""Code, text and ``retryable`` of the answer to audio that the uplink rejects while the socket stays open."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Gone:
    """The socket has closed."""

    final: bool
    """Nobody will go on with the turn that is open."""


class _OvertakenError(Exception):
    """Raised when audio waits for room and an interrupt has come."""


class AudioSocket:
    """One audio socket.

    Args:
        websocket: Open.
        uplink: Where speech goes.
        keys: The conversation.
        sample_rate: What it speaks at.
        limits: Bounds.
        errors: What the store's errors are to a speaker.
        traceparent: Of the upgrade request, for turns that bring none.
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
        traceparent: str,
    ) -> None:
        self._websocket = websocket
        self._tell = websocket.tell
        self._uplink = uplink
        self._keys = keys
        self._sample_rate = sample_rate
        self._limits = limits
        self._errors = errors
        self._traceparent = traceparent
        self._queue: SpeechQueue[audio_socket.FromSpeaker | audio_socket.AudioSocketError | _Gone] = (
            SpeechQueue(limits.queue_bytes)
        )
        self._interrupt: audio_socket.Interrupt | None = None
        """The last that waits in the queue."""
        self._interrupted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._options = audio_socket.Start()
        self._speech: TurnInput | None = None
        self._reader = SampleReader(sample_rate)
        self._said_at = self._alive_at = 0.0
        self._deaf: str | None = None
        """Why audio is thrown away until the speaker says `end` or `start`."""
        self._bad = 0
        self._leaving = False

    async def serve(self) -> None:
        """Take speech until the socket closes.

        A turn left open by a broken connection stays open, until its silence is too long: the speaker
        may go on with it over another socket. A close that is final, or has no code, ends it.
        """
        with SPEAKERS.track_inprogress():
            try:
                await first_of(speak=self._speak(), read=self._read())
            finally:
                self._queue.drop_before(None)

    async def drain(self) -> None:
        """The process leaves: the speaker goes on elsewhere, after the byte acknowledged last."""
        self._leaving = True
        self._queue.drop_before(None)
        text = "this process is leaving: connect again and go on after the last ack"
        await self._websocket.tell(audio_socket.Error("restarting", text, retryable=True))
        await self._websocket.close(code=RESTART.code, message=RESTART.name.encode())

    # --- reading ----------------------------------------------------------------------------------

    async def _read(self) -> None:
        async for item in self._websocket.incoming():
            if isinstance(item, audio_socket.Interrupt):
                self._interrupt = item
                self._interrupted.set()
            await self._queue.put(item)
        await self._queue.put(_Gone(self._websocket.is_final and not self._leaving))
        await asyncio.Event().wait()  # what was read is yet to be spoken

    # --- speaking ---------------------------------------------------------------------------------

    async def _speak(self) -> None:
        while not isinstance(item := await self._next(), _Gone):
            code = await self._guarded(item)
            if code is not None:
                if code.advice is ReconnectAdvice.FINAL:
                    await self._end_quietly()
                await self._websocket.close(code=code.code, message=code.name.encode())
                return
        if item.final:
            await self._end_quietly()

    async def _next(self) -> bytes | audio_socket.FromSpeaker | audio_socket.AudioSocketError | _Gone:
        if self._speech is None or not self._speech.turn:
            return await self._queue.get()  # the first piece is not kept waiting
        return await self._queue.get_joined(
            least_bytes=chunk_bytes(self._limits.chunk_ms, self._sample_rate),
            most_bytes=MAX_CHUNK_BYTES * CHUNKS_AT_ONCE,
            window_s=self._limits.join_ms / 1000,
        )

    async def _guarded(
        self, item: bytes | audio_socket.FromSpeaker | audio_socket.AudioSocketError
    ) -> CloseCode | None:
        """Act on a message; returns the code to close with when there is no going on."""
        try:
            match item:
                case bytes():
                    await self._audio(item)
                case audio_socket.AudioSocketError():
                    return await self._misunderstood(item)
                case _:
                    await self._text(item)
        except StoreError as error:
            problem = self._errors.problem(error)
            code = close_codes.of_problem(problem.kind)
            retryable = code.advice is not ReconnectAdvice.FINAL
            # Others may have a text of the server's: what it refuses, or why it cannot be reached.
            text = str(error) if isinstance(error, _OWN_WORDS) else problem.detail
            await self._tell(audio_socket.Error(code.name.replace("_", "-"), text, retryable))
            return code
        return None

    async def _end_quietly(self) -> None:
        if self._speech is None:
            return
        try:
            await self._end()
        except StoreError as error:
            log.info("a turn left open could not be ended", conversation=self._keys.id, error=str(error))

    async def _misunderstood(self, error: audio_socket.AudioSocketError) -> CloseCode | None:
        BAD_MESSAGES.labels("text").inc()
        self._bad += 1
        await self._tell(audio_socket.Error("bad-message", str(error), retryable=False))
        return BAD_MESSAGE if self._bad >= _BAD_MESSAGES else None

    async def _text(self, message: audio_socket.FromSpeaker) -> None:
        match message:
            case audio_socket.Start() if self._speech is not None:
                await self._tell(
                    audio_socket.Error("turn-open", "end the turn before starting another", retryable=False)
                )
            case audio_socket.Start():
                await self._start(message)
            case audio_socket.End():
                await self._end()
            case audio_socket.Hold():
                await self._hold()
            case audio_socket.Interrupt():
                self._forget()
                self._deaf = None
                if message is self._interrupt:
                    self._interrupted.clear()
                turn = await self._uplink.append(self._keys, Interrupt(reason="backend"))
                await self._tell(audio_socket.Interrupted(turn))

    async def _start(self, start: audio_socket.Start) -> None:
        self._forget()
        self._options = start
        self._deaf = None
        try:
            _check_format(start, self._sample_rate)
        except AudioError as error:
            await self._refuse(error)
            return
        if start.turn or start.key:
            await self._resume(start)

    async def _resume(self, start: audio_socket.Start) -> None:
        """Say where to go on with the turn that is meant, and take audio from there."""
        found = await self._uplink.find(self._keys, turn=int(start.turn), key=start.key or "")
        RESUMES.labels(found.state if found else "unknown").inc()
        if found is None:
            if start.turn:
                text = f"turn {start.turn} is none of the last eight"
                await self._stop_listening(
                    "unknown", audio_socket.Error("unknown-turn", text, retryable=False)
                )
            else:
                await self._tell(audio_socket.Ack(0, 0))
        elif found.state == "open":
            self._speech = self._new_speech()
            self._speech.resume(found)
            self._reader = SampleReader(self._sample_rate, begun=found.offset > 0)
            await self._tell(audio_socket.Ack(found.turn, found.offset))
        elif found.state == "ended":
            await self._stop_listening("ended", audio_socket.Ended(found.turn, found.offset))
        else:
            await self._stop_listening("interrupted", audio_socket.Interrupted(found.turn))

    async def _audio(self, data: bytes) -> None:
        if self._deaf is not None:
            DISCARDED_BYTES.labels(self._deaf).inc(len(data))
            return
        try:
            pcm = self._reader.feed(data)
        except AudioError as error:
            DISCARDED_BYTES.labels("unsupported").inc(len(data))
            await self._refuse(error)
            return
        if not pcm:
            return
        speech = self._speech = self._speech or self._new_speech()
        opening = not speech.turn
        if await self._said(speech, pcm):
            if opening:
                await self._tell(audio_socket.Turn(speech.turn))
            await self._tell(audio_socket.Ack(speech.turn, speech.offset))

    async def _hold(self) -> None:
        if self._speech is not None and self._speech.turn:
            try:
                await self._speech.hold(self._limits.hold_s)
            except _OvertakenError:
                self._make_way(0)
            except TurnClosed as closed:
                await self._tell_over(closed)
            else:
                self._alive_at = self._loop.time()
                await self._tell(audio_socket.Ack(self._speech.turn, self._speech.offset))

    async def _refuse(self, error: AudioError) -> None:
        """Take no more of a turn whose audio cannot be spoken; what was spoken of it is its end."""
        BAD_MESSAGES.labels("audio").inc()
        speech = self._speech
        await self._stop_listening(
            "unsupported", audio_socket.Error("unsupported-audio", str(error), retryable=False)
        )
        if speech is not None and speech.turn and await self._said(speech, b"", end=True):
            await self._tell(audio_socket.Ended(speech.turn, speech.offset))

    async def _end(self) -> None:
        self._deaf = None
        speech, pcm = self._speech, await self._rest()
        if pcm and speech is None:
            speech = self._new_speech()
        self._forget()
        if speech is not None:
            opening = not speech.turn
            if await self._said(speech, pcm, end=True):
                if opening:
                    await self._tell(audio_socket.Turn(speech.turn))
                await self._tell(audio_socket.Ended(speech.turn, speech.offset))
        self._deaf = None

    async def _rest(self) -> bytes:
        """What the turn's reader held back; what is missing at its end is told."""
        pcm, text = b"", ""
        try:
            pcm = self._reader.finish()
        except AudioError as error:
            text = str(error)
        if self._reader.odd:
            text = text or "the turn's audio ended in the middle of a sample; its last byte was dropped"
        if text:
            BAD_MESSAGES.labels("odd-bytes").inc()
            await self._tell(audio_socket.Error("unsupported-audio", text, retryable=False))
        return pcm

    async def _said(self, speech: TurnInput, pcm: bytes, *, end: bool = False) -> bool:
        """Say it, or tell the speaker why its turn takes no more."""
        try:
            await speech.append(pcm, end=end)
        except _OvertakenError:
            self._make_way(len(pcm))
        except TurnClosed as closed:
            await self._tell_over(closed)
        except UplinkRejected as error:
            await self._stop_listening(error.code, _answer(error))
        else:
            self._said_at = self._alive_at = self._loop.time()
            return True
        return False

    def _make_way(self, waiting_bytes: int) -> None:
        """Drop what an interrupt has overtaken."""
        dropped = waiting_bytes + self._queue.drop_before(self._interrupt)
        DISCARDED_BYTES.labels("interrupted").inc(dropped)
        self._forget()

    async def _tell_over(self, closed: TurnClosed) -> None:
        """The turn takes no more; where the speaker's own silence is the reason, that is told, too."""
        await self._stop_listening("interrupted", audio_socket.Interrupted(closed.turn))
        now, limits = self._loop.time(), self._limits
        if now - self._alive_at > limits.silence_s:
            text = f"the turn was over after {limits.silence_s:g} s of silence: send hold to keep one open"
        elif now - self._said_at >= limits.hold_s:
            text = f"a turn may be held open for {limits.hold_s:g} s"
        else:
            return
        await self._tell(
            audio_socket.Error("input-timeout", f"{text}; what comes is thrown away", retryable=False)
        )

    def _new_speech(self) -> TurnInput:
        self._said_at = self._alive_at = self._loop.time()
        return TurnInput(
            uplink=self._uplink,
            keys=self._keys,
            source="socket",
            wait_s=self._limits.wait_s,
            chunk_bytes=MAX_CHUNK_BYTES,
            tail_bytes=self._limits.tail_bytes,
            key=self._options.key or new_key(),
            barge_in=self._options.barge_in,
            traceparent=traceparent(self._options.traceparent) or self._traceparent,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        """Wait for the next attempt, or for an interrupt, which overtakes what waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupted.wait()
        if self._interrupted.is_set():
            raise _OvertakenError

    async def _stop_listening(self, reason: str, answer: audio_socket.ToSpeaker) -> None:
        self._forget()
        self._deaf = reason
        await self._tell(answer)

    def _forget(self) -> None:
        self._speech = None
        self._reader = SampleReader(self._sample_rate)
        self._options = audio_socket.Start()


def _answer(error: UplinkRejected) -> audio_socket.Error:
    if type(error) not in _ANSWERS:
        raise error  # Closes the socket.
    code, text, retryable = _ANSWERS[type(error)]
    return audio_socket.Error(code, text.format(error=error, turn=error.turn), retryable)


def _check_format(start: audio_socket.Start, sample_rate: int) -> None:
    if start.sample_rate is not None:
        check_rate(int(start.sample_rate), sample_rate)
    if start.channels not in (None, 1):
        raise Unsupported(f"{start.channels} channels: send mono")
