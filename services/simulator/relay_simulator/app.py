"""The application: the vendor's two hosts on one port, and ``/admin`` to break and to look at them.

============================================  ===================================================
``POST /admin/faults``                        arm a fault (see ``faults.Fault``)
``DELETE /admin/faults``                      disarm all
``GET /admin/faults``                         the names there are
``GET /admin/connections``                    open sessions
``POST /admin/connections/{id}/faults``       let a fault strike one open session at its next payload
``GET /admin/requests``                       what was answered: the truth to compare with
============================================  ===================================================
"""

import msgspec
from aiohttp import web

from relay_runtime import http
from relay_runtime.process import Process
from relay_settings.simulator import SimulatorSettings
from relay_simulator.console import Console
from relay_simulator.faults import PLACES, Fault, Faults
from relay_simulator.motion_server import MotionServer
from relay_wire import problems
from relay_wire.problems import Problem


def application(settings: SimulatorSettings) -> web.Application:
    """The stand-in's routes."""
    faults = Faults()
    console = Console(faults, settings.simulator_accepted_key)
    server = MotionServer(console, faults, settings)
    app = http.application({})
    app.add_routes([*console.routes(), web.get("/v2/driveningress/websocket", server.serve)])
    app.add_routes(Admin(faults, server).routes())
    return app


class Admin:
    """The stand-in's own resources."""

    def __init__(self, faults: Faults, server: MotionServer) -> None:
        self._faults = faults
        self._server = server

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/admin/faults", self._names),
            web.post("/admin/faults", self._arm),
            web.delete("/admin/faults", self._clear),
            web.get("/admin/connections", self._connections),
            web.post("/admin/connections/{id}/faults", self._break_down),
            web.get("/admin/requests", self._requests),
        ]

    async def _names(self, _request: web.Request) -> web.Response:
        return web.json_response({place: sorted(names) for place, names in PLACES.items()})

    async def _arm(self, request: web.Request) -> web.Response:
        self._faults.arm(await _fault(request))
        return web.Response(status=204)

    async def _clear(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return web.Response(status=204)

    async def _connections(self, _request: web.Request) -> web.Response:
        sessions = [session.shown() for session in self._server.sessions.values()]
        server = self._server
        return web.json_response(
            {"opened": server.opened, "connected": server.connected, "sessions": sessions}
        )

    async def _break_down(self, request: web.Request) -> web.Response:
        session = self._server.sessions.get(request.match_info["id"])
        if session is None:
            raise Problem(problems.NOT_FOUND, "no such session is open")
        fault = await _fault(request)
        if fault.at != "session":
            raise Problem(problems.INVALID_FIELD, "at: an open session takes the faults of a session")
        session.break_down(fault)
        return web.Response(status=204)

    async def _requests(self, _request: web.Request) -> web.Response:
        return web.json_response({"requests": [entry.shown() for entry in self._server.requests]})


async def _fault(request: web.Request) -> Fault:
    try:
        return msgspec.json.decode(await request.read(), type=Fault)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(problems.INVALID_FIELD, str(error)) from None


async def main(settings: SimulatorSettings, process: Process) -> None:
    """Serve in the vendor's place until SIGTERM."""
    url = await process.listen(application(settings), settings.simulator_host, settings.simulator_port)
    process.ready(
        url=url,
        console=f"{url}/v1/console",
        ingress=url.replace("http", "ws", 1) + "/v2/driveningress",
    )
    await process.stopping()
