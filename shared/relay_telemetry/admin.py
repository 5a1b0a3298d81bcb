"""The admin port: /livez, /readyz and /metrics, apart from the service's own port."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from prometheus_client import Gauge, Info
from prometheus_client.aiohttp import make_aiohttp_handler

from relay_telemetry.version import hot_path, version

READY = Gauge("relay_ready", "Whether the process takes work.")
BUILD = Info("relay_build", "What runs here.")

Readiness = Callable[[], str]
"""Returns the fault of a part, or an empty text. Must be cheap: no I/O."""


class Health:
    """What the admin port answers.

    Liveness only asks whether the event loop turns: it must not fail with Redis, or an outage there
    would restart every gateway and drop every socket. Readiness is the sum of the parts' own words.
    """

    def __init__(self) -> None:
        self._parts: dict[str, Readiness] = {}
        self._degradable: dict[str, Readiness] = {}
        self.draining = False

    def add(self, part: str, readiness: Readiness, degradation: Readiness | None = None) -> None:
        """Ask this part, too.

        Args:
            part: Its name.
            readiness: Why it would not do its work.
            degradation: Returns why the process works slower, for ``/readyz``; it stays ready.
        """
        self._parts[part] = readiness
        if degradation is not None:
            self._degradable[part] = degradation

    def reasons(self) -> dict[str, str]:
        """Why the process is not ready, by part; empty when it is."""
        reasons = {part: reason for part, ask in self._parts.items() if (reason := ask())}
        if self.draining:
            reasons["process"] = "draining"
        READY.set(not reasons)
        return reasons

    def application(self) -> web.Application:
        """The admin port's routes."""
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _livez(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        reasons = self.reasons()
        body: dict[str, Any] = {"status": "not ready", "reasons": reasons} if reasons else {"status": "ready"}
        degraded = {part: reason for part, ask in self._degradable.items() if (reason := ask())}
        if degraded:
            body["degraded"] = degraded
        return web.json_response(body, status=503 if reasons else 200)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        self.reasons()
        return await _METRICS(request)


_METRICS = make_aiohttp_handler()


def announce(service: str) -> None:
    """Put what runs here into ``relay_build_info``."""
    BUILD.info({"service": service, "version": version(), "hot_path": hot_path()})
