"""A worker that is killed when Redis has what it published, and before it knows: the outbox has it once."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers
from tests.rigs.proxy import Proxy
from tests.rigs.redis_server import Server

from relay_cli.stack import Child
from relay_settings.ingest import IngestSettings
from relay_streams.conversations import read
from relay_streams.keys import ConversationKeys
from relay_streams.outbox import OutboxConsumer, OutboxEvent
from relay_wire import events
from relay_wire.uplink import Close

SECOND = bytes(32_000)
SETTINGS = {"jobs": True, "outbox_entries": 1000, "lease_ms": 400}
WITHIN_S = 30


@asynccontextmanager
async def worker(b: WorkerRig, name: str, url: str, directory: Path) -> AsyncIterator[Child]:
    """A worker as a process, whose Redis is at this URL."""
    settings = {**b.settings, "redis_url": url, "worker_name": name}
    fields = IngestSettings.model_fields
    environment = {
        IngestSettings.variable(key) if key in fields else key: str(value) for key, value in settings.items()
    }
    child = Child(name, "ingest", environment, directory)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()


async def speak(b: WorkerRig, keys: ConversationKeys) -> int:
    appended = await b.up.append_speech(keys, turn=0, offset=0, pcm=SECOND, end=True, barge_in=False)
    return appended.turn


async def outbox(b: WorkerRig) -> list[OutboxEvent]:
    """The public events."""
    consumer = OutboxConsumer(b.store.client, b.store.keys, consumer="test", limit=1000, reclaim_ms=0)
    return [event for event in await consumer.read() if event.order]


async def until(b: WorkerRig, *kinds: str) -> list[OutboxEvent]:
    """Wait until the outbox has events of these types, and no others."""
    return await eventually(
        lambda: outbox(b), WITHIN_S, until=lambda found: [event.type for event in found] == list(kinds)
    )


async def killed_at(
    b: WorkerRig, proxy: Proxy, event: str, keys: ConversationKeys, child: Child
) -> list[OutboxEvent]:
    """Kill the worker when Redis has an event whose acknowledgement it never gets; returns the outbox."""
    found: list[OutboxEvent] = await eventually(
        lambda: outbox(b), WITHIN_S, until=lambda found: event in [each.type for each in found]
    )
    assert proxy.mode == "unanswered"
    child.signal(signal.SIGKILL)
    await child.wait()
    assert (await read(b.store.client, keys)).owner == "first"
    return found


@pytest.fixture
def bench(open_store, redis_server: Server, tmp_path: Path):
    """``async with bench() as (b, proxy, first)``: the first worker reaches Redis through the proxy."""

    @asynccontextmanager
    async def made() -> AsyncIterator[tuple[WorkerRig, Proxy, Child]]:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store())
            b = await stack.enter_async_context(open_workers(store, **SETTINGS))
            proxy = await stack.enter_async_context(Proxy("127.0.0.1", redis_server.port))
            first = await stack.enter_async_context(worker(b, "first", proxy.url, tmp_path))
            yield b, proxy, first

    return made


async def test_after_the_end_of_a_turn(bench, tmp_path: Path) -> None:
    """The turn ends once, for viewers and in the outbox; the next owner goes on with the next number."""
    async with bench() as (b, proxy, first):
        keys = await b.store.create(creator="key-1", outbox_entries=1000)
        proxy.unanswered_from = b"turn.ended"
        turn = await speak(b, keys)
        before = await killed_at(b, proxy, "turn.ended", keys, first)

        async with worker(b, "second", b.store.url, tmp_path):
            following = await speak(b, keys)
            assert await b.until_outcome(keys, following) == "complete"
            await b.up.append(keys, Close("deleted"))
            found = await until(b, "conversation.started", "turn.ended", "turn.ended", "conversation.ended")

        _check(found, before)
        assert [_data(event)["turn"] for event in found[1:3]] == [turn, following]
        for number in (turn, following):
            assert sum(isinstance(one, events.TurnEnded) for one in await b.published(keys, number)) == 1


async def test_after_the_end_of_a_conversation(bench, tmp_path: Path) -> None:
    """The next owner finds that it has ended, completes that, and adds nothing."""
    async with bench() as (b, proxy, first):
        keys = await b.store.create(creator="key-1", outbox_entries=1000)
        assert await b.until_outcome(keys, await speak(b, keys)) == "complete"
        proxy.unanswered_from = b"conversation.ended"
        await b.up.append(keys, Close("deleted"))
        before = await killed_at(b, proxy, "conversation.ended", keys, first)

        async with worker(b, "second", b.store.url, tmp_path):
            await eventually(lambda: _state(b, keys), WITHIN_S, until=lambda state: state == "ended")
            found = await until(b, "conversation.started", "turn.ended", "conversation.ended")

        _check(found, before)
        ends = [one for one in await b.published(keys) if isinstance(one, events.ConversationEnded)]
        assert len(ends) == 1


def _check(found: list[OutboxEvent], before: list[OutboxEvent]) -> None:
    """Each event once, the numbers without a hole, and what was there before as it was."""
    assert [event.order for event in found] == list(range(1, len(found) + 1))
    assert len({event.id for event in found}) == len(found)
    assert [(event.id, event.entry_id, event.data) for event in found[: len(before)]] == [
        (event.id, event.entry_id, event.data) for event in before
    ]


def _data(event: OutboxEvent) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.data)
    return data


async def _state(b: WorkerRig, keys: ConversationKeys) -> str:
    return (await read(b.store.client, keys)).state
