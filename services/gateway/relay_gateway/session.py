"""A viewer session: one viewer of one conversation, from its hello to its end, in any dialect."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from aiohttp import WSMessage

from relay_auth.viewer_tokens import Grant, Role
from relay_gateway.commands import BAD_MESSAGES, BAD_REPORTS, ViewerCommands
from relay_gateway.dialects.dialect import BadMessage, BadReport, Dialect
from relay_gateway.fanout.feeds import Feeds
from relay_gateway.fanout.reader import FeedReader
from relay_gateway.fanout.replay import Replay, StartPoint
from relay_gateway.fanout.subscriber import Subscriber
from relay_gateway.hub import VIEWERS, Hub
from relay_gateway.presence import Presence
from relay_gateway.renewals import Renewal, Renewals
from relay_gateway.socket import Socket
from relay_settings.gateway import GatewaySettings
from relay_streams.keys import ConversationKeys
from relay_streams.uplink import Uplink
from relay_wire import events
from relay_wire.close_codes import BAD_MESSAGE, RESTART, SLOW_CONSUMER, TOO_BIG, CloseCode


class Messages(Protocol):
    """The messages of a viewer."""

    async def receive(self) -> WSMessage | None:
        """The next message, None when the socket has ended."""


@dataclass(frozen=True, slots=True)
class SessionServices:
    """The parts of a gateway that all viewer sessions use."""

    settings: GatewaySettings
    hub: Hub
    feeds: Feeds
    replay: Replay
    uplink: Uplink
    presence: Presence
    renewals: Renewals
    is_connected: Callable[[], bool]
    """Whether Redis is connected."""


class SessionStart(NamedTuple):
    """The conversation of one viewer, its first frame, and its protocol."""

    keys: ConversationKeys
    start_point: StartPoint
    role: Role
    dialect: Dialect
    grant: Grant | None = None
    """The grant of its token, when the dialect can send the viewer a new token."""


class ViewerSession:
    """One viewer's session.

    Args:
        services: The parts that all sessions use.
        start: The viewer's start. It is released when the session runs, since most sessions last for long.
    """

    __slots__ = (
        "_bad_messages", "_commands", "_dialect", "_feed", "_has_bad_reports", "_keys", "_renewal",
        "_services", "_socket", "_start", "_subscriber",
    )  # fmt: skip

    _socket: Socket
    _feed: FeedReader
    _subscriber: Subscriber
    _commands: ViewerCommands
    _renewal: Renewal | None

    def __init__(self, services: SessionServices, start: SessionStart) -> None:
        self._services = services
        self._start: SessionStart | None = start
        self._keys = start.keys
        self._dialect = start.dialect
        self._bad_messages = 0
        self._has_bad_reports = False

    async def run(self, socket: Socket, messages: Messages) -> None:
        """Send the conversation to the viewer, and its messages to the owner, until the socket closes.

        To be called once.

        Raises:
            RateExceeded: The viewer has sent too many bytes.
        """
        if self._services.hub.leaving:
            socket.close(RESTART)
            return
        self._open(socket)
        try:
            self._greet()
            while (message := await messages.receive()) is not None:
                await self._handle(message)
        finally:
            self._close()

    # --- opening and closing -------------------------------------------------------------------

    def _open(self, socket: Socket) -> None:
        start, services = self._session_start, self._services
        record = start.start_point.record
        self._socket = socket
        self._feed = services.feeds.attach(self._keys, record.last_position, ended=record.state == "ended")
        self._subscriber = Subscriber(
            socket, self._dialect, start.start_point.cursor, resumes=start.start_point.resumes
        )
        self._commands = ViewerCommands(
            services.uplink,
            self._keys,
            start.role,
            speech_wait_s=services.settings.uplink_wait_s,
            send_event=self._subscriber.send_event,
            reachable=services.is_connected,
        )
        socket.before_close = self._last
        self._renewal = services.renewals.add(self._subscriber, start.grant) if start.grant else None
        services.presence.add(self._keys, self._subscriber)
        services.hub.add(self._subscriber)
        VIEWERS[self._dialect.protocol].value += 1

    def _greet(self) -> None:
        self._subscriber.send_event(_hello(self._session_start.start_point, self._services.settings))
        self._feed.add(self._subscriber)
        self._start = None

    @property
    def _session_start(self) -> SessionStart:
        assert self._start is not None  # noqa: S101  # a session runs once
        return self._start

    def _close(self) -> None:
        self._feed.remove(self._subscriber)
        self._services.feeds.detach(self._feed)
        if self._renewal is not None:
            self._services.renewals.remove(self._renewal)
        self._services.presence.remove(self._keys, self._subscriber)
        self._services.hub.remove(self._subscriber)
        self._commands.close()
        VIEWERS[self._dialect.protocol].value -= 1

    # --- messages ------------------------------------------------------------------------------

    async def _handle(self, message: WSMessage) -> None:
        try:
            command = self._dialect.read(message.data)
            if isinstance(command, bytes):
                self._socket.write(command)
            elif command is not None:
                await self._commands.handle(command)
        except BadReport as error:
            self._reject_report(str(error))
        except BadMessage as error:
            self._reject_message(str(error))
        if self._socket.congested:
            await self._drain()

    def _reject_report(self, reason: str) -> None:
        """Answer the first bad playback report only: players report often, and need no answer."""
        BAD_REPORTS.inc()
        if not self._has_bad_reports:
            self._has_bad_reports = True
            self._commands.reject_message(reason)

    def _reject_message(self, reason: str) -> None:
        """Answer a bad message; close the socket of a viewer that has sent too many."""
        BAD_MESSAGES.inc()
        self._bad_messages += 1
        self._commands.reject_message(reason)
        if self._bad_messages >= self._services.settings.bad_messages:
            self._socket.close(BAD_MESSAGE, reason)

    async def _drain(self) -> None:
        """Stop reading from a viewer that does not drain its answers; close it when it is too slow."""
        with suppress(ConnectionError):
            if not await self._socket.drained(self._services.settings.slow_client_s):
                self._socket.close(SLOW_CONSUMER)

    def _last(self, code: CloseCode) -> bytes:
        """The last messages before a close by the gateway."""
        last = self._dialect.last(code)
        if code is not TOO_BIG:
            return last
        text = f"a message may have {self._socket.websocket.max_message_bytes} bytes"
        error = events.Error("too_big", text, retryable=False)
        return self._dialect.event(error, self._subscriber.cursor) + last


def _hello(start_point: StartPoint, settings: GatewaySettings) -> events.Hello:
    record = start_point.record
    return events.Hello(
        position=str(start_point.cursor),
        turn=record.turn,
        sample_rate=record.sample_rate,
        codec=record.codec.name.lower(),
        avatar_id=record.avatar_id,
        app_id=settings.app_id,
        region=settings.region,
    )
