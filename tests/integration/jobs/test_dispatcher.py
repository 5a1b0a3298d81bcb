"""The dispatcher: each event is consumed once with what follows from it, whatever happens to its task."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsRig
from tests.rigs.metrics import metric
from tests.rigs.redis_server import Server
from tests.rigs.store import Store

from relay_jobs import dispatcher as dispatching
from relay_jobs.celery_app import celery_app
from relay_jobs.consequences import Consequence, Plan, TaskCall
from relay_jobs.dispatcher import Dispatcher
from relay_jobs.sender import TaskSender
from relay_runtime.tasks import TaskScope
from relay_settings.jobs import JobsSettings
from relay_streams.outbox import OutboxConsumer, OutboxEvent, Write

Opened = Callable[..., AbstractAsyncContextManager[JobsRig]]

pytestmark = pytest.mark.timeout(150)


async def _append(store: Store, conversation: str, kind: str = "turn.ended", number: int = 1) -> str:
    """An event, as a publish appends it. Returns its id."""
    keys = store.keys.shared(store.keys.partition(conversation))
    event = f"{conversation}.1-{number}"
    fields = ("id", event, "n", number, "k", kind, "c", conversation, "a", "key", "d", "{}")
    await store.client.execute("XADD", keys.outbox, "*", *fields)
    return event


def _counting(store: Store) -> Consequence:
    """Counts each event, and has a task note it."""

    def plan(event: OutboxEvent) -> Plan:
        key = store.keys.shared(event.partition).usage("key", "2026-01-31")
        return Plan((Write("HINCRBY", key, (event.id, 1)),), (TaskCall("test.note", (event.id,)),))

    return plan


@asynccontextmanager
async def _dispatching(
    store: Store, consequences: Sequence[Consequence], **settings: Any
) -> AsyncIterator[Dispatcher]:
    loaded = JobsSettings.load(redis_url=store.url, jobs_poll_s=0.02, **settings)
    sender = TaskSender(celery_app(loaded), loaded)
    consumer = OutboxConsumer(store.client, store.keys, consumer="test", reclaim_ms=200)
    dispatcher = Dispatcher(loaded, consumer, consequences, sender)
    try:
        async with TaskScope() as tasks:
            tasks.spawn(dispatcher.run(), name="dispatcher")
            yield dispatcher
    finally:
        await sender.close()


async def _counts(store: Store, events: Sequence[str]) -> dict[str, int]:
    """How often each event was counted."""
    found = {}
    for partition in range(store.keys.partitions):
        key = store.keys.shared(partition).usage("key", "2026-01-31")
        for event in events:
            count = await store.client.execute("HGET", key, event)
            if count is not None:
                found[event] = int(count)
    return found


async def _waiting(store: Store) -> int:
    lengths = [
        await store.client.execute("XLEN", store.keys.shared(partition).outbox)
        for partition in range(store.keys.partitions)
    ]
    return sum(lengths)


async def test_events_of_all_partitions_become_tasks(jobs: Opened) -> None:
    """Each is written once, removed, and its task reaches a worker."""
    async with jobs() as rig, _dispatching(rig.store, [_counting(rig.store)]) as dispatcher:
        await rig.worker()
        events = [await _append(rig.store, f"c{number}") for number in range(40)]

        await rig.until_notes(*events)

        assert await _counts(rig.store, events) == dict.fromkeys(events, 1)
        assert await _waiting(rig.store) == 0
        assert dispatcher.readiness() == dispatcher.liveness() == ""
        assert metric(dispatching.EVENTS, type="turn.ended") >= 40


async def test_several_dispatchers_share_the_events(jobs: Opened) -> None:
    """None is written twice."""
    async with jobs() as rig:
        plan = [_counting(rig.store)]
        async with _dispatching(rig.store, plan), _dispatching(rig.store, plan):
            events = [await _append(rig.store, f"c{number}") for number in range(200)]
            await eventually(lambda: _waiting(rig.store), until=lambda waiting: waiting == 0)
        assert await _counts(rig.store, events) == dict.fromkeys(events, 1)


async def test_a_broker_that_is_away_delays_no_event(jobs: Opened, redis_server: Server) -> None:
    """Events are consumed and written, and the tasks of later events run when the broker is back."""
    broker = redis_server.another()
    await asyncio.to_thread(broker.start)
    settings = {"jobs_broker_url": broker.url, "jobs_broker_timeout_s": 2}
    try:
        async with (
            jobs(**settings) as rig,
            _dispatching(rig.store, [_counting(rig.store)], **settings) as dispatcher,
        ):
            worker = await rig.worker()
            await asyncio.to_thread(broker.stop)
            events = [await _append(rig.store, f"c{number}") for number in range(20)]
            await eventually(lambda: _waiting(rig.store), until=lambda waiting: waiting == 0)
            assert await _counts(rig.store, events) == dict.fromkeys(events, 1)
            await eventually(dispatcher.degradation, 20)
            assert dispatcher.readiness() == ""
            await eventually(lambda: rig.status(worker, "readyz"), 20, until=lambda status: status == 503)
            assert await rig.status(worker, "livez") == 200

            await asyncio.to_thread(broker.start)
            last = await _append(rig.store, "later")
            await rig.until_notes(last, within_s=45)
            await rig.until_ready(worker)
    finally:
        await asyncio.to_thread(broker.stop)


async def test_an_event_that_a_part_cannot_plan_for_stays(jobs: Opened) -> None:
    """It is counted, nothing of it is written, and the events around it are consumed."""

    def plan(event: OutboxEvent) -> Plan:
        if event.conversation == "bad":
            raise KeyError("a defect")
        return Plan()

    async with jobs() as rig, _dispatching(rig.store, [_counting(rig.store), plan]):
        before = metric(dispatching.DEFECTS)
        first = await _append(rig.store, "good")
        bad = await _append(rig.store, "bad")
        last = await _append(rig.store, "good", number=2)
        await eventually(lambda: metric(dispatching.DEFECTS) > before)
        await eventually(lambda: _waiting(rig.store), until=lambda waiting: waiting == 1)

        assert await _counts(rig.store, [first, bad, last]) == {first: 1, last: 1}


async def test_a_queue_without_room_gets_no_more_tasks(jobs: Opened) -> None:
    """The broker does not fill while workers are away; the events are consumed all the same."""
    async with jobs() as rig, _dispatching(rig.store, [_counting(rig.store)], jobs_queue_tasks=100):
        events = [await _append(rig.store, f"c{number}") for number in range(150)]
        await eventually(lambda: _waiting(rig.store), until=lambda waiting: waiting == 0)
        await eventually(
            lambda: rig.broker.execute("LLEN", "relay:jobs:tasks"), until=lambda waiting: waiting == 100
        )
        assert len(await _counts(rig.store, events)) == 150


async def test_what_waits_is_measured(jobs: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries, the age of the oldest, and what the bound has discarded, over all partitions."""
    monkeypatch.setattr(dispatching, "MEASURE_S", 0.05)

    def never(_event: OutboxEvent) -> Plan:
        raise KeyError("a defect")

    async with jobs() as rig:
        await _append(rig.store, "c1")
        await _append(rig.store, "c2")
        discarded = metric(dispatching.DISCARDED)
        await rig.store.client.execute("SET", rig.store.keys.shared(3).outbox_discarded, 7)
        async with _dispatching(rig.store, [never]):
            await eventually(lambda: metric(dispatching.WAITING) == 2)
            await eventually(lambda: metric(dispatching.OLDEST) > 0)
            await eventually(lambda: metric(dispatching.DISCARDED) == discarded + 7)
            await rig.store.client.execute("SET", rig.store.keys.shared(3).outbox_discarded, 9)
            await eventually(lambda: metric(dispatching.DISCARDED) == discarded + 9)
