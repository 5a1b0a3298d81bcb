"""The jobs of webhooks: what is due is found, what follows from an event is planned, and both are done."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsRig
from tests.rigs.metrics import metric
from tests.rigs.receiver import SECRET, receiving
from tests.rigs.store import Store

from relay_cli.stack import StackError
from relay_jobs.consequences import TaskCall
from relay_jobs.job import Resources
from relay_jobs.parts import open_consequences
from relay_jobs.webhooks import endpoint_file
from relay_jobs.webhooks import jobs as webhook_jobs
from relay_jobs.webhooks.jobs import DEAD, DUE_NOW, EXCEEDING, OLDEST_DUE, PENDING
from relay_settings.base import SettingsError
from relay_settings.jobs import JobsSettings
from relay_streams.outbox import OutboxEvent
from relay_streams.webhooks import Backlog, Deliveries
from relay_telemetry.trace_context import NO_TRACE

EVENT = OutboxEvent(
    id="01JD.7-9", order=1, type="turn.ended", conversation="01JD", partition=3, key_id="main", data=b"{}",
    trace=NO_TRACE, viewer_ms=0, at_ms=1_700_000_000_000, entry_id="1700000000000-0",
)  # fmt: skip


def write(path: Path, url: str = "https://hooks.example.com/", *names: str) -> None:
    """A file of endpoints for every key."""
    entries = [{"url": url, "secrets": [SECRET], "name": name} for name in names or ("crm",)]
    path.write_text(json.dumps({"*": entries}))


@asynccontextmanager
async def opened(store: Store, **settings: Any) -> AsyncIterator[tuple[Resources, list[TaskCall]]]:
    """Resources at a store, and the tasks that jobs send."""
    sent: list[TaskCall] = []

    async def send(calls: Sequence[TaskCall]) -> None:
        sent.extend(calls)

    async with AsyncExitStack() as stack:
        loaded = JobsSettings.load(**{"webhook_hosts": "hooks.example.com", **settings})
        yield Resources(loaded, store.client, store.keys, stack, send), sent


async def consume(store: Store, consequence: Any, event: OutboxEvent = EVENT) -> Sequence[TaskCall]:
    """Write what follows from an event; its tasks."""
    plan = consequence(event)
    for each in plan.writes:
        await store.client.execute(each.command, each.key, *each.args)
    return plan.tasks


async def test_an_event_becomes_deliveries(open_store, tmp_path: Path, monkeypatch) -> None:
    """Of the endpoints that the file has now: a change needs no restart. The backlog is measured."""
    monkeypatch.setattr(endpoint_file, "REFRESH_S", 0.02)
    monkeypatch.setattr(webhook_jobs, "MEASURE_S", 0.02)
    path = tmp_path / "webhooks.json"
    await asyncio.to_thread(write, path)
    async with (
        open_store() as store,
        opened(store, webhooks_file=path) as (resources, _),
        AsyncExitStack() as stack,
    ):
        follow = (await open_consequences(resources, stack))[-1]
        assert [task.args[1].rpartition("_")[2] for task in await consume(store, follow)] == ["crm"]
        await asyncio.to_thread(write, path, "https://hooks.example.com/", "a", "b")
        await eventually(lambda: len(follow(EVENT).tasks), until=lambda count: count == 2)
        await eventually(lambda: metric(PENDING), until=lambda count: count == 1)
        assert (metric(DUE_NOW), metric(DEAD)) == (1, 0)
        assert metric(OLDEST_DUE) > 1000


async def test_what_is_due_is_sent(open_store, tmp_path: Path) -> None:
    """One task of each delivery in all partitions, and none again before its time."""
    path = tmp_path / "webhooks.json"
    await asyncio.to_thread(write, path)
    async with open_store() as store, opened(store, webhooks_file=path) as (resources, sent):
        await webhook_jobs.due(resources)
        assert sent == []
        async with AsyncExitStack() as stack:
            follow = (await open_consequences(resources, stack))[-1]
            planned = {
                *(await consume(store, follow)),
                *(await consume(store, follow, EVENT._replace(id="01JE.7-9", partition=11))),
            }
        await webhook_jobs.due(resources)
        assert set(sent) == planned
        await webhook_jobs.due(resources)
        assert len(sent) == 2


async def test_an_endpoint_has_its_share(open_store, tmp_path: Path) -> None:
    """One that rests gets no task, one that answers ten for each connection; the others wait."""
    path = tmp_path / "webhooks.json"
    await asyncio.to_thread(write, path, "https://hooks.example.com/", "crm", "dead")
    async with open_store() as store, opened(store, webhooks_file=path) as (resources, sent):
        deliveries = Deliveries(store.client, store.keys)
        async with AsyncExitStack() as stack:
            follow = (await open_consequences(resources, stack))[-1]
            for number in range(50):
                await consume(store, follow, EVENT._replace(id=f"01JD.7-{number}"))
        for _ in range(12):
            await deliveries.leave("dead", "a", finding="fault", most_rest_s=60)
        before = metric(EXCEEDING)
        await webhook_jobs.due(resources)
        assert Counter(task.args[1].rpartition("_")[2] for task in sent) == {"crm": 40}
        assert metric(EXCEEDING) == before + 60
        assert (await deliveries.backlog()).pending == 100
        [first, *_] = [found async for found in deliveries.all("due") if found.facts.endpoint == "dead"]
        assert first.attempts == 0


async def test_a_task_delivers(open_store, tmp_path: Path) -> None:
    """By the settings of its process; its arguments are those that travel."""
    path = tmp_path / "webhooks.json"
    async with receiving() as receiver, open_store() as store:
        await asyncio.to_thread(write, path, receiver.url)
        settings = {"webhook_http": True, "webhook_private_networks": True, "webhook_hosts": "127.0.0.1"}
        async with opened(store, webhooks_file=path, **settings) as (resources, _):
            async with AsyncExitStack() as stack:
                [task] = await consume(store, (await open_consequences(resources, stack))[-1])
            await webhook_jobs.deliver(resources, *json.loads(json.dumps(task.args)))
            assert await Deliveries(store.client, store.keys).backlog() == Backlog(0, 0, 0, 0)
        assert [received.id for received in receiver.received] == [task.args[1]]


async def test_a_file_that_cannot_be_used(open_store, tmp_path: Path) -> None:
    """The dispatcher and the worker do not start with it."""
    path = tmp_path / "webhooks.json"
    await asyncio.to_thread(path.write_text, "{")
    async with (
        open_store() as store,
        opened(store, webhooks_file=path) as (resources, _),
        AsyncExitStack() as stack,
    ):
        with pytest.raises(SettingsError, match="RELAY_WEBHOOKS_FILE: the file: Input data was truncated"):
            await open_consequences(resources, stack)
        with pytest.raises(SettingsError, match="RELAY_WEBHOOKS_FILE"):
            await webhook_jobs.check(resources.settings)


@pytest.mark.timeout(150)
async def test_the_processes(jobs, tmp_path: Path) -> None:
    """A wrong file ends a start with its reason. With a right one an event is delivered by its task, and by a
    tick when that task was lost.
    """
    path = tmp_path / "webhooks.json"
    settings = {"webhook_http": True, "webhook_private_networks": True, "webhook_hosts": "127.0.0.1"}
    async with receiving() as receiver, jobs(webhooks_file=path, webhook_resend_s=0.5, **settings) as rig:
        path.write_text("{")
        for role in ("dispatcher", "worker"):
            with pytest.raises(StackError, match="RELAY_WEBHOOKS_FILE"):
                await rig.start(role)
        write(path, receiver.url)
        await rig.start("dispatcher", jobs=True)
        await append(rig, 1)
        deliveries = Deliveries(rig.store.client, rig.store.keys)
        await eventually(lambda: backlog(deliveries), 30, until=lambda pending: pending == 1)
        await rig.broker.execute("FLUSHDB")
        await rig.worker()
        await rig.start("beat")
        await eventually(lambda: len(receiver.received), 30)
        await append(rig, 2)
        await eventually(lambda: len(receiver.received), 30, until=lambda count: count == 2)
        await eventually(lambda: backlog(deliveries), 30, until=lambda pending: pending == 0)
    assert [received.json["data"]["order"] for received in receiver.received] == [1, 2]
    assert receiver.forged == 0


async def append(rig: JobsRig, number: int) -> None:
    """An event, as a publish appends it."""
    outbox = rig.store.keys.shared(3).outbox
    fields = ("id", f"c.1-{number}", "n", number, "k", "turn.ended", "c", "c", "a", "main", "d", "{}")
    await rig.store.client.execute("XADD", outbox, "*", *fields)


async def backlog(deliveries: Deliveries) -> int:
    """The webhooks that are pending."""
    return (await deliveries.backlog()).pending
