"""Compat: what the vendor's official clients read besides their socket. Nothing here is secret, ever."""

from collections.abc import Callable

from aiohttp import hdrs, web

from relay_settings.compat import CompatSettings

_ANY_ORIGIN = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
"""Their pages are served elsewhere; what they read here is public."""


def routes(settings: CompatSettings, readiness: Callable[[], str]) -> list[web.RouteDef]:
    """``/api/config`` and ``/healthz``, with the fields of all the clients' generations.

    Args:
        settings: The gateway's.
        readiness: Why viewers would not be served, or nothing.
    """
    rate = settings.compat_sample_rate
    answer = {
        "appId": settings.app_id,
        "avatarId": settings.avatar_id,
        "region": settings.region,
        # The clients play at the input's rate, whatever the output's is said to be: both are what is sent.
        "inputSampleRate": rate,
        "outputSampleRate": rate,
    }

    async def config(_request: web.Request) -> web.Response:
        return web.json_response(answer, headers=_ANY_ORIGIN)

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"ok": not readiness(), "missing": []}, headers=_ANY_ORIGIN)

    return [web.get("/api/config", config), web.get("/healthz", health)]
