"""Reception: takes viewers in and serves each until it leaves, whatever door it came through."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any, NamedTuple, cast

import structlog
from aiohttp import web

from relay_auth.viewer_tokens import Grant, Role, ViewerTokens
from relay_gateway.admission import LIMITED
from relay_gateway.commands import BAD_MESSAGES, BAD_REPORTS, ViewerCommands
from relay_gateway.dialects.dialect import BadMessage, BadReport, Dialect
from relay_gateway.fanout.feed import Feeds
from relay_gateway.fanout.replay import Replay, StartPoint
from relay_gateway.fanout.subscriber import Subscriber
from relay_gateway.flush import WriteCoalescer
from relay_gateway.handshake import SUBPROTOCOL, check_upgrade
from relay_gateway.heartbeat import Heartbeat
from relay_gateway.hub import Hub
from relay_gateway.inbound import InboundMessages, Overrun
from relay_gateway.presence import Presence
from relay_gateway.renewals import Renewals
from relay_gateway.response import ViewerResponse
from relay_gateway.socket import CLOSE_S, Socket
from relay_redis.client import RedisClient
from relay_runtime.connection import Connection
from relay_runtime.drain import drain
from relay_runtime.http import close_code
from relay_runtime.tasks import TaskScope
from relay_runtime.token_bucket import TokenBucket
from relay_settings.gateway import GatewaySettings
from relay_streams.consumer import StreamConsumer
from relay_streams.keys import ConversationKeys
from relay_streams.uplink import Uplink, UplinkLimits
from relay_telemetry.counter import counter
from relay_wire import events, problems
from relay_wire.close_codes import (
    BAD_MESSAGE,
    RATE_LIMITED,
    REGISTRY,
    RESTART,
    SLOW_CONSUMER,
)
from relay_wire.problems import Problem

_OTHER = "other"
CLOSES = counter(
    "relay_gateway_closes_total",
    "Viewer sockets closed, by code.",
    code=(*(code.name for code in REGISTRY.values()), _OTHER),
)

_RECONNECT_S = 60.0
"""How long after a drain viewers still come back with the token they have."""

log = structlog.get_logger(__name__)


class SessionStart(NamedTuple):
    """What one viewer came for, and in which protocol."""

    keys: ConversationKeys
    beginning: StartPoint
    role: Role
    dialect: Dialect
    grant: Grant | None = None
    """What its token allows, when the viewer can take a new one in time."""


class ViewerSessions:
    """A gateway's viewers and what serves them.

    Args:
        settings: The gateway's.
        client: To Redis.
        consumer: Reads the streams.
        history: Reads for single viewers.
        tokens: Renews theirs.
        tasks: Owns what runs for viewers.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        client: RedisClient,
        consumer: StreamConsumer,
        *,
        history: Replay,
        tokens: ViewerTokens,
        tasks: TaskScope,
    ) -> None:
        self._settings = settings
        self._client = client
        self._history = history
        self._tasks = tasks
        self._feeds = Feeds(consumer, ring_bytes=settings.ring_bytes, linger_s=settings.feed_linger_s)
        self._uplink = Uplink(client, UplinkLimits.of(settings))
        self._hub = Hub()
        self._coalescer = WriteCoalescer()
        self._heartbeat = Heartbeat(settings.heartbeat_s)
        self._presence = Presence(client, every_s=settings.presence_s, patience_s=settings.owner_wait_s)
        tasks.spawn(self._heartbeat.run(), name="heartbeat")
        self._renewals = Renewals(tokens, settings.token_max_life_s)
        tasks.spawn(self._renewals.run(), name="token renewals")
        tasks.spawn(self._presence.run(), name="presence")
        self.leaving = False
        """Whether it takes no more viewers."""

    async def drain(self) -> None:
        """Take no more viewers, and send those that are here elsewhere, spread over the drain time.

        Returns when the last has left. Cancelling is safe; ``close`` ends the rest.
        """
        self.leaving = True
        # Who is sent elsewhere needs a token that is valid then.
        await self._renewals.renew_before(time.time() + self._settings.drain_s + _RECONNECT_S)
        await drain(
            self._hub,
            self._settings.drain_s,
            advise=lambda viewer, after_ms: viewer.say(events.Reconnect(after_ms, "draining")),
            close=lambda viewer: viewer.end(RESTART),
        )

    async def close(self) -> None:
        """Take no more viewers, and close every one that is left at once."""
        self.leaving = True
        for subscriber in self._hub:
            subscriber.end(RESTART)
        await self._hub.gone_by(asyncio.get_running_loop().time() + CLOSE_S)
        self._feeds.close()

    def check(self, request: web.Request) -> None:
        """Refuse a viewer that cannot be taken in.

        Raises:
            Problem: The gateway is leaving, or the request is no upgrade we speak.
        """
        if self.leaving:
            raise Problem(problems.DRAINING, "this gateway is leaving, try another", retry_after_s=1)
        check_upgrade(request)

    @asynccontextmanager
    async def open(self, request: web.Request) -> AsyncIterator[Socket]:
        """Accept the upgrade: a socket while the block runs. How it ended is counted.

        What the block raises closes the socket with a code: there is no other answer after an upgrade.

        Raises:
            ConnectionError: The viewer left during the handshake.
        """
        websocket = ViewerResponse(
            protocols=(SUBPROTOCOL,),
            max_msg_size=self._settings.gateway_max_message_bytes,
            timeout=CLOSE_S,
            compress=False,
            autoclose=False,
            autoping=False,
        )
        await websocket.prepare(request)
        socket = Socket(
            request,
            websocket,
            self._coalescer,
            buffer_bytes=self._settings.client_buffer_bytes,
            notsent_bytes=self._settings.client_notsent_bytes,
        )
        self._limit_frames(request, socket)
        try:
            with self._heartbeat.watch(socket):
                try:
                    yield socket
                except ConnectionError:
                    pass  # The viewer left: its socket says so, too.
                except Overrun as error:
                    socket.close(RATE_LIMITED, str(error))
                except Exception as error:  # noqa: BLE001  # the root of every viewer
                    socket.close(close_code(request, error))
                await socket.ended()
        finally:
            socket.drop()
            # Codes of clients are theirs to choose; only the registry's become labels.
            CLOSES.labels(socket.ended_by.name if socket.ended_by else _OTHER).inc()

    def _limit_frames(self, request: web.Request, socket: Socket) -> None:
        clock, per_s = asyncio.get_running_loop().time, self._settings.messages_per_s
        allowance = TokenBucket(per_s, per_s * self._settings.message_burst_s, clock())

        def allow(frames: int) -> bool:
            if not allowance.take(frames, clock()):
                return True
            LIMITED.labels("messages").inc()
            socket.close(RATE_LIMITED, "too many messages in too short a time")
            return False

        cast(Connection, request.protocol).limit_frames(allow)

    async def refuse(self, request: web.Request, error: Exception) -> web.StreamResponse:
        """Accept the upgrade and close at once, with the code of the error: a browser is told no status."""
        async with self.open(request) as socket:
            socket.close(close_code(request, error), str(error) if isinstance(error, Problem) else "")
        return socket.websocket

    async def serve(self, socket: Socket, visit: SessionStart) -> None:
        """Send a viewer its conversation, and pass on what it says, until the socket closes."""
        if self.leaving:
            socket.close(RESTART)
            return
        keys, beginning, role, dialect, grant = visit
        record = beginning.record
        feed = self._feeds.attach(keys, record.tail, ended=record.state == "ended")
        subscriber = Subscriber(
            socket,
            dialect,
            feed,
            self._history,
            beginning.cursor,
            slow_s=self._settings.slow_client_s,
            patience_s=self._settings.store_patience_s,
            replay_bytes=self._settings.client_buffer_bytes,
            spawn=self._spawn,
        )
        uplink = ViewerCommands(
            self._uplink,
            keys,
            role,
            speech_wait_s=self._settings.uplink_wait_s,
            send_event=subscriber.say,
            reachable=lambda: self._client.connected,
        )

        def refuse_size() -> None:
            limit = self._settings.gateway_max_message_bytes
            subscriber.say(events.Error("too_big", f"a message may have {limit} bytes", retryable=False))
            socket.flush()

        socket.websocket.on_too_big = refuse_size
        renewing = self._renewals.keep(grant, subscriber.say) if grant else nullcontext()
        with self._hub.seat(subscriber), self._presence.of(keys, subscriber), renewing:
            try:
                subscriber.say(self._hello(beginning))
                subscriber.start()
                await self._receive(socket, dialect, uplink)
            finally:
                subscriber.stop()
                socket.websocket.on_too_big = None
                self._feeds.detach(feed)

    async def _receive(self, socket: Socket, dialect: Dialect, uplink: ViewerCommands) -> None:
        bad = bad_reports = 0
        async for message in InboundMessages(socket, self._settings):
            try:
                said = dialect.read(message)
                if isinstance(said, bytes):
                    socket.write(said)
                elif said is not None:
                    await uplink.handle(said)
            except BadReport as error:
                # Players report all the time: one answer says it, and the picture goes on.
                BAD_REPORTS.inc()
                if not bad_reports:
                    uplink.reject_message(str(error))
                bad_reports += 1
            except BadMessage as error:
                bad += 1
                BAD_MESSAGES.inc()
                uplink.reject_message(str(error))
                if bad >= self._settings.bad_messages:
                    socket.close(BAD_MESSAGE, str(error))
            if socket.congested:
                # Who asks without reading the answers is not listened to until it does.
                with suppress(ConnectionError):
                    if not await socket.drained(self._settings.slow_client_s):
                        socket.close(SLOW_CONSUMER)

    def _hello(self, beginning: StartPoint) -> events.Hello:
        record = beginning.record
        return events.Hello(
            position=str(beginning.cursor),
            turn=record.turn,
            sample_rate=record.sample_rate,
            codec=record.codec.name.lower(),
            avatar_id=record.avatar_id,
            app_id=self._settings.app_id,
            region=self._settings.region,
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.spawn(coroutine, name="subscriber")
