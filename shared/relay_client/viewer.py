"""The viewer: a client of one conversation, over as many sockets as needed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, Self

import aiohttp

from relay_client.backoff import HEALTHY_S, Backoff
from relay_client.errors import Closed, Refused, ViewerError
from relay_wire import close_codes, events, frame, messages, uplink
from relay_wire.close_codes import CloseCode, ReconnectAdvice
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import START, Position
from relay_wire.problems import DRAINING, PROBLEM_HEADER

SUBPROTOCOL = "avatar-relay.v1"
Token = str | Callable[[], Awaitable[str]]
"""A viewer token, or a function that returns one for each connect."""

_MAX_MESSAGE_BYTES = 1024 * 1024
_HANDSHAKE_S = 10.0
"""Longest wait for a gateway's answer. The gateway may wait for Redis."""
_CLOSE_S = 2.0
"""Longest wait for the answer to a close."""
_OVER = frozenset(
    {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
)


@dataclass(slots=True)
class Report:
    """Counts of a viewer. ``gaps``, ``duplicates`` and ``out_of_order`` are 0 if every frame arrived once."""

    frames: int = 0
    """Frames of the stream that were returned."""
    gaps: int = 0
    """Gaps that the gateway announced."""
    duplicates: int = 0
    """Frames received again, and dropped."""
    out_of_order: int = 0
    """Frames that did not follow the previous one, although no gap was announced."""
    resumes: int = 0
    """Times the viewer reconnected."""
    advised: int = 0
    """Times the viewer reconnected because a gateway requested it."""
    failures: int = 0
    """Attempts to connect that failed."""


class Observer(Protocol):
    """Sees what arrives on a viewer's sockets, before the viewer checks it. Its methods must not block."""

    def received(self, frame: Frame) -> None:
        """A frame has arrived, also one that the viewer drops since it has it."""

    def disconnected(self, code: CloseCode) -> None:
        """A connection has ended with this code; ``NORMAL`` when the viewer leaves on a gateway's advice."""


class _Retry(Exception):
    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Viewer:
    """Watches a conversation. Enter it to connect, iterate it for frames, leave it to disconnect.

    Guarantee: frames arrive in position order, each once, across reconnects and gateways. A ``gap`` event
    among the frames announces frames that retention has removed, and is counted.

    When a gateway requests a reconnect, the viewer connects to the next gateway at the advised time, and then
    closes the old socket. After a break it waits as ``Backoff`` computes, then connects to the next gateway.

    Args:
        urls: Base URL of a gateway (``ws://`` or ``wss://``), or several to alternate between.
        conversation: Its id.
        token: The viewer token, or a function that returns one per connect. A gateway renews a token before
            it expires as long as the socket stands, if it has a key that can sign; a callable also covers
            gateways with public keys, and a viewer that was disconnected for longer than its token's life.
        start: ``turn`` for the turn that is being spoken or still plays, from its start; when none is, what
            comes next. ``last`` for the last turn from its start, even if it is over; ``live`` for what comes
            next; or a position to resume from.
        give_up_s: How long connecting may fail before iteration raises; None retries for ever.
            Connections that end at once count as failing.
        heartbeat_s: Interval of pings; a socket without an answer is closed.
        session: An aiohttp session to share among viewers; None creates one.
        observer: Sees every frame as it arrives, and the end of every connection.
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
        observer: Observer | None = None,
    ) -> None:
        self.report = Report()
        self.cursor: Position | None = None
        """The position of the last returned frame; pass it as ``start`` to resume later."""
        self.hello: events.Hello | None = None
        """The gateway's ``hello`` at the latest connect."""
        self.url = ""
        """The gateway of the latest connect."""
        self._urls = [urls] if isinstance(urls, str) else list(urls)
        self._conversation = conversation
        self._token = token
        self._start = start
        self._backoff = Backoff(give_up_s)
        self._heartbeat_s = heartbeat_s
        self._session = session
        self._own_session = session is None
        self._observer = observer
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._attempts = 0
        self._connected_at = 0.0
        self._leave_at: float | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Refused: The gateway refused the handshake.
            ViewerError: No gateway could be reached in time.
        """
        self._closed = False
        if self._session is None:
            self._session = aiohttp.ClientSession()
        async with AsyncExitStack() as connecting:
            connecting.push_async_callback(self.close)
            await self._connect(0)
            connecting.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self.frames()

    async def close(self) -> None:
        """Disconnect for good."""
        self._closed = True
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
        if self._own_session and self._session is not None:
            await self._session.close()
            self._session = None

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames as they arrive, with the gateway's own events (``seq`` 0), until the conversation
        ends.

        Cancelling is safe: iterate again to continue after the last returned frame.

        Raises:
            Closed: The gateway closed with a final code, other than for the conversation's end.
            Refused: A reconnect was refused.
            ViewerError: No gateway could be reached in time.
        """
        while (socket := self._socket) is not None:
            data = await self._receive(socket)
            if data is not None:
                received = self._admit(frame.decode(data))
                if received is not None:
                    yield received
            elif self._socket is socket and not await self._resume(socket):
                return

    # --- messages of the viewer -----------------------------------------------------------------

    async def interrupt(self) -> None:
        """Interrupt the avatar. Like every message, raises ``ConnectionError`` while not connected."""
        await self._send(uplink.Interrupt())

    async def send_text(self, text: str) -> None:
        """Send what the listener typed."""
        await self._send(uplink.Text(text))

    async def report_playback(self, turn: int, state: uplink.PlaybackState, position_ms: int = 0) -> None:
        """Report how far a turn has been played."""
        await self._send(uplink.Playback(turn, state, position_ms))

    async def ping(self, ping_id: str = "") -> None:
        """Ask for a ``pong`` event."""
        await self._send(messages.Ping(ping_id))

    async def send_microphone(self, pcm: bytes, *, end: bool = False) -> None:
        """Send microphone audio; with ``end`` the listener has stopped talking, and it may be empty."""
        flags = Flags.END if end else Flags.NONE
        data = frame.encode(Frame(Kind.MICROPHONE, flags, Codec.PCM_S16LE, 0, 0, 0, 0, 0, pcm))
        await self._connected().send_bytes(data)

    def cut(self) -> None:
        """Abort the connection without a close, as a network failure does; the viewer reconnects."""
        connection = self._connected()._conn  # noqa: SLF001  # aiohttp has no public way to abort
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    async def _send(self, message: messages.JsonMessage) -> None:
        await self._connected().send_str(messages.encode(message))

    def _connected(self) -> aiohttp.ClientWebSocketResponse:
        if self._socket is None or self._socket.closed:
            raise ConnectionError("the viewer is not connected")
        return self._socket

    # --- order ---------------------------------------------------------------------------------

    def _admit(self, received: Frame) -> Frame | None:
        """Check a frame against the previous ones. None when it is dropped."""
        if self._observer is not None:
            self._observer.received(received)
        if received.seq == 0:
            gateway_event = events.decode(received.payload)
            self._on_gateway_event(gateway_event)
            # A token is for this viewer only; the app may log or pass on frames.
            return None if isinstance(gateway_event, events.TokenRenewed) else received
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
        self._backoff.reset()
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
            case events.TokenRenewed(token):
                if isinstance(self._token, str):
                    self._token = token
            case events.Reconnect(after_ms):
                self._leave_at = self._now() + after_ms / 1000

    # --- connecting ----------------------------------------------------------------------------

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> bytes | None:
        """Receive the next frame. None when this socket is closed, or must be replaced."""
        try:
            async with asyncio.timeout_at(self._leave_at):
                while (message := await socket.receive()).type not in _OVER:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        return bytes(message.data)
        except TimeoutError:
            pass
        return None

    async def _resume(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Reconnect. Returns False when the conversation has ended."""
        if not socket.closed:
            self._note_end(close_codes.NORMAL)
            await self._connect(0)
            self.report.advised += 1
        else:
            code = close_codes.of_number(socket.close_code)
            self._note_end(code)
            if code in (close_codes.CONVERSATION_ENDED, close_codes.NORMAL):
                return False
            if code.advice is ReconnectAdvice.FINAL:
                raise Closed(code, "")
            if self._now() - self._connected_at >= HEALTHY_S:
                self._backoff.reset()
            await self._connect(self._next_wait_s(code.advice, code.meaning))
        self.report.resumes += 1
        return True

    def _note_end(self, code: CloseCode) -> None:
        if self._observer is not None:
            self._observer.disconnected(code)

    async def _connect(self, wait_s: float) -> None:
        """Connect after this wait, with retries. An open socket is closed only after that."""
        await asyncio.sleep(wait_s)
        while not self._closed:
            try:
                socket = await self._open()
            except _Retry as error:
                self.report.failures += 1
                await asyncio.sleep(error.after_s + self._next_wait_s(ReconnectAdvice.BACK_OFF, str(error)))
            else:
                await self._switch_to(socket)
                return

    async def _switch_to(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        former, self._socket = self._socket, socket
        self._connected_at, self._leave_at = self._now(), None
        if former is not None:
            await former.close()
        if self._closed:
            await self.close()

    def _next_wait_s(self, advice: ReconnectAdvice, reason: str) -> float:
        wait_s = self._backoff.next_wait_s(advice, self._now())
        if wait_s is None:
            raise ViewerError(f"no gateway could be reached: {reason}")
        return wait_s

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        """Open a socket at the next gateway."""
        token = self._token if isinstance(self._token, str) else await self._token()
        if self._session is None:
            raise _Retry("the viewer is closed")
        self.url = self._urls[self._attempts % len(self._urls)]
        self._attempts += 1
        try:
            async with asyncio.timeout(_HANDSHAKE_S):
                return await self._session.ws_connect(
                    f"{self.url.rstrip('/')}/v1/conversations/{self._conversation}/stream",
                    params={"from": self._start if self.cursor is None else str(self.cursor)},
                    headers={"Authorization": f"Bearer {token}"},
                    protocols=(SUBPROTOCOL,),
                    heartbeat=self._heartbeat_s,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                    max_msg_size=_MAX_MESSAGE_BYTES,
                    compress=0,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise self._refusal(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _Retry(str(error) or type(error).__name__) from error

    def _refusal(self, error: aiohttp.WSServerHandshakeError) -> Refused | _Retry:
        headers: Mapping[str, str] = error.headers or {}
        problem = headers.get(PROBLEM_HEADER, error.message)
        if error.status not in (429, 502, 503, 504):
            return Refused(error.status, problem)
        after = headers.get("Retry-After", "")
        has_other = problem == DRAINING.name and len(self._urls) > 1  # the next gateway is not draining
        return _Retry(
            f"HTTP {error.status}: {problem}", int(after) if after.isdigit() and not has_other else 0
        )

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
