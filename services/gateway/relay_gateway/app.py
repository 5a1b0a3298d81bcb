"""The application: the gateway's one route, and what holds it together."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import WSMsgType, web
from prometheus_client import Counter, Gauge

from relay_auth.viewer_tokens import Grant
from relay_gateway.feed import Feeds
from relay_gateway.handshake import SUBPROTOCOL, check_upgrade, grant_of
from relay_gateway.history import History
from relay_gateway.socket import Socket
from relay_gateway.subscriber import Subscriber
from relay_gateway.uplink import BAD_MESSAGES, BadMessage, ViewerUplink
from relay_runtime.http import problem_middleware
from relay_runtime.process import Process
from relay_runtime.tasks import TaskScope
from relay_settings.gateway import GatewaySettings
from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.errors import Missing, Unavailable
from relay_streams.keys import KeySpace
from relay_streams.link import Link
from relay_streams.puller import Puller
from relay_streams.uplink import Uplink
from relay_wire import events, problems
from relay_wire.close_codes import BAD_MESSAGE, REGISTRY, RESTART
from relay_wire.position import Position
from relay_wire.problems import Problem

VIEWERS = Gauge("relay_gateway_viewers", "Open viewer sockets.")
CLOSES = Counter("relay_gateway_closes_total", "Viewer sockets closed, by code.", ["code"])

log = structlog.get_logger(__name__)


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
        self._sockets: set[Socket] = set()
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
                    }
                )
            ]
        )
        app.router.add_get("/v1/conversations/{id}/stream", self._stream)
        return app

    async def close(self) -> None:
        """Take no more viewers, and close every one with the code that sends it to another gateway."""
        self._leaving = True
        await asyncio.gather(*(socket.close(RESTART) for socket in self._sockets))
        self._feeds.close()

    # --- one viewer ----------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._leaving:
            raise Problem(problems.DRAINING, "this gateway is leaving, try another", retry_after_s=1)
        check_upgrade(request)
        conversation = request.match_info["id"]
        grant = grant_of(request, self._settings.token_key, conversation)
        keys = self._keys.conversation(conversation)
        record = await conversations.read(self._link, keys)
        cursor = await self._history.start(keys, request.query.get("from", "turn"), record)
        websocket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            heartbeat=self._settings.heartbeat_s,
            max_msg_size=self._settings.max_message_bytes,
            compress=False,
        )
        await websocket.prepare(request)
        socket = Socket(request, websocket, buffer_bytes=self._settings.client_buffer_bytes)
        self._sockets.add(socket)
        VIEWERS.inc()
        try:
            await self._serve(websocket, socket, record, cursor, grant)
        finally:
            self._sockets.discard(socket)
            VIEWERS.dec()
            CLOSES.labels(_code_label(websocket.close_code)).inc()
        return websocket

    async def _serve(
        self,
        websocket: web.WebSocketResponse,
        socket: Socket,
        record: Conversation,
        cursor: Position,
        grant: Grant,
    ) -> None:
        keys = self._keys.conversation(record.id)
        feed = self._feeds.attach(keys, record.tail, ended=record.state == "ended")
        subscriber = Subscriber(
            socket,
            feed,
            self._history,
            cursor,
            slow_s=self._settings.slow_client_s,
            replay_bytes=self._settings.client_buffer_bytes,
            spawn=self._spawn,
        )
        try:
            subscriber.say(self._hello(record, cursor))
            subscriber.start()
            await self._receive(
                websocket, socket, ViewerUplink(self._uplink, keys, grant.role, subscriber.say)
            )
        finally:
            subscriber.stop()
            self._feeds.detach(feed)

    async def _receive(self, websocket: web.WebSocketResponse, socket: Socket, uplink: ViewerUplink) -> None:
        bad = 0
        async for message in websocket:
            if message.type is WSMsgType.ERROR:
                return
            try:
                await uplink.receive(message)
            except BadMessage as error:
                bad += 1
                BAD_MESSAGES.inc()
                uplink.refuse(str(error))
                if bad >= self._settings.bad_messages:
                    await socket.close(BAD_MESSAGE, str(error))

    def _hello(self, record: Conversation, cursor: Position) -> events.Hello:
        return events.Hello(
            position=str(cursor),
            turn=record.turn,
            sample_rate=record.sample_rate,
            codec=record.codec.name.lower(),
            avatar_id=record.avatar_id,
            app_id=self._settings.app_id,
            region=self._settings.region,
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.spawn(coroutine, name="subscriber")


def _code_label(code: int | None) -> str:
    """Codes are the clients' to choose; only the registry's become labels."""
    known = REGISTRY.get(code or 1006)
    return known.name if known else "other"


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
    """Serve viewers until the process is told to stop."""
    async with gateway(settings) as service:
        process.health.add("redis", service.readiness)
        url = await process.listen(service.application(), settings.gateway_host, settings.gateway_port)
        process.ready(url=url.replace("http", "ws", 1))
        await process.stopping()
