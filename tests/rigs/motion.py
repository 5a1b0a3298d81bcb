"""A conversation's Motion client, with the real SDK, against the simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
from tests.rigs.audio import RATE, SECOND

from relay_ingest.motion.client import MotionClient, MotionLimits
from relay_ingest.motion.failures import MotionFailure
from relay_ingest.motion.pool import UnlimitedPool
from relay_ingest.motion.session import MotionConversation
from relay_ingest.motion.vendor import Vendor
from relay_runtime.http import listen
from relay_runtime.tasks import TaskScope
from relay_settings.ingest import IngestSettings
from relay_settings.simulator import SimulatorSettings
from relay_simulator.app import application
from relay_simulator.motion import expected_payloads

LIMITS = MotionLimits(idle_s=5, session_s=100, queue_bytes=1_000_000)


@dataclass
class Received:
    """A listener that records all calls."""

    requests: dict[int, str] = field(default_factory=dict)
    payloads: dict[str, list[bytes]] = field(default_factory=dict)
    lasts: list[str] = field(default_factory=list)
    failures: list[MotionFailure] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    """The ids of those that served, each followed by an empty one."""

    def session_opened(self, session: str, _: float) -> None:
        self.sessions.append(session)

    def session_closed(self) -> None:
        self.sessions.append("")

    def request_opened(self, turn: int, req_id: str) -> None:
        self.requests[turn] = req_id
        self.order.append(f"opened {turn}")

    def motion(self, req_id: str, payload: bytes, *, last: bool) -> None:
        self.payloads.setdefault(req_id, []).append(payload)
        self.order.append(f"motion {req_id}")
        if last:
            self.lasts.append(req_id)

    def motion_failed(self, failure: MotionFailure) -> None:
        self.failures.append(failure)
        self.order.append("failed")


@dataclass
class MotionRig:
    """The simulator, and a conversation's Motion client against it."""

    motion: MotionClient
    pool: UnlimitedPool
    received: Received
    http: aiohttp.ClientSession
    url: str

    async def admin(self, method: str, path: str, **body: Any) -> Any:
        async with self.http.request(method, f"{self.url}/admin/{path}", json=body or None) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.content_type == "application/json" else None

    async def fault(self, at: str, fault: str, **options: Any) -> None:
        await self.admin("POST", "faults", at=at, fault=fault, **options)

    async def opened(self) -> int:
        opened: int = (await self.admin("GET", "connections"))["opened"]
        return opened

    async def sessions(self) -> list[dict[str, Any]]:
        sessions: list[dict[str, Any]] = (await self.admin("GET", "connections"))["sessions"]
        return sessions

    async def expected(self) -> list[bytes]:
        """The payloads that the simulator must have sent for all requests of whole SECONDs so far."""
        requests = (await self.admin("GET", "requests"))["requests"]
        return [
            payload
            for request in requests
            for payload in expected_payloads(
                seed=1, connection_id=request["connection_id"], req_id=request["req_id"],
                sample_rate=RATE, pcm=SECOND * (request["audio_bytes"] // len(SECOND)),
            )
        ]  # fmt: skip


@asynccontextmanager
async def open_motion(
    *, limits: MotionLimits = LIMITS, api_key: str = "right", avatar_id: str = "ava",
    sample_rate: int = RATE, **simulator: Any,
) -> AsyncIterator[MotionRig]:  # fmt: skip
    """Everything in one process, at forty times the speed."""
    settings = SimulatorSettings(
        simulator_port=0,
        simulator_speed=40,
        simulator_accepted_key="right",
        simulator_avatars="ava",
        **simulator,
    )
    async with (
        listen(application(settings), "127.0.0.1", 0) as url,
        aiohttp.ClientSession() as http,
        TaskScope() as tasks,
    ):
        vendor = Vendor(
            IngestSettings.load(
                SPATIUS_API_KEY=api_key, SPATIUS_APP_ID="app",
                SPATIUS_CONSOLE_ENDPOINT=f"{url}/v1/console",
                SPATIUS_INGRESS_ENDPOINT=url.replace("http", "ws") + "/v2/driveningress",
            )
        )  # fmt: skip
        received = Received()
        spawn = partial(tasks.spawn, name="motion")
        pool = UnlimitedPool(vendor, close_s=0.5, spawn=spawn)
        motion = MotionClient(
            pool, MotionConversation("c", avatar_id, sample_rate),
            listener=received, limits=limits, spawn=spawn,
        )  # fmt: skip
        yield MotionRig(motion, pool, received, http, url)
        motion.close()
