"""The application: control's resources behind its API keys."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from relay_auth.api_keys import ApiKeys
from relay_auth.viewer_tokens import ViewerTokens
from relay_control.api import Api
from relay_runtime.http import problem_middleware
from relay_runtime.process import Process
from relay_settings.base import reveal
from relay_settings.control import ControlSettings
from relay_streams.errors import Ended, Missing, Unavailable
from relay_streams.link import Link
from relay_streams.uplink import Unreplicated
from relay_wire import problems
from relay_wire.problems import Problem

_TRANSLATIONS = {
    Missing: (problems.UNKNOWN_CONVERSATION, "there is no conversation with this id"),
    Ended: (problems.CONVERSATION_ENDED, "the conversation is over"),
    Unreplicated: (problems.STORE_UNAVAILABLE, "too few replicas of Redis have the speech; post it again"),
    Unavailable: (problems.STORE_UNAVAILABLE, "Redis cannot be reached, or did not answer in time"),
}


def application(settings: ControlSettings, link: Link) -> web.Application:
    """Control's routes, all behind an API key."""
    keys = ApiKeys(reveal(key) for key in settings.api_keys)

    @web.middleware
    async def require_key(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        presented = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
        if presented not in keys:
            raise Problem(
                problems.UNAUTHORIZED, "send an API key as 'Authorization: Bearer <key>' or as X-API-Key"
            )
        return await handler(request)

    app = web.Application(
        middlewares=[problem_middleware(_TRANSLATIONS), require_key], client_max_size=settings.max_turn_bytes
    )
    tokens = ViewerTokens(settings)

    async def open_tokens(_app: web.Application) -> None:
        await tokens.open()

    app.on_startup.append(open_tokens)
    app.add_routes(Api(settings, link, tokens).routes())
    return app


async def main(settings: ControlSettings, process: Process) -> None:
    """Serve backends until the process is told to stop."""
    async with Link(settings.store_url, name="control", timeout_s=settings.redis_timeout_s) as link:
        process.health.add("redis", lambda: "" if link.connected else "Redis is not connected")
        url = await process.listen(application(settings, link), settings.control_host, settings.control_port)
        process.ready(url=url)
        await process.stopping()
