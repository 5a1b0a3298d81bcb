"""The application: the gateway's parts and routes."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from relay_auth.viewer_tokens import ViewerTokens
from relay_gateway.accept import Acceptor
from relay_gateway.admission import Admission
from relay_gateway.avatarkit import AvatarKitEndpoints
from relay_gateway.client_config import OLDER_CLIENTS_HZ
from relay_gateway.dialects.native import Native
from relay_gateway.fanout.catch_up import CatchUp
from relay_gateway.fanout.feeds import Feeds
from relay_gateway.fanout.replay import Replay
from relay_gateway.flush import WriteCoalescer
from relay_gateway.handshake import grant_of, is_browser
from relay_gateway.hub import Hub
from relay_gateway.presence import Presence
from relay_gateway.refusals import RefusalLog
from relay_gateway.renewals import Renewals
from relay_gateway.session import SessionServices, SessionStart, ViewerSession
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError, Unencodable
from relay_runtime.http import application
from relay_runtime.probe import answer_probes
from relay_runtime.process import Process
from relay_runtime.root import describe_port
from relay_runtime.tasks import TaskScope
from relay_settings.gateway import GatewaySettings
from relay_streams.consumer import StreamConsumer
from relay_streams.errors import Missing, Unreadable
from relay_streams.heartbeat import Heartbeat
from relay_streams.installation import Installation, installed
from relay_streams.keys import KeySpace
from relay_streams.outbox_metrics import ENABLED
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.permissions import needed
from relay_streams.uplink import Uplink, UplinkLimits
from relay_wire import problems
from relay_wire.problems import Problem

_RECONNECT_S = 60.0
"""How long after a drain the tokens of its viewers are valid at least, for reconnecting."""
_NATIVE = Native()

log = structlog.get_logger(__name__)


class Gateway:
    """One gateway: its parts, its routes and its drain. Made by ``gateway``.

    Args:
        settings: The gateway's settings.
        client: To Redis.
        consumer: Reads the streams.
        installation: The constants of the relay.
        heartbeat: Decides readiness by Redis.
        tasks: The scope of its background tasks.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        client: RedisClient,
        consumer: StreamConsumer,
        installation: Installation,
        heartbeat: Heartbeat,
        tasks: TaskScope,
    ) -> None:
        self._settings = settings
        self._client = client
        self._consumer = consumer
        self._installation = installation
        self._keys = installation.keys
        self._tasks = tasks
        self.heartbeat = heartbeat
        self.tokens = ViewerTokens(settings)
        self.hub = Hub()
        self.renewals = Renewals(self.tokens, settings.token_max_life_s)
        replay = Replay(client)
        coalescer = WriteCoalescer()
        self.feeds = Feeds(
            consumer,
            CatchUp(
                replay,
                slow_s=settings.slow_client_s,
                outage_s=settings.store_outage_timeout_s,
                replay_bytes=settings.client_buffer_bytes,
            ),
            spawn=partial(tasks.spawn, name="subscriber"),
            coalescer=coalescer,
            ring_bytes=settings.ring_bytes,
            linger_s=settings.feed_linger_s,
        )
        self.acceptor = Acceptor(settings, self.hub, coalescer)
        self._admission = Admission(settings)
        self._refusals = RefusalLog()
        self._services = SessionServices(
            settings=settings,
            hub=self.hub,
            feeds=self.feeds,
            replay=replay,
            uplink=Uplink(client, UplinkLimits.of(settings)),
            presence=Presence(
                client,
                interval_s=settings.presence_s,
                owner_wait_s=settings.owner_wait_s,
                outbox_entries=settings.outbox_bound,
            ),
            renewals=self.renewals,
            is_connected=lambda: client.connected,
        )

    async def start(self) -> None:
        """Load the token keys, and start the background tasks."""
        ENABLED.set(self._settings.jobs)
        await self.tokens.open()
        self.hub.start()
        self.acceptor.start(self._tasks)
        self._tasks.spawn(self.tokens.follow(), name="token keys")
        self._tasks.spawn(self.renewals.run(), name="token renewals")
        self._tasks.spawn(self._services.presence.run(), name="presence")

    async def drain(self) -> None:
        """Refuse further viewers, and advise the present ones to reconnect elsewhere, spread over the drain.

        Returns when the last has left. Safe to cancel; ``close`` ends the rest.
        """
        self.hub.leaving = True
        # A viewer that reconnects elsewhere needs a token that is valid then.
        await self.renewals.renew_before(time.time() + self._settings.drain_s + _RECONNECT_S)
        await self.hub.drain(self._settings.drain_s)

    async def close(self) -> None:
        """Refuse further viewers, and close the sockets of the present ones at once."""
        self.acceptor.close()
        await self.hub.close()
        await self._services.presence.flush()
        self.feeds.close()

    def readiness(self) -> str:
        """Why viewers cannot be served; empty when they can."""
        silent_s = self._consumer.stalled_s
        stalled = f"streams were last read {silent_s:.1f} s ago" if silent_s else ""
        return self.heartbeat.readiness() or stalled or self._installation.readiness()

    def application(self, ready: Callable[[], bool] | None = None) -> web.Application:
        """The gateway's routes.

        Args:
            ready: Whether the process accepts viewers, for probes; None: by the gateway's own state.
        """
        app = application(
            {
                Missing: (problems.UNKNOWN_CONVERSATION, "there is no conversation with this id"),
                Unreadable: (
                    problems.UNREADABLE_RECORD,
                    "the conversation's record is damaged, or of a later version",
                ),
                Unencodable: (problems.BAD_REQUEST, "the request has text that is no Unicode"),
                StoreError: (problems.STORE_UNAVAILABLE, "Redis cannot be reached, or refuses"),
            },
            answer_probes(ready or self._accepts_viewers),
            self._admit,
        )
        describe_port(
            app,
            viewers="/v1/conversations/{id}/stream",
            health="/healthz",
            documentation="docs/reference/viewer-protocol.md",
        )
        app.router.add_get("/v1/conversations/{id}/stream", self._stream)
        if self._settings.avatarkit_clients:
            endpoints = AvatarKitEndpoints(
                self._settings, self._keys, self._client,
                acceptor=self.acceptor, services=self._services, tokens=self.tokens,
                limit=self._admission.conversations, ready=ready or self._accepts_viewers,
            )  # fmt: skip
            endpoints.add_to(app)
        return app

    def _accepts_viewers(self) -> bool:
        return not (self.hub.leaving or self.readiness())

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check every request against its rate, and an upgrade against the limits on viewers."""
        address = self._admission.check_rate(request)
        is_upgrade = request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        if is_upgrade:
            self._admission.acquire(address)
        try:
            if is_upgrade:
                self._admission.check_origin(request)
            return await handler(request)
        except (Problem, StoreError) as error:
            self._refusals.note(request, error)
            # A page cannot read the status of a refused upgrade, but the code of a close.
            if not (is_upgrade and is_browser(request)):
                raise
            return await self.acceptor.refuse(request, error)
        finally:
            if is_upgrade:
                self._admission.release(address)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        session = await self._session(request)
        conversation = request.match_info["id"]
        self._admission.conversations.acquire(conversation)
        try:
            return await self.acceptor.accept(request, session.run)
        finally:
            self._admission.conversations.release(conversation)

    async def _session(self, request: web.Request) -> ViewerSession:
        self.acceptor.check(request)
        conversation = request.match_info["id"]
        grant = await grant_of(request, self.tokens, conversation)
        keys = self._keys.conversation(conversation)
        start_point = await self._services.replay.start_point(keys, request.query.get("from", "turn"))
        return ViewerSession(self._services, SessionStart(keys, start_point, grant.role, _NATIVE, grant))


@asynccontextmanager
async def gateway(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    """A gateway with its connections to Redis, while the block runs."""
    url, timeout_s, keys = settings.store_url, settings.redis_timeout_s, KeySpace.of(settings)
    async with (
        RedisClient(url, SCHEMA, name="gateway", timeout_s=timeout_s) as client,
        installed(client, keys, timeout_s=timeout_s) as installation,
        StreamConsumer(url, name="gateway", timeout_s=timeout_s, sweep_s=settings.gateway_poll_s) as consumer,
        Heartbeat(
            keys,
            (client, consumer.client),
            (consumer.pubsub,),
            interval_s=settings.redis_heartbeat_s,
            timeout_s=timeout_s,
            commands=needed(jobs=settings.jobs),
        ) as heartbeat,
        TaskScope() as tasks,
    ):
        service = Gateway(
            settings,
            client=client,
            consumer=consumer,
            installation=installation,
            heartbeat=heartbeat,
            tasks=tasks,
        )
        await service.start()
        try:
            yield service
        finally:
            await service.close()


async def main(settings: GatewaySettings, process: Process) -> None:
    """Serve viewers until the process leaves the balancers, then drain."""
    most = min(settings.max_viewers, process.connection_limit.viewers)
    async with gateway(settings.model_copy(update={"max_viewers": most})) as service:
        process.health.add("redis", service.readiness, service.heartbeat.degradation)
        process.health.add("token keys", service.tokens.readiness)
        app = service.application(lambda: not process.health.reasons())
        url = await process.listen(app, settings.gateway_host, settings.gateway_port, setting="RELAY_GATEWAY")
        if not settings.app_id:
            log.warning("viewers receive no app id", setting="SPATIUS_APP_ID")
        if settings.avatarkit_clients and settings.avatarkit_sample_rate != OLDER_CLIENTS_HZ:
            log.warning(
                "older generations of the vendor's clients play at a fixed rate: at the wrong speed here",
                setting="RELAY_AVATARKIT_SAMPLE_RATE",
                hz=settings.avatarkit_sample_rate,
                their_hz=OLDER_CLIENTS_HZ,
            )
        await process.ready_after(service.heartbeat.wait_reached(), url=url.replace("http", "ws", 1))
        await process.withdrawn()
        await service.drain()
