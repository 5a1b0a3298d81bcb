"""The viewer: one client of one conversation, across as many sockets as it takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, stop_never
from tenacity.wait import wait_random_exponential

from relay_client.errors import Closed, Refused, ViewerError
from relay_wire import close_codes, events, frame, messages
from relay_wire.close_codes import Advice, CloseCode
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import START, Position
from relay_wire.problems import PROBLEM_HEADER

SUBPROTOCOL = "avatar-relay.v1"
Token = str | Callable[[], Awaitable[str]]
"""A viewer token, or where to get a fresh one for each connect."""

_MAX_MESSAGE_BYTES = 1024 * 1024
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0


@dataclass(slots=True)
class Report:
    """What a viewer has seen. On a whole conversation all but ``frames`` and ``resumes`` are 0."""

    frames: int = 0
    """Frames of the stream handed out."""
    gaps: int = 0
    """Times the gateway said that frames are gone."""
    duplicates: int = 0
    """Frames that came again, and were dropped."""
    out_of_order: int = 0
    """Frames that did not follow the one before, although no gap was announced."""
    resumes: int = 0
    """Times the viewer reconnected."""


class _TryAgain(Exception):
    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class Viewer:
    """Watches a conversation. Enter it to connect, iterate it for frames, leave it to disconnect.

    Guarantee: frames come in position order, each once, across reconnects and gateways; what is gone
    for good is announced by a ``gap`` event among the frames, and counted.

    Args:
        urls: Base URL of a gateway (``ws://`` or ``wss://``), or several to take turns with.
        conversation: Its id.
        token: The viewer token.
        start: ``turn`` for the current turn from its start, ``live``, or a position to resume from.
        give_up_s: How long reconnecting may fail before iteration raises; None tries for ever.
        heartbeat_s: Between pings; a gateway that does not answer is left.
        session: An aiohttp session to share among many viewers; one is made when None.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        conversation: str,
        token: Token,
        *,
        start: str = "turn",
        give_up_s: float | None = 60.0,
        heartbeat_s: float = 10.0,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self.report = Report()
        self.cursor: Position | None = None
        """The last frame handed out; pass it as ``start`` to go on later."""
        self.hello: events.Hello | None = None
        """What the gateway said of the conversation at the latest connect."""
        self.url = ""
        """The gateway of the latest connect."""
        self._urls = [urls] if isinstance(urls, str) else list(urls)
        self._conversation = conversation
        self._token = token
        self._start = start
        self._give_up_s = give_up_s
        self._heartbeat_s = heartbeat_s
        self._session = session
        self._own_session = session is None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._attempts = 0

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Refused: The gateway says no.
            ViewerError: No gateway could be reached in time.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            await self._connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self.frames()

    async def close(self) -> None:
        """Disconnect for good."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
        if self._own_session and self._session is not None:
            await self._session.close()
            self._session = None

    async def frames(self) -> AsyncIterator[Frame]:
        """Frames as they come, with the gateway's own events (``seq`` 0), until the conversation ends.

        Cancelling is safe: iterate again to go on after the last frame handed out.

        Raises:
            Closed: The gateway closed for good, for another reason than the conversation's end.
            Refused: A reconnect was refused.
            ViewerError: No gateway could be reached in time.
        """
        while True:
            socket = self._socket
            if socket is None:
                return
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    received = self._admit(frame.decode(message.data))
                    if received is not None:
                        yield received
            if self._socket is not socket:
                return  # closed by us
            code = close_codes.REGISTRY.get(socket.close_code or 1006)
            if code in (close_codes.CONVERSATION_ENDED, close_codes.NORMAL):
                return
            await self._come_back(socket, code)

    # --- what a viewer says --------------------------------------------------------------------

    async def interrupt(self) -> None:
        """Make the avatar stop. Like everything said, raises ``ConnectionError`` while not connected."""
        await self._say(messages.Interrupt())

    async def send_text(self, text: str) -> None:
        """Send what the listener typed."""
        await self._say(messages.Text(text))

    async def report_playback(self, turn: int, state: messages.PlaybackState, position_ms: int = 0) -> None:
        """Report how far a turn has been played."""
        await self._say(messages.Playback(turn, state, position_ms))

    async def ping(self, ping_id: str = "") -> None:
        """Ask for a ``pong`` event."""
        await self._say(messages.Ping(ping_id))

    async def send_microphone(self, pcm: bytes) -> None:
        """Send microphone audio."""
        data = frame.encode(Frame(Kind.MICROPHONE, Flags.NONE, Codec.PCM_S16LE, 0, 0, 0, 0, 0, pcm))
        await self._connected().send_bytes(data)

    def cut(self) -> None:
        """Break the connection off without a close, as a network does; the viewer comes back by itself."""
        connection = self._connected()._conn  # noqa: SLF001  # aiohttp has no public way to be rude
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    async def _say(self, message: messages.Message) -> None:
        await self._connected().send_str(messages.encode(message))

    def _connected(self) -> aiohttp.ClientWebSocketResponse:
        if self._socket is None or self._socket.closed:
            raise ConnectionError("the viewer is not connected")
        return self._socket

    # --- order ---------------------------------------------------------------------------------

    def _admit(self, received: Frame) -> Frame | None:
        """Check a frame against what came before; None when it is to be dropped."""
        if received.seq == 0:
            self._on_gateway_event(events.decode(received.payload))
            return received
        position = received.position
        event = events.decode(received.payload) if received.kind is Kind.EVENT else None
        cursor = self.cursor or START
        if not events.follows(cursor, position, event):
            if position <= cursor:
                self.report.duplicates += 1
                return None
            self.report.out_of_order += 1
        self.report.frames += 1
        self.cursor = position
        return received

    def _on_gateway_event(self, event: events.Event | events.Unknown) -> None:
        match event:
            case events.Hello():
                self.hello = event
                if self.cursor is None:
                    self.cursor = Position.parse(event.position)
            case events.Gap(_, to):
                self.report.gaps += 1
                self.cursor = Position.parse(to)

    # --- connecting ----------------------------------------------------------------------------

    async def _come_back(self, socket: aiohttp.ClientWebSocketResponse, code: CloseCode | None) -> None:
        number = socket.close_code or 1006
        if close_codes.advice(number) is Advice.FINAL:
            raise Closed(code or CloseCode(number, "unknown", Advice.FINAL, "not in the registry"), "")
        self.report.resumes += 1
        await self._connect(wait_first=close_codes.advice(number) is Advice.BACK_OFF)

    async def _connect(self, *, wait_first: bool = False) -> None:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            wait=_wait,
            stop=stop_never if self._give_up_s is None else stop_after_delay(self._give_up_s),
            reraise=True,
        )
        if wait_first:
            await asyncio.sleep(_LONGEST_WAIT_S / 10)
        try:
            self._socket = await attempts(self._connect_once)
        except _TryAgain as last:
            raise ViewerError(f"no gateway could be reached: {last}") from last

    async def _connect_once(self) -> aiohttp.ClientWebSocketResponse:
        if self._session is None:
            raise ViewerError("the viewer is closed")
        self.url = self._urls[self._attempts % len(self._urls)]
        self._attempts += 1
        token = self._token if isinstance(self._token, str) else await self._token()
        try:
            return await self._session.ws_connect(
                f"{self.url.rstrip('/')}/v1/conversations/{self._conversation}/stream",
                params={"from": self._start if self.cursor is None else str(self.cursor)},
                headers={"Authorization": f"Bearer {token}"},
                protocols=(SUBPROTOCOL,),
                heartbeat=self._heartbeat_s,
                max_msg_size=_MAX_MESSAGE_BYTES,
                compress=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            raise self._refusal(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _TryAgain(str(error) or type(error).__name__) from error

    @staticmethod
    def _refusal(error: aiohttp.WSServerHandshakeError) -> Exception:
        headers: Mapping[str, str] = error.headers or {}
        if error.status in (429, 502, 503, 504):
            after = headers.get("Retry-After", "0")
            return _TryAgain(f"HTTP {error.status}", float(after) if after.isdigit() else 0.0)
        return Refused(error.status, headers.get(PROBLEM_HEADER, error.message))


_BACKOFF = wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S)


def _wait(state: RetryCallState) -> float:
    """Exponential with full jitter, and not before the gateway says."""
    failure: Any = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), getattr(failure, "after_s", 0.0))
