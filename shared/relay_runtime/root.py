"""The root of a traffic port: where its documentation is, for people who open its address."""

from aiohttp import hdrs, web

_CACHED = {hdrs.CACHE_CONTROL: "public, max-age=3600"}


def describe_port(app: web.Application, **places: str) -> None:
    """Answer ``GET /`` with JSON: paths of the port, and its documentation. It names no version.

    Args:
        app: The application of the port.
        places: Paths, by what is there.
    """

    async def describe(_request: web.Request) -> web.Response:
        return web.json_response(places, headers=_CACHED)

    app.router.add_get("/", describe)
