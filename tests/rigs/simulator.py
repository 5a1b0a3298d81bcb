"""The simulator in this process, and the vendor's SDK as its client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from spatius import AvatarSession, configure_telemetry, new_avatar_session
from spatius.proto.generated import message_pb2

from relay_runtime.http import listen
from relay_runtime.tasks import first_of
from relay_settings.simulator import SimulatorSettings
from relay_simulator.app import application

AVATAR = "ava"


@dataclass
class Client:
    """A session of the SDK, and what came back."""

    session: AvatarSession = field(init=False)
    payloads: list[Any] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_end(self) -> None:
        """Wait for the end of a request that was not waited for yet."""
        await first_of(end=self._wait(self._ended), closed=self._wait(self.closed))
        assert self._ended.is_set(), f"closed before the end: {self.errors}"
        self._ended.clear()

    async def _wait(self, event: asyncio.Event) -> None:
        await event.wait()

    def on_payload(self, payload: bytes, last: bool) -> None:  # noqa: FBT001  # as the SDK calls it
        self.payloads.append(message_pb2.Message.FromString(payload).server_response_animation)
        if last:
            self._ended.set()


@dataclass
class Simulated:
    """A running simulator."""

    url: str
    http: aiohttp.ClientSession

    @property
    def endpoints(self) -> dict[str, str]:
        """As the SDK takes them."""
        return {
            "console_endpoint_url": f"{self.url}/v1/console",
            "ingress_endpoint_url": f"{self.url.replace('http', 'ws', 1)}/v2/driveningress",
        }

    async def admin(self, method: str, path: str, **body: Any) -> Any:
        async with self.http.request(method, f"{self.url}/admin/{path}", json=body or None) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.content_type == "application/json" else None

    async def requests(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = (await self.admin("GET", "requests"))["requests"]
        return requests

    async def sessions(self) -> list[dict[str, Any]]:
        sessions: list[dict[str, Any]] = (await self.admin("GET", "connections"))["sessions"]
        return sessions

    @asynccontextmanager
    async def client(
        self, *, expires_in_s: float = 300, start: bool = True, **options: Any
    ) -> AsyncIterator[Client]:
        """A session of the SDK, connected unless ``start`` is false."""
        client = Client()
        client.session = new_avatar_session(
            **{
                "api_key": "key", "app_id": "app", "avatar_id": AVATAR,
                "expire_at": datetime.now(UTC) + timedelta(seconds=expires_in_s),
                "transport_frames": client.on_payload, "on_error": client.errors.append,
                "on_close": client.closed.set,
                **self.endpoints,
                **options,
            }
        )  # fmt: skip
        try:
            await client.session.init()
            if start:
                await client.session.start()
            yield client
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(client.session.close(), 2)


@asynccontextmanager
async def simulated(**settings: Any) -> AsyncIterator[Simulated]:
    """The simulator, at forty times the speed unless the settings differ."""
    configure_telemetry("")
    loaded = SimulatorSettings.load(
        **{"simulator_speed": 40, "simulator_accepted_key": "key", "simulator_avatars": AVATAR, **settings}
    )
    async with listen(application(loaded), "127.0.0.1", 0) as url, aiohttp.ClientSession() as http:
        yield Simulated(url, http)
