"""Gateways in this process, a conversation with an owner, and viewers."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from relay_auth.token_keys import secret_key
from relay_auth.viewer_tokens import Role, mint
from relay_client import Viewer
from relay_gateway.app import Gateway, gateway
from relay_runtime.http import listen
from relay_settings.gateway import GatewaySettings
from relay_streams.publisher import Publisher
from relay_streams.writer import Writer
from relay_turns.effects import Publish
from relay_turns.phase import Phase
from relay_wire import events, frame, uplink
from relay_wire.frame import Frame, Kind

KEY = "planted-secret-of-viewer-tokens-" + "k" * 8


@dataclass
class GatewayRig:
    """Gateways, the owner of a conversation, and its viewers."""

    store: Any
    urls: list[str]
    services: list[Gateway]
    keys: Any
    publisher: Publisher
    writer: Writer
    http: aiohttp.ClientSession
    slow_http: aiohttp.ClientSession
    """Its sockets buffer so little that unread data stays at the gateway."""

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def service(self) -> Gateway:
        return self.services[0]

    @property
    def generation(self) -> int:
        return self.writer.lease.generation

    @property
    def path(self) -> str:
        return f"/v1/conversations/{self.keys.id}/stream"

    # --- the owner's side ----------------------------------------------------------------------

    def publish(
        self, *events_: events.StreamEvent, turn: int = 0, phase: Phase = "idle", ends_at_ms: int = 0
    ) -> None:
        for event in events_:
            self.writer.append(
                [Publish(Kind.EVENT, turn, events.encode(event), 0)],
                checkpoint=b"",
                turn_phase=phase,
                turn_ends_at_ms=ends_at_ms,
            )

    def speak(self, turn: int, *payloads: bytes) -> None:
        for payload in payloads:
            self.writer.append([Publish(Kind.AUDIO, turn, payload, 0)], checkpoint=b"")

    async def turn(self, number: int, frames: int = 5, size: int = 100) -> None:
        """Publish a whole turn."""
        self.publish(events.TurnStarted(), turn=number)
        for index in range(frames):
            self.speak(number, f"{number}.{index}.".encode() * (size // 4))
            if index % 5 == 4:
                await asyncio.sleep(0)
        self.publish(events.TurnEnded("complete"), turn=number)
        await self.writer.drained()

    async def succeed(self) -> None:
        """Hand the conversation over to another worker, which publishes its first event."""
        after = self.writer.last_position
        await self.store.client.execute("DEL", self.keys.lease)
        await self.store.client.execute("XADD", self.keys.unowned, "*", "c", self.keys.id)
        self.writer = self.store.writer(self.publisher, await self.store.claim(self.keys, "next"))
        self.publish(events.OwnerChanged(str(after)))
        await self.writer.drained()

    # --- the viewers' side ---------------------------------------------------------------------

    def token(
        self, role: Role = Role.SPEAK, *, ttl_s: int = 60, conversation: str = "", key: str = KEY
    ) -> str:
        conversation = conversation or self.keys.id
        return mint(secret_key(key.encode()), conversation=conversation, role=role, ttl_s=ttl_s)[0]

    def viewer(self, start: str = "last", *, at: int = 0, **options: Any) -> Viewer:
        """A viewer that begins at this gateway, with the last turn, and knows them all."""
        urls = self.urls[at:] + self.urls[:at]
        return Viewer(urls, self.keys.id, self.token(), start=start, session=self.http, **options)

    async def connect(
        self, path: str = "", *, slow: bool = False, **options: Any
    ) -> aiohttp.ClientWebSocketResponse:
        """A bare WebSocket; it begins with the last turn unless the path has another start."""
        options.setdefault("headers", {"Authorization": f"Bearer {self.token()}"})
        http = self.slow_http if slow else self.http
        return await http.ws_connect(
            f"{self.url}{path or self.path + '?from=last'}", max_msg_size=2**20, **options
        )

    async def refused(self, start: str = "", *, path: str = "", **options: Any) -> tuple[int, str]:
        """The status and problem a handshake gets."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await self.connect(path or self.path + (f"?from={start}" if start else ""), **options)
        return error.value.status, error.value.headers["Avatar-Relay-Problem"]

    async def uplink(self) -> list[uplink.Entry]:
        entries: list[uplink.Entry] = await self.store.uplink(self.keys)
        return entries


@asynccontextmanager
async def open_gateways(
    store: Any,
    *,
    gateways: int = 1,
    retention_bytes: int = 32 * 2**20,
    port: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[GatewayRig]:
    """Gateways with these settings; ``redis_url`` may lead through a proxy, ``port`` is for ``listen``."""
    options = {"RELAY_TOKEN_SECRET": KEY, "redis_url": store.url, "app_id": "app", "drain_s": 0, **settings}
    async with (
        Publisher(store.url, retention_bytes=retention_bytes, republish_bytes=64 * 2**20) as publisher,
        aiohttp.ClientSession() as http,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=_small_socket), read_bufsize=4096
        ) as slow_http,
        AsyncExitStack() as stack,
    ):
        services, urls = [], []
        for _ in range(gateways):
            services.append(await stack.enter_async_context(gateway(GatewaySettings.load(**options))))
            url = await stack.enter_async_context(
                listen(services[-1].application(), "127.0.0.1", 0, **port or {})
            )
            urls.append(url.replace("http", "ws"))
        lease = await store.claim(await store.create())
        rig = GatewayRig(
            store, urls, services, lease.keys, publisher, store.writer(publisher, lease), http, slow_http
        )
        rig.publish(events.FIRST_OWNER)
        await rig.writer.drained()
        yield rig


def _small_socket(address: Any) -> sockets.socket:
    opened = sockets.socket(*address[:3])
    opened.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    opened.setblocking(False)
    return opened


async def collect(viewer: Viewer, count: int) -> list[Frame]:
    """This number of frames of the stream, and the gateway's events between them."""
    frames: list[Frame] = []
    async with asyncio.timeout(20):
        async for received in viewer:
            frames.append(received)
            if sum(f.seq > 0 for f in frames) >= count:
                return frames
    return frames


async def listen_to(socket: aiohttp.ClientWebSocketResponse) -> list[Frame]:
    """Everything until the socket is closed."""
    async with asyncio.timeout(20):
        return [frame.decode(message.data) async for message in socket]


def seqs(frames: list[Frame]) -> list[int]:
    return [received.seq for received in frames if received.seq]


def events_in(frames: list[Frame], kind: type[Any]) -> list[Any]:
    """The events of one kind among them."""
    decoded = [events.decode(f.payload) for f in frames if f.kind is Kind.EVENT]
    return [event for event in decoded if isinstance(event, kind)]


def assert_whole(viewer: Viewer) -> None:
    report = viewer.report
    assert (report.gaps, report.duplicates, report.out_of_order) == (0, 0, 0)
