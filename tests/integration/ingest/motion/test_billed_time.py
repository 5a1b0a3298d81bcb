"""The time that the outbox has for each Motion session: that for which the vendor bills."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers

from relay_streams.keys import ConversationKeys
from relay_streams.outbox import OutboxConsumer
from relay_wire.billing import credits_of
from relay_wire.uplink import Close

SECOND = bytes(32_000)
IDLE_S = 1.5
TOLERANCE_S = 0.5


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``: workers with jobs."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[WorkerRig]:
        async with open_store() as store, open_workers(store, jobs=True, **settings) as opened:
            yield opened

    return made


async def speak(b: WorkerRig, keys: ConversationKeys) -> str:
    """Speak one turn; how it ended."""
    appended = await b.up.append_speech(keys, turn=0, offset=0, pcm=SECOND, end=True, barge_in=True)
    return await b.until_outcome(keys, appended.turn)


async def reported(b: WorkerRig) -> dict[str, dict[str, Any]]:
    """Every ``motion.closed`` of the outbox, by session; each comes once."""
    consumer = OutboxConsumer(b.store.client, b.store.keys, consumer="test", limit=1000, reclaim_ms=0)
    closed = [json.loads(event.data) for event in await consumer.read() if event.type == "motion.closed"]
    sessions = {data["session"]: data for data in closed}
    assert len(sessions) == len(closed)
    return sessions


async def billed(b: WorkerRig) -> dict[str, dict[str, Any]]:
    """Every session of the vendor's, once all are closed."""

    async def closed() -> list[dict[str, Any]] | None:
        async with aiohttp.ClientSession() as http, http.get(f"{b.vendor}/admin/sessions") as response:
            sessions: list[dict[str, Any]] = (await response.json())["sessions"]
        return None if any(session["closed_at"] is None for session in sessions) else sessions

    return {session["connection_id"]: session for session in await eventually(closed, 20)}


async def arm(b: WorkerRig, **fault: Any) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{b.vendor}/admin/faults", json={"at": "session", **fault}) as armed,
    ):
        assert armed.status == 204


async def compare(b: WorkerRig, *, sessions: int) -> None:
    """The same sessions, each for the same time."""
    bills = await billed(b)
    assert len(bills) == sessions
    reports = await eventually(lambda: reported(b), until=lambda found: found.keys() == bills.keys())
    for session, bill in bills.items():
        report = reports[session]
        assert "estimated" not in report
        assert report["seconds"] == pytest.approx(bill["seconds"], abs=TOLERANCE_S)
        around = [max(bill["seconds"] + change, 0) for change in (-TOLERANCE_S, TOLERANCE_S)]
        assert credits_of(around[0]) <= report["credits"] <= credits_of(around[1])


async def test_sessions_that_are_idle(bench) -> None:
    """They are billed until the relay closes them, silence included; the next turn has another one."""
    async with bench(motion_idle_s=IDLE_S) as b, b.worker():
        keys = await b.store.create(creator="key-1", outbox_entries=1000)
        for _ in range(2):
            assert await speak(b, keys) == "complete"
            assert all(session["seconds"] > IDLE_S for session in (await billed(b)).values())
        await compare(b, sessions=2)


async def test_a_conversation_that_ends(bench) -> None:
    """Its session is billed until then."""
    async with bench() as b, b.worker():
        keys = await b.store.create(outbox_entries=1000)
        assert await speak(b, keys) == "complete"
        await b.up.append(keys, Close("deleted"))
        await compare(b, sessions=1)


@pytest.mark.parametrize(
    "fault", [{"fault": "close", "code": 4002}, {"fault": "abort"}, {"fault": "error_4001"}]
)
async def test_a_session_that_fails(bench, fault: dict[str, Any]) -> None:
    """It is billed until it fails."""
    async with bench() as b, b.worker():
        await arm(b, **fault)
        keys = await b.store.create(outbox_entries=1000)
        assert await speak(b, keys) == "audio_only"
        await compare(b, sessions=1)


async def test_an_owner_that_hands_over(bench) -> None:
    """Its session is reported by itself, and that of the next owner is another one."""
    async with bench() as b:
        keys = await b.store.create(outbox_entries=1000)
        for _ in range(2):
            async with b.worker():
                assert await speak(b, keys) == "complete"
        await compare(b, sessions=2)
