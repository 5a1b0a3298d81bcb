"""The application: the gateway's routes, and what holds it together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from relay_auth.viewer_tokens import ViewerTokens
from relay_gateway.admission import Admission
from relay_gateway.avatarkit import AvatarKitEndpoints
from relay_gateway.dialects.native import Native
from relay_gateway.fanout.replay import Replay
from relay_gateway.handshake import grant_of, is_browser
from relay_gateway.session import SessionStart, ViewerSessions
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError, Unencodable
from relay_runtime.http import application
from relay_runtime.probe import answer_probes
from relay_runtime.process import Process
from relay_runtime.tasks import TaskScope
from relay_settings.gateway import GatewaySettings
from relay_streams.consumer import StreamConsumer
from relay_streams.errors import Missing, Unreadable
from relay_streams.heartbeat import Heartbeat
from relay_streams.installation import Installation, installed
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_wire import problems
from relay_wire.problems import Problem


class Gateway:
    """One gateway's doors. Made by ``gateway``."""

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
        self.tokens = ViewerTokens(settings)
        self._settings = settings
        self._admission = Admission(settings)
        self._keys = installation.keys
        self._client = client
        self._consumer = consumer
        self._installation = installation
        self.heartbeat = heartbeat
        self._history = Replay(client)
        self.sessions = ViewerSessions(
            settings, client, consumer, history=self._history, tokens=self.tokens, tasks=tasks
        )

    def readiness(self) -> str:
        """Why viewers would not be served, or nothing."""
        silent_s = self._consumer.stalled_s
        stalled = f"streams were last read {silent_s:.1f} s ago" if silent_s else ""
        return self.heartbeat.readiness() or stalled or self._installation.readiness()

    def application(self, ready: Callable[[], bool] | None = None) -> web.Application:
        """The gateway's routes.

        Args:
            ready: Whether the process takes viewers, for probes; None: as far as the gateway itself knows.
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
            answer_probes(ready or self._takes_viewers),
            self._admission.middleware,
            self._sockets,
        )
        app.router.add_get("/", _point_the_way)
        app.router.add_get("/v1/conversations/{id}/stream", self._stream)
        if self._settings.compat:
            doors = AvatarKitEndpoints(
                self._settings, self._keys, self._client,
                history=self._history, sessions=self.sessions, tokens=self.tokens,
                admission=self._admission,
            )  # fmt: skip
            app.router.add_routes(doors.routes())
        return app

    def _takes_viewers(self) -> bool:
        return not (self.sessions.leaving or self.readiness())

    @web.middleware
    async def _sockets(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check who asks for a socket; browsers are told of a refusal on a socket that is closed at once.

        Such a socket has its place as any other: limits on rate and number are checked before this.
        """
        try:
            if hdrs.UPGRADE in request.headers:
                self._admission.check_origin(request)
            return await handler(request)
        except (Problem, StoreError) as error:
            if not is_browser(request):
                raise
            refusal = error
        return await self.sessions.refuse(request, refusal)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.sessions.check(request)
        conversation = request.match_info["id"]
        grant = await grant_of(request, self.tokens, conversation)
        keys = self._keys.conversation(conversation)
        beginning = await self._history.begin(keys, request.query.get("from", "turn"))
        with self._admission.audience_of(keys.id):
            async with self.sessions.open(request) as socket:
                await self.sessions.serve(socket, SessionStart(keys, beginning, grant.role, Native(), grant))
        return socket.websocket


async def _point_the_way(_request: web.Request) -> web.StreamResponse:
    hint = "viewers connect to /v1/conversations/{id}/stream, balancers ask /healthz"
    raise Problem(problems.NOT_FOUND, f"there is nothing here: {hint}")


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
        await service.tokens.open()
        tasks.spawn(service.tokens.follow(), name="token keys")
        try:
            yield service
        finally:
            await service.sessions.close()


async def main(settings: GatewaySettings, process: Process) -> None:
    """Serve viewers until nobody is sent here any more, and then until they have gone elsewhere."""
    most = min(settings.max_viewers, process.room.viewers)
    async with gateway(settings.model_copy(update={"max_viewers": most})) as service:
        process.health.add("redis", service.readiness, service.heartbeat.degradation)
        process.health.add("token keys", service.tokens.readiness)
        app = service.application(lambda: not process.health.reasons())
        url = await process.listen(app, settings.gateway_host, settings.gateway_port)
        await service.heartbeat.tried()
        process.ready(url=url.replace("http", "ws", 1))
        await process.withdrawn()
        await service.sessions.drain()
