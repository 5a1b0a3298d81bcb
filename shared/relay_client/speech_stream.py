"""The speech stream: a turn sent as it is synthesised, over as many audio sockets as needed."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

import aiohttp

from relay_client.backoff import HEALTHY_S, Backoff
from relay_client.errors import ControlUnavailable
from relay_client.outgoing_turn import OutgoingTurn, State
from relay_client.refusals import Unavailable
from relay_runtime.tasks import first_of
from relay_wire import audio_socket, close_codes
from relay_wire.audio_socket import AudioSocketError
from relay_wire.close_codes import GOING_AWAY, NORMAL, ReconnectAdvice

Connect = Callable[[], Coroutine[Any, Any, aiohttp.ClientWebSocketResponse]]

_MESSAGE_BYTES = 64 * 1024


class SpeechStream:
    """A turn that is sent to control as it is synthesised. Created by ``Backend.speech``.

    Enter it to connect; leaving it waits until all of the turn is in the uplink. A block that is left by an
    error or a cancellation closes the connection and leaves the turn open: a stream with the same key resumes
    it, ``Backend.interrupt`` cancels it, and its silence ends it after ``RELAY_INPUT_TIMEOUT_S``.

    Broken connections, restarts of control, 503 and 429 are not errors: the stream reconnects and resumes at
    the acknowledged byte. Each byte is spoken once.

    Every method raises the error that has stopped the stream:

    - ``SpeechInterrupted``, ``SpeechRefused``, ``SpeechLost``: the turn stops here.
    - ``RequestRefused``: control refuses the connection.
    - ``ControlUnavailable``: no progress for ``give_up_s``.

    Args:
        turn: The turn.
        connect: Opens an audio socket.
        give_up_s: How long connecting may fail before it gives up; None for ever.
    """

    def __init__(self, turn: OutgoingTurn, connect: Connect, *, give_up_s: float | None) -> None:
        self._turn = turn
        self._connect = connect
        self._backoff = Backoff(give_up_s)
        self._changed = asyncio.Event()
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.resumes = 0
        """How often the stream has resumed over another connection."""

    @property
    def turn(self) -> int:
        """The turn's number; 0 until control has opened it."""
        return self._turn.number

    @property
    def acknowledged_bytes(self) -> int:
        """How much of the turn is in the relay: it is spoken even if this process ends now."""
        return self._turn.acknowledged_bytes

    @property
    def buffered_bytes(self) -> int:
        """Audio kept here until it is acknowledged."""
        return self._turn.buffered_bytes

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="speech stream")
        self._task.add_done_callback(lambda _: self._notify())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._turn.state in (State.OPEN, State.ENDING):
                await self.end()
        finally:
            await self._close()

    async def send(self, pcm: bytes) -> None:
        """Append audio to the turn; waits while too much is unacknowledged (backpressure).

        Args:
            pcm: Mono PCM16 little-endian at the conversation's rate, cut anywhere.

        Raises:
            ValueError: The turn has been ended or interrupted, or begins like a WAV file.

        A call that is cancelled, or raises, has appended nothing.
        """
        async with self._sending:
            await asyncio.sleep(0)  # a loop of calls that need not wait must not starve the connection
            await self._until(lambda: self._turn.has_room(len(pcm)))
            self._turn.append(pcm)
        self._notify()

    async def hold(self) -> None:
        """Keep the turn open while there is no audio, as during a tool call. Repeat it every few seconds."""
        self._check()
        self._turn.hold()
        self._notify()

    async def end(self) -> int:
        """End the turn, and wait until all of it is in the uplink.

        Returns:
            The turn's number; 0 when it has no audio.

        Raises:
            ValueError: The turn has been interrupted.

        After a cancellation the turn is still ended; call again to wait for it.
        """
        self._check()
        self._turn.end()
        self._notify()
        await self._until(lambda: self._turn.over)
        return self._turn.number

    async def interrupt(self) -> None:
        """Cancel this turn and all before it, and wait until control has done so.

        Raises:
            ValueError: All of the turn is in the uplink: use ``Backend.interrupt``.

        After a cancellation the interrupt is still sent; call again to wait for it.
        """
        self._check()
        self._turn.interrupt()
        self._notify()
        await self._until(lambda: self._turn.over)

    def cut(self) -> None:
        """Abort the connection without a close, as a network failure does; the stream reconnects."""
        if self._socket is None:
            return
        connection = self._socket._conn  # noqa: SLF001  # aiohttp has no public way to abort
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    # --- waiting ----------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._task is None:
            raise ValueError("the stream is not open")
        if self._task.done():
            self._task.result()

    async def _until(self, holds: Callable[[], bool]) -> None:
        self._check()
        while not holds():
            await self._changed.wait()
            self._check()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- connecting -------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Use one audio socket after another until the turn is over."""
        connects = 0
        while True:
            retry_after_s = 0.0
            try:
                socket = await self._connect()
            except Unavailable as unavailable:
                advice, reason = ReconnectAdvice.BACK_OFF, str(unavailable)
                retry_after_s = unavailable.retry_after_s
            else:
                self.resumes = connects
                connects += 1
                advice, reason = await self._use(socket)
            if self._turn.over:
                return
            await asyncio.sleep(retry_after_s + self._next_wait_s(advice, reason))

    async def _use(self, socket: aiohttp.ClientWebSocketResponse) -> tuple[ReconnectAdvice, str]:
        """Use a socket until it or the turn ends. Returns how to reconnect, and the reason."""
        self._turn.connect()
        self._socket = socket
        acknowledged_bytes, opened_at = self._turn.acknowledged_bytes, self._now()
        advice: ReconnectAdvice | None = None

        async def read() -> None:
            nonlocal advice
            advice = await self._read(socket)

        try:
            await first_of(send=self._send(socket), read=read())
        finally:
            # 1000 would end an open turn.
            await socket.close(code=NORMAL.code if self._turn.over else GOING_AWAY.code)
        if self._turn.acknowledged_bytes > acknowledged_bytes or self._now() - opened_at >= HEALTHY_S:
            self._backoff.reset()
        code = close_codes.of_number(socket.close_code)
        if advice is None and code.advice is ReconnectAdvice.FINAL and not self._turn.over:
            raise self._turn.refused(code.name.replace("_", "-"), code.meaning)
        return advice or code.advice, code.meaning

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(ConnectionError):  # the reading task receives the close, too
            while True:
                message = self._turn.next_message(_MESSAGE_BYTES)
                if message is None:
                    await self._changed.wait()
                elif isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_str(audio_socket.encode(message))
        await asyncio.Event().wait()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> ReconnectAdvice | None:
        """Handle answers until the turn or the socket ends; returns advice for reconnecting."""
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return None
            try:
                answer = audio_socket.decode_answer(message.data)
            except AudioSocketError as error:
                raise self._turn.refused("bad-answer", str(error)) from None
            advice = self._turn.receive(answer)
            self._notify()
            if advice is not None or self._turn.over:
                return advice
        return None

    def _next_wait_s(self, advice: ReconnectAdvice, reason: str) -> float:
        wait_s = self._backoff.next_wait_s(advice, self._now())
        if wait_s is None:
            raise ControlUnavailable(reason)
        return wait_s

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
