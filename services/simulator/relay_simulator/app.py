"""The application: the vendor's two hosts on one port, and ``/admin`` to inject faults and to inspect
sessions.

============================================  ===================================================
``POST /admin/faults``                        arm a fault (see ``faults.Fault``)
``DELETE /admin/faults``                      disarm all
``GET /admin/faults``                         names of all faults
``GET /admin/connections``                    open sessions
``POST /admin/connections/{id}/faults``       inject a fault into an open session, at its next payload
``GET /admin/sessions``                       log of sessions: how long each was connected, and its credits
``GET /admin/requests``                       log of requests and their answers, for tests to compare with
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
    """Create the application with the simulator's routes."""
    faults = Faults()
    console = Console(faults, settings.simulator_accepted_key)
    server = MotionServer(console, faults, settings)
    app = http.application({})
    app.add_routes([*console.routes(), web.get("/v2/driveningress/websocket", server.serve)])
    app.add_routes(Admin(faults, server).routes())
    return app


class Admin:
    """The simulator's own resources."""

    def __init__(self, faults: Faults, server: MotionServer) -> None:
        self._faults = faults
        self._server = server

    def routes(self) -> list[web.RouteDef]:
        """The routes of all resources."""
        return [
            web.get("/admin/faults", self._names),
            web.post("/admin/faults", self._arm),
            web.delete("/admin/faults", self._clear),
            web.get("/admin/connections", self._connections),
            web.post("/admin/connections/{id}/faults", self._inject),
            web.get("/admin/sessions", self._sessions),
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
        sessions = [session.summary() for session in self._server.sessions.values()]
        server = self._server
        return web.json_response(
            {"opened": server.opened, "connected": server.connected, "sessions": sessions}
        )

    async def _inject(self, request: web.Request) -> web.Response:
        session = self._server.sessions.get(request.match_info["id"])
        if session is None:
            raise Problem(problems.NOT_FOUND, "no such session is open")
        fault = await _fault(request)
        if fault.at != "session":
            raise Problem(problems.INVALID_FIELD, "at: must be session for an open session")
        session.inject(fault)
        return web.Response(status=204)

    async def _sessions(self, _request: web.Request) -> web.Response:
        return web.json_response({"sessions": [entry.as_json() for entry in self._server.session_log]})

    async def _requests(self, request: web.Request) -> web.Response:
        audio = request.query.get("audio_sha256")
        entries = [entry for entry in self._server.requests if audio in (None, entry.audio_sha256)]
        return web.json_response({"requests": [entry.as_json() for entry in entries]})


async def _fault(request: web.Request) -> Fault:
    try:
        return msgspec.json.decode(await request.read(), type=Fault)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(problems.INVALID_FIELD, str(error)) from None


async def main(settings: SimulatorSettings, process: Process) -> None:
    """Serve as the vendor until SIGTERM."""
    url = await process.listen(
        application(settings), settings.simulator_host, settings.simulator_port, setting="RELAY_SIMULATOR"
    )
    process.ready(
        url=url,
        console=f"{url}/v1/console",
        ingress=url.replace("http", "ws", 1) + "/v2/driveningress",
    )
    await process.stopping()
