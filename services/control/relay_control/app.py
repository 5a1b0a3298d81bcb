"""The application: control's operations behind its API keys."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import aiohttp_cors
import msgspec
from aiohttp import hdrs, web

from relay_auth.viewer_tokens import ViewerTokens
from relay_control import openapi
from relay_control.access import Access
from relay_control.api import Api
from relay_control.bodies import Bodies, defer_continue
from relay_control.clips import ClipResource
from relay_control.errors import PROBLEMS
from relay_control.operation import Handler, Operation
from relay_control.session_tokens import session_tokens
from relay_control.speakers import Speakers
from relay_control.usage import UsageReport
from relay_redis.client import RedisClient
from relay_runtime import http
from relay_runtime.probe import answer_probes
from relay_runtime.process import Process
from relay_runtime.root import describe_port
from relay_runtime.tasks import TaskScope
from relay_settings.control import ControlSettings
from relay_streams.heartbeat import Heartbeat
from relay_streams.installation import installed
from relay_streams.keys import KeySpace
from relay_streams.outbox_metrics import ENABLED
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.permissions import needed

DOCUMENT_PATH = "/openapi.json"
SPEAKERS = web.AppKey("speakers", Speakers)
"""The application's open audio sockets."""
TOKENS = web.AppKey("tokens", ViewerTokens)
"""The application's keys of viewer tokens."""


async def application(
    settings: ControlSettings,
    client: RedisClient,
    stack: AsyncExitStack,
    ready: Callable[[], bool] = lambda: True,
) -> web.Application:
    """Create the application with control's routes.

    Args:
        settings: Control's settings.
        client: The Redis client.
        stack: Closes the tasks and connections of the application.
        ready: Whether the process accepts requests; asked by probes.

    Raises:
        SettingsError: The API keys or the keys of viewer tokens are malformed.
    """
    ENABLED.set(settings.jobs)
    access, tokens = Access(settings), ViewerTokens(settings)
    await tokens.open()
    tasks = await stack.enter_async_context(TaskScope())
    tasks.spawn(tokens.follow(), name="token keys")
    bodies = Bodies(settings)
    clips = ClipResource(settings, client, bodies) if settings.clips else None
    api = Api(settings, client, tokens, bodies, clips)
    operations = [*api.operations(), *UsageReport(settings, client).operations()]
    if clips is not None:
        operations += clips.operations()
    if settings.session_tokens:
        vendor = await stack.enter_async_context(session_tokens(settings, access, tokens, client))
        operations += vendor.operations()
    app = http.application(
        PROBLEMS,
        answer_probes(ready),
        client_max_size=max(settings.max_turn_bytes, settings.clip_audio_bytes),
    )
    app[SPEAKERS], app[TOKENS] = api.speakers, tokens
    for operation in operations:
        handler = _guarded(access, operation)
        app.router.add_route(operation.method, operation.path, handler, expect_handler=defer_continue)
    # In a thread: the version is read from files of the package.
    document = msgspec.json.encode(await asyncio.to_thread(openapi.document, operations))
    app.router.add_get(DOCUMENT_PATH, partial(_serve_document, document))
    describe_port(app, api=DOCUMENT_PATH, health="/healthz", documentation="docs/reference/control-api.md")
    if settings.cors_origins:
        _allow_origins(app, settings.cors_origins)
    return app


def _guarded(access: Access, operation: Operation) -> Handler:
    handler = http.plain_bodies(operation.handler)
    return handler if operation.scope is None else access.guard(handler, operation.scope)


async def _serve_document(document: bytes, _request: web.Request) -> web.Response:
    return web.Response(body=document, content_type="application/json")


def _allow_origins(app: web.Application, origins: tuple[str, ...]) -> None:
    """Allow pages of these origins to read responses (CORS). Cookies do not count as credentials."""
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_headers="*", allow_methods="*", expose_headers="*"
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(origins, options))
    for route in list(app.router.routes()):
        cors.add(route)
    app.on_response_prepare.append(_vary_by_origin)


async def _vary_by_origin(_request: web.Request, response: web.StreamResponse) -> None:
    # Also on responses to requests without an origin: a cache must not serve them to a page.
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)


async def main(settings: ControlSettings, process: Process) -> None:
    """Serve backends until the process is withdrawn, then finish the requests under way."""
    keys, timeout_s = KeySpace.of(settings), settings.redis_timeout_s
    async with (
        RedisClient(settings.store_url, SCHEMA, name="control", timeout_s=timeout_s) as client,
        installed(client, keys, timeout_s=timeout_s) as installation,
        Heartbeat(
            keys,
            (client,),
            interval_s=settings.redis_heartbeat_s,
            timeout_s=timeout_s,
            commands=needed(jobs=settings.jobs),
        ) as heartbeat,
        AsyncExitStack() as stack,
    ):
        process.health.add("redis", heartbeat.readiness)
        process.health.add("installation", installation.readiness)
        app = await application(settings, client, stack, lambda: not process.health.reasons())
        process.health.add("token keys", app[TOKENS].readiness)
        url = await process.listen(app, settings.control_host, settings.control_port, setting="RELAY_CONTROL")
        await process.ready_after(heartbeat.wait_reached(), url=url)
        await process.withdrawn()
        await asyncio.gather(
            app[SPEAKERS].drain(settings.drain_s), http.finish_requests(app, settings.drain_s)
        )
