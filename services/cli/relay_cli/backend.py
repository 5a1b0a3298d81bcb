"""The backend: control's API as an app's backend uses it."""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any, Self

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from relay_client.backoff import Backoff
from relay_runtime.tasks import first_of
from relay_wire import speaker
from relay_wire.close_codes import Advice
from relay_wire.tail import Forgotten, Tail

_UNAVAILABLE = 503
_HANDSHAKE_S = 10.0
"""Longest wait for an audio socket to open."""
_HEARTBEAT_S = 10.0
"""How often an audio socket is probed."""
_MESSAGE_BYTES = 64 * 1024
_MAX_UNACKED_BYTES = 1024 * 1024
"""How far a live turn runs ahead of what the relay has."""


class BackendError(Exception):
    """Raised when control refuses a request.

    Attributes:
        status: The HTTP status.
        problem: The problem object, as far as there is one.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {problem.get('title', '')} {problem.get('detail', '')}".strip())
        self.status = status
        self.problem = problem


class Backend:
    """A client of control. Enter it to open the session; leaving closes it.

    Args:
        url: Base URL of control.
        api_key: A key it knows.
        patience_s: How long speech is tried again while control or its Redis is away.
    """

    def __init__(self, url: str, api_key: str, *, patience_s: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._patience_s = patience_s
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def create(self, **wishes: Any) -> dict[str, Any]:
        """Create a conversation."""
        return await self._call("POST", "/v1/conversations", json=wishes)

    async def read(self, conversation: str) -> dict[str, Any]:
        """Read one."""
        return await self._call("GET", f"/v1/conversations/{conversation}")

    async def delete(self, conversation: str) -> dict[str, Any]:
        """End one."""
        return await self._call("DELETE", f"/v1/conversations/{conversation}")

    async def token(self, conversation: str, **wishes: Any) -> str:
        """A viewer token."""
        answer = await self._call("POST", f"/v1/conversations/{conversation}/tokens", json=wishes)
        token: str = answer["token"]
        return token

    async def speak(
        self,
        conversation: str,
        audio: bytes,
        *,
        content_type: str = "audio/pcm",
        barge_in: bool = False,
        key: str = "",
    ) -> dict[str, Any]:
        """Speak a whole turn, once, however often the connection breaks.

        Args:
            conversation: Its id.
            audio: WAV, or PCM at the conversation's rate.
            content_type: Which of them.
            barge_in: Cancel what is spoken or waits.
            key: What a repetition is known by; one is made when there is none.

        Raises:
            BackendError: Refused; 503 only after the backend's patience.
            aiohttp.ClientError: Control could not be reached in that time.

        Whether it was spoken is unknown after a 503, an ``aiohttp.ClientError`` or a cancellation:
        repeat it with the same key.
        """
        return await self._retrying()(
            self._call,
            "POST",
            f"/v1/conversations/{conversation}/turns",
            params={"barge_in": "true"} if barge_in else {},
            data=audio,
            headers={"Content-Type": content_type, "Idempotency-Key": key or secrets.token_urlsafe(12)},
        )

    async def interrupt(self, conversation: str) -> dict[str, Any]:
        """Cancel every turn so far."""
        return await self._call("POST", f"/v1/conversations/{conversation}/interrupt")

    async def speak_live(self, conversation: str, chunks: Iterable[bytes], *, barge_in: bool = False) -> int:
        """Speak a turn chunk by chunk over the audio socket; returns its number once all of it is in.

        A connection that breaks is made again, and the turn goes on from where the relay has it: each
        byte is spoken once.

        Raises:
            BackendError: The turn was refused or interrupted, or control was away for longer than the
                backend's patience.

        Cancelling leaves the turn open until its silence is too long; ``interrupt`` ends it at once.
        """
        turn = _LiveTurn(chunks, barge_in=barge_in)
        backoff = Backoff(self._patience_s)
        why: Exception | None = None
        while True:
            before = turn.offset
            try:
                async with asyncio.timeout(_HANDSHAKE_S):
                    socket = await self.socket(conversation)
                if await turn.speak(socket):
                    return turn.number
            except aiohttp.WSServerHandshakeError as refusal:
                if refusal.status != _UNAVAILABLE:
                    raise BackendError(refusal.status, {"title": "the audio socket is refused"}) from None
                why = refusal
            except (aiohttp.ClientError, OSError) as error:
                why = error
            if turn.offset > before:
                backoff.reset()
            wait_s = backoff.next_wait_s(Advice.RESUME, asyncio.get_running_loop().time())
            if wait_s is None:
                raise BackendError(0, {"title": "control is away", "detail": str(why)})
            await asyncio.sleep(wait_s)

    def socket(
        self, conversation: str
    ) -> "aiohttp.client._BaseRequestContextManager[aiohttp.ClientWebSocketResponse]":
        """The audio socket."""
        return self._session.ws_connect(
            f"{self._url}/v1/conversations/{conversation}/audio", heartbeat=_HEARTBEAT_S
        )

    def _retrying(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.05, max=2.0),
            stop=stop_after_delay(self._patience_s),
            reraise=True,
        )

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        async with self._session.request(method, self._url + path, **options) as response:
            try:
                body: dict[str, Any] = await response.json(content_type=None)
            except ValueError:
                body = {"title": await response.text()}
            if response.status >= 400:
                raise BackendError(response.status, body)
            return body


class _LiveTurn:
    """A turn said over as many audio sockets as it takes.

    Args:
        chunks: Its audio, as it is synthesised.
        barge_in: Cancel what is spoken or waits.
    """

    def __init__(self, chunks: Iterable[bytes], *, barge_in: bool) -> None:
        self._chunks = iter(chunks)
        self._start = speaker.Start(barge_in=barge_in, key=secrets.token_urlsafe(12))
        self._tail = Tail()
        """What was taken from the chunks and is not acknowledged."""
        self._exhausted = False
        self._acknowledged = asyncio.Event()
        self.offset = 0
        """Bytes the relay has."""
        self.number = 0
        """The turn, once all of it is in."""

    async def speak(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Go on over this socket, and close it. False when it broke before all of the turn was in.

        Raises:
            BackendError: The turn was refused or interrupted.
        """
        try:
            self._acknowledged.clear()
            await first_of(send=self._send(socket), read=self._read(socket))
        finally:
            # Only 1000 would end the turn.
            code = aiohttp.WSCloseCode.OK if self.number else aiohttp.WSCloseCode.GOING_AWAY
            await socket.close(code=code)
        return bool(self.number)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            await socket.send_str(speaker.encode(self._start))
            await self._acknowledged.wait()
            offset = self.offset
            while not self._exhausted or offset < self._tail.end:
                if pcm := self._tail.read(offset, _MESSAGE_BYTES):
                    await socket.send_bytes(pcm)
                    offset += len(pcm)
                else:
                    await self._take_chunk()
            await socket.send_str(speaker.encode(speaker.End()))
        except ConnectionError:
            pass  # the reader sees it, too
        except Forgotten as lost:
            raise BackendError(0, {"title": "acknowledged audio was lost", "detail": str(lost)}) from None
        await asyncio.Event().wait()  # the reader says when it is over

    async def _take_chunk(self) -> None:
        while len(self._tail) > _MAX_UNACKED_BYTES:
            self._acknowledged.clear()
            await self._acknowledged.wait()
        chunk = next(self._chunks, None)
        if chunk is None:
            self._exhausted = True
        else:
            self._tail.add(chunk)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            match speaker.decode_answer(message.data):
                case speaker.Ack(_, offset):
                    self.offset = offset
                    self._tail.forget(offset)
                    self._acknowledged.set()
                case speaker.Ended(turn, offset) if self._exhausted and offset == self._tail.end:
                    self.number = turn
                    return
                case speaker.Error(code, retryable=True) if code != "turn-open":
                    return
                case speaker.Error() | speaker.Interrupted() | speaker.Ended() as answer:
                    raise BackendError(0, {"title": "the turn was not taken", "detail": str(answer)})


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, BackendError):
        return error.status == _UNAVAILABLE
    return isinstance(error, aiohttp.ClientConnectionError | TimeoutError)
