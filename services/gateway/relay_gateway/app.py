"""The application: the gateway's routes, and what holds it together."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import structlog
from aiohttp import WSMsgType, web
from prometheus_client import Counter

from relay_auth.viewer_tokens import Grant
from relay_gateway import compat
from relay_gateway.audience import Audience
from relay_gateway.dialects import BadMessage, Compat, Dialect, Native
from relay_gateway.drain import drain
from relay_gateway.feed import Feeds
from relay_gateway.handshake import SUBPROTOCOL, check_upgrade, compat_grant, grant_of
from relay_gateway.history import Beginning, History
from relay_gateway.socket import CLOSE_S, Socket
from relay_gateway.subscriber import Subscriber
from relay_gateway.uplink import BAD_MESSAGES, ViewerUplink
from relay_runtime.http import problem_middleware
from relay_runtime.process import Process
from relay_runtime.tasks import TaskScope
from relay_settings.gateway import GatewaySettings
from relay_streams.errors import Missing, Unavailable
from relay_streams.keys import ConversationKeys, KeySpace
from relay_streams.link import Link
from relay_streams.puller import Puller
from relay_streams.uplink import Uplink
from relay_wire import events, problems
from relay_wire.close_codes import ABNORMAL, BAD_MESSAGE, REGISTRY, RESTART, SLOW_CONSUMER
from relay_wire.frame import Codec
from relay_wire.problems import Problem

CLOSES = Counter("relay_gateway_closes_total", "Viewer sockets closed, by code.", ["code"])

log = structlog.get_logger(__name__)


class Visit(NamedTuple):
    """What one viewer came for, and in which protocol."""

    keys: ConversationKeys
    beginning: Beginning
    grant: Grant
    dialect: Dialect


class Gateway:
    """One gateway's viewers and what serves them. Made by ``gateway``."""

    def __init__(
        self, settings: GatewaySettings, keys: KeySpace, link: Link, puller: Puller, tasks: TaskScope
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._link = link
        self._puller = puller
        self._tasks = tasks
        self._feeds = Feeds(puller, ring_bytes=settings.ring_bytes, linger_s=settings.feed_linger_s)
        self._history = History(link)
        self._uplink = Uplink(link)
        self._audience = Audience()
        self._leaving = False

    def readiness(self) -> str:
        """Why viewers would not be served, or nothing."""
        return "" if self._link.connected and self._puller.connected else "Redis is not connected"

    def application(self) -> web.Application:
        """The gateway's routes."""
        app = web.Application(
            middlewares=[
                problem_middleware(
                    {
                        Missing: (problems.UNKNOWN_CONVERSATION, "there is no conversation with this id"),
                        Unavailable: (problems.STORE_UNAVAILABLE, "Redis cannot be reached"),
                        # Nobody hears this any more; it is counted, and no defect.
                        ConnectionError: (problems.BAD_REQUEST, "the viewer left during the handshake"),
                    }
                )
            ]
        )
        app.router.add_get("/v1/conversations/{id}/stream", self._stream)
        if self._settings.compat:
            app.router.add_get("/ws/agent", self._agent)
            app.router.add_routes(compat.routes(self._settings, self.readiness))
        return app

    async def drain(self) -> None:
        """Take no more viewers, and send those that are here elsewhere, spread over the drain time.

        Returns when the last has left. Cancelling is safe; ``close`` ends the rest.
        """
        self._leaving = True
        await drain(self._audience, self._settings.drain_s)

    async def close(self) -> None:
        """Take no more viewers, and close every one that is left at once."""
        self._leaving = True
        for subscriber in self._audience:
            subscriber.end(RESTART)
        await self._audience.gone_by(asyncio.get_running_loop().time() + CLOSE_S)
        self._feeds.close()

    # --- one viewer ----------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        conversation = request.match_info["id"]
        grant = grant_of(request, self._settings.token_key, conversation)
        keys = self._keys.conversation(conversation)
        beginning = await self._history.begin(keys, request.query.get("from", "turn"))
        return await self._open(request, Visit(keys, beginning, grant, Native()))

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        settings = self._settings
        grant = compat_grant(request, settings.token_key, query=settings.compat_query_token)
        keys = self._keys.conversation(grant.conversation)
        beginning = await self._history.begin_at_boundary(keys)
        record = beginning.record
        if (record.sample_rate, record.codec) != (settings.compat_sample_rate, Codec.PCM_S16LE):
            detail = f"clients here play {settings.compat_sample_rate} Hz, this is {record.sample_rate} Hz"
            raise Problem(problems.UNSUPPORTED_AUDIO, detail)
        return await self._open(request, Visit(keys, beginning, grant, Compat(record)))

    def _check(self, request: web.Request) -> None:
        if self._leaving:
            raise Problem(problems.DRAINING, "this gateway is leaving, try another", retry_after_s=1)
        check_upgrade(request)

    async def _open(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        websocket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            heartbeat=self._settings.heartbeat_s,
            max_msg_size=self._settings.max_message_bytes,
            compress=False,
        )
        await websocket.prepare(request)
        socket = Socket(request, websocket, buffer_bytes=self._settings.client_buffer_bytes)
        try:
            if self._leaving:
                await socket.close(RESTART)
            else:
                await self._serve(websocket, socket, visit)
        finally:
            socket.drop()
            CLOSES.labels(_close_label(websocket, socket)).inc()
        return websocket

    async def _serve(self, websocket: web.WebSocketResponse, socket: Socket, visit: Visit) -> None:
        keys, beginning, grant, dialect = visit
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
        uplink = ViewerUplink(
            self._uplink, keys, grant.role, say=subscriber.say, reachable=lambda: self._link.connected
        )
        with self._audience.seat(subscriber):
            try:
                subscriber.say(self._hello(beginning))
                subscriber.start()
                await self._receive(websocket, socket, dialect, uplink)
            finally:
                subscriber.stop()
                self._feeds.detach(feed)

    async def _receive(
        self, websocket: web.WebSocketResponse, socket: Socket, dialect: Dialect, uplink: ViewerUplink
    ) -> None:
        bad = 0
        async for message in websocket:
            if message.type is WSMsgType.ERROR:
                return
            try:
                said = dialect.read(message)
                if isinstance(said, bytes):
                    socket.write(said)
                elif said is not None:
                    await uplink.take(said)
            except BadMessage as error:
                bad += 1
                BAD_MESSAGES.inc()
                uplink.refuse(str(error))
                if bad >= self._settings.bad_messages:
                    await socket.close(BAD_MESSAGE, str(error))
            if socket.congested:
                # Who asks without reading the answers is not listened to until it does.
                with suppress(ConnectionError):
                    if not await socket.drained(self._settings.slow_client_s):
                        await socket.close(SLOW_CONSUMER)

    def _hello(self, beginning: Beginning) -> events.Hello:
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


def _close_label(websocket: web.WebSocketResponse, socket: Socket) -> str:
    """Codes of clients are theirs to choose; only the registry's become labels."""
    code = socket.closed_with or REGISTRY.get(websocket.close_code or ABNORMAL.code)
    return code.name if code else "other"


@asynccontextmanager
async def gateway(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    """A gateway with its connections to Redis, while the block runs."""
    url, timeout_s = settings.store_url, settings.redis_timeout_s
    async with (
        Link(url, name="gateway", timeout_s=timeout_s) as link,
        Puller(url, name="gateway", timeout_s=timeout_s, sweep_s=settings.sweep_s) as puller,
        TaskScope() as tasks,
    ):
        service = Gateway(settings, KeySpace(settings.partitions), link, puller, tasks)
        try:
            yield service
        finally:
            await service.close()


async def main(settings: GatewaySettings, process: Process) -> None:
    """Serve viewers until the process is told to stop, and then until they have gone elsewhere."""
    async with gateway(settings) as service:
        process.health.add("redis", service.readiness)
        url = await process.listen(service.application(), settings.gateway_host, settings.gateway_port)
        process.ready(url=url.replace("http", "ws", 1))
        await process.stopping()
        await service.drain()
