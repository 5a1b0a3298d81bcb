"""The admin port: /livez, /readyz, /metrics, /loglevel and /demand, apart from the service's own port."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, Info
from prometheus_client.aiohttp import make_aiohttp_handler

from relay_telemetry import logs
from relay_telemetry.version import hot_path, version

CACHE_S = 1.0
"""How long an answer about readiness is kept, except that a drain shows at once."""
MAX_BODY_BYTES = 1024
"""The largest body that the admin port reads."""

READY = Gauge("relay_ready", "Whether the process takes work.")
DRAINING = Gauge("relay_draining", "Whether the process drains: 1 from SIGTERM to its end.")
BUILD = Info("relay_build", "What runs here.")

Readiness = Callable[[], str]
"""Returns the fault of a part, or an empty text. Must be cheap: no I/O."""

Demand = Callable[[], Mapping[str, float] | None]
"""Returns numbers for an autoscaler, None while they are not known. Must be cheap: no I/O."""


class _State(NamedTuple):
    at: float
    reasons: dict[str, str]
    degraded: dict[str, str]


class Health:
    """What the admin port answers.

    Liveness only asks whether the event loop runs, and whether parts that only a restart can repair work: it
    must not fail with Redis, or an outage there would restart every gateway and drop every socket. Readiness
    is the sum of what the parts answer.

    Args:
        loop_runs: Whether the event loop has run a timer lately.
    """

    def __init__(self, loop_runs: Callable[[], bool] = lambda: True) -> None:
        self._loop_runs = loop_runs
        self._parts: dict[str, Readiness] = {}
        self._degradable: dict[str, Readiness] = {}
        self._vital: list[Readiness] = []
        # It answers in OpenMetrics, which has exemplars, to a scraper that accepts that format.
        self._metrics_of = make_aiohttp_handler()
        self._demand: Demand | None = None
        self._draining = False
        self._cached: _State | None = None

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
        self._cached = None

    def require(self, liveness: Readiness) -> None:
        """Ask this part for liveness, too: it answers why only a new process can do its work."""
        self._vital.append(liveness)

    def expose(self, registry: CollectorRegistry) -> None:
        """Answer ``/metrics`` from this registry instead of the process's own."""
        self._metrics_of = make_aiohttp_handler(registry)

    def expose_demand(self, demand: Demand) -> None:
        """Answer ``/demand`` with these numbers, and with 503 while they are not known; else it is 404."""
        self._demand = demand

    @property
    def draining(self) -> bool:
        """Whether the process drains; it is not ready then, at once."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        self._cached = None
        DRAINING.set(draining)

    def reasons(self) -> dict[str, str]:
        """Why the process is not ready, by part; empty when it is. Parts are asked once per ``CACHE_S``."""
        return self._state().reasons

    def _state(self) -> _State:
        now = time.monotonic()
        if self._cached is None or now - self._cached.at >= CACHE_S:
            reasons = _answers(self._parts)
            if self._draining:
                reasons["process"] = "draining"
            READY.set(not reasons)
            self._cached = _State(now, reasons, _answers(self._degradable))
        return self._cached

    def application(self) -> web.Application:
        """The admin port's routes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/demand", self._demand_document)
        app.router.add_get("/loglevel", _show_level)
        app.router.add_put("/loglevel", _change_level)
        return app

    async def _livez(self, _request: web.Request) -> web.Response:
        reasons = [] if self._loop_runs() else ["the event loop runs no timers"]
        reasons += filter(None, (liveness() for liveness in self._vital))
        return web.json_response({"status": "; ".join(reasons) or "alive"}, status=503 if reasons else 200)

    async def _readyz(self, _request: web.Request) -> web.Response:
        _, reasons, degraded = self._state()
        body: dict[str, Any] = {"status": "not ready", "reasons": reasons} if reasons else {"status": "ready"}
        if degraded:
            body["degraded"] = degraded
        return web.json_response(body, status=503 if reasons else 200)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        self._state()
        return await self._metrics_of(request)

    async def _demand_document(self, _request: web.Request) -> web.Response:
        if self._demand is None:
            return web.json_response({"error": "this service has no demand"}, status=404)
        numbers = self._demand()
        if numbers is None:
            return web.json_response({"error": "the demand is not known now"}, status=503)
        return web.json_response(numbers)


class _LevelBody(msgspec.Struct, forbid_unknown_fields=True):
    level: logs.Level


async def _show_level(_request: web.Request) -> web.Response:
    return web.json_response({"level": logs.level()})


async def _change_level(request: web.Request) -> web.Response:
    try:
        body = msgspec.json.decode(await request.read(), type=_LevelBody)
    except msgspec.MsgspecError as error:
        return web.json_response({"error": str(error)}, status=400)
    logs.change_level(body.level)
    return await _show_level(request)


def _answers(parts: dict[str, Readiness]) -> dict[str, str]:
    return {part: reason for part, ask in parts.items() if (reason := ask())}


def announce(service: str) -> None:
    """Put what runs here into ``relay_build_info``."""
    BUILD.info({"service": service, "version": version(), "hot_path": hot_path()})
