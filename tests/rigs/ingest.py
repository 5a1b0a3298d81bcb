"""Workers in this process: a store, a vendor, and what viewers would have received."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.rigs.eventually import eventually

from relay_ingest.app import worker
from relay_ingest.worker import Worker
from relay_runtime.http import listen
from relay_settings.ingest import IngestSettings
from relay_settings.simulator import SimulatorSettings
from relay_simulator.app import application
from relay_streams.keys import ConversationKeys
from relay_streams.uplink import Uplink
from relay_wire import events, frame
from relay_wire.frame import Frame, Kind


@dataclass
class WorkerRig:
    """A store, a vendor, workers as needed, and what viewers would have got."""

    store: Any
    up: Uplink
    settings: dict[str, Any]
    vendor: str
    """Where the stand-in listens."""

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[Worker]:
        values = {**self.settings, **settings}
        async with worker(IngestSettings.load(**values)) as one:
            yield one

    async def converse(self, agent: str, **fields: Any) -> ConversationKeys:
        keys: ConversationKeys = await self.store.create(agent=agent, **fields)
        return keys

    async def frames(self, keys: ConversationKeys) -> list[Frame]:
        return [frame.decode(fields[b"f"]) for _, fields in await self.store.entries(keys.down)]

    async def audio(self, keys: ConversationKeys, turn: int) -> bytes:
        return b"".join(f.payload for f in await self.frames(keys) if (f.kind, f.turn) == (Kind.AUDIO, turn))

    async def published(self, keys: ConversationKeys, turn: int | None = None) -> list[Any]:
        """The events, without the time at which speech was stored: it is another in each run."""
        return [
            events.TurnStarted() if isinstance(event, events.TurnStarted) else event
            for event in await self.events_of(keys, turn)
        ]

    async def events_of(self, keys: ConversationKeys, turn: int | None = None) -> list[Any]:
        return [
            events.decode(f.payload)
            for f in await self.frames(keys)
            if f.kind is Kind.EVENT and turn in (None, f.turn)
        ]

    async def until(self, keys: ConversationKeys, *wanted: events.Event) -> None:
        """Wait until all of these have been published, in whatever order."""
        await eventually(lambda: self.published(keys), 20, until=lambda found: set(wanted) <= set(found))

    async def until_outcome(self, keys: ConversationKeys, turn: int) -> str:
        """Wait for the end of a turn; how it ended."""
        outcome: str = await eventually(lambda: self._outcome(keys, turn), 20)
        return outcome

    async def _outcome(self, keys: ConversationKeys, turn: int) -> str:
        ends = [event for event in await self.published(keys, turn) if isinstance(event, events.TurnEnded)]
        return ends[0].outcome if ends else ""


@asynccontextmanager
async def open_workers(store: Any, **settings: Any) -> AsyncIterator[WorkerRig]:
    """A stand-in of the vendor beside the store; ``settings`` are the workers'."""
    simulated = SimulatorSettings.load(
        simulator_port=0, simulator_speed=40, simulator_accepted_key="right", simulator_avatars="ava"
    )
    async with listen(application(simulated), "127.0.0.1", 0) as url:
        values = {
            "SPATIUS_API_KEY": "right", "SPATIUS_APP_ID": "app", "redis_url": store.url,
            "ingest_lease_scan_s": 0.1,
            "SPATIUS_CONSOLE_ENDPOINT": f"{url}/v1/console", "motion_close_s": 0.2,
            "SPATIUS_INGRESS_ENDPOINT": url.replace("http", "ws") + "/v2/driveningress",
            "drain_s": 0.2, **settings,
        }  # fmt: skip
        yield WorkerRig(store, Uplink(store.client), values, url)
