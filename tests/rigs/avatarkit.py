"""The vendor's JSON clients at a gateway, and an owner that speaks to them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from tests.rigs.avatar_client import AvatarClient
from tests.rigs.gateway import GatewayRig

from relay_turns.effects import Effect, Publish
from relay_turns.machine import TurnMachine
from relay_turns.rules import Rules

OPTIONS: dict[str, Any] = {"avatarkit_clients": True, "avatarkit_url_token": True, "avatar_id": "ava"}
PCM = bytes(range(256)) * 10


class Speaker:
    """An owner's turn machine, by hand: what it decides is published with its state."""

    def __init__(self, open_rig: GatewayRig) -> None:
        self.open_rig = open_rig
        self.machine = TurnMachine(Rules(sample_rate=16000))

    def perform(self, effects: list[Effect]) -> None:
        publishes = [effect for effect in effects if isinstance(effect, Publish)]
        # The machine's clock begins with the test: it is asked at 0.
        ends_at_s = time.time() + (self.machine.plays_until or 0)
        self.open_rig.writer.append(
            publishes, checkpoint=b"", turn_phase=self.machine.phase, turn_ends_at_ms=int(ends_at_s * 1000)
        )

    async def publish(self, turn: int, *, end: bool = True, pcm: bytes = PCM) -> None:
        """Audio of a turn, and motion at both its ends."""
        opens = turn != self.machine.turn
        self.perform(self.machine.audio(0, turn, pcm, end=end, barge_in=True))
        self.machine.request_opened(turn, "r")
        if opens:
            self.perform(self.machine.motion(0, "r", b"m1", last=False))
        if end:
            self.perform(self.machine.motion(0, "r", b"m2", last=True))
        await self.open_rig.writer.drained()


@asynccontextmanager
async def agent(
    open_rig: GatewayRig, *, at: int = 0, headers: Mapping[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """An official client: it knows a URL, and nothing else."""
    url = f"{open_rig.urls[at]}/ws/agent?token={open_rig.token()}"
    async with open_rig.http.ws_connect(url, max_msg_size=2**20, headers=headers) as socket:
        yield socket


async def receive(socket: aiohttp.ClientWebSocketResponse, client: AvatarClient, until: Any) -> None:
    """Handle messages until something is so."""
    async with asyncio.timeout(10):
        while not until():
            client.receive(await socket.receive_str())
