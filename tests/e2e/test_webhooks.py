"""Webhooks: a receiver that fails and is away, workers that are killed, and nothing is missing.

``make webhooks-test`` delivers a thousand of them, ``make test`` 300. Time is compressed a thousand times by
the settings of the backoff: a day is 86 s, three hours are 11 s.
"""

import asyncio
import json
import random
import signal
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsChild, JobsRig, open_jobs
from tests.rigs.receiver import SECRET, Received, receiving
from tests.rigs.store import Store

from relay_streams.webhooks import Backlog, Deliveries

pytestmark = [pytest.mark.timeout(400)]

EVENTS = 10
"""Of each conversation."""
OUTAGE_S = 10.8
COMPRESSED = {
    "webhook_backoff_s": 0.005, "webhook_max_backoff_s": 86.4, "webhook_give_up_s": 259.2,
    "webhook_rest_s": 0.06, "webhook_attempts": 60,
}  # fmt: skip
QUICK = {"webhook_timeout_s": 2, "webhook_connect_s": 1, "webhook_claim_s": 4, "webhook_resend_s": 2}
"""What kills cost depends on these, not on the compression."""


class Flaky:
    """Fails three of ten requests, and all of them during the outage: with 503, or without an answer."""

    def __init__(self) -> None:
        self.away = False
        self.draw = random.Random(13)
        self.accepted: list[Received] = []
        self.failed = 0
        self.refused_in_outage = 0

    async def answer(self, request: web.Request, received: Received) -> web.StreamResponse:
        """Answer one request."""
        if self.away:
            self.refused_in_outage += 1
            if self.draw.random() < 0.5 and request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        if self.draw.random() < 0.3:
            self.failed += 1
            return web.Response(status=500)
        self.accepted.append(received)
        return web.Response(status=204)


async def append_events(store: Store, conversations: int) -> None:
    """The events of all conversations, in the outboxes of their partitions, in turns."""
    for number in range(1, EVENTS + 1):
        for index in range(conversations):
            conversation = f"01JDWEBHOOKS{index:014d}"
            outbox = store.keys.shared(store.keys.partition(conversation)).outbox
            kind = {1: "conversation.started", EVENTS: "conversation.ended"}.get(number, "turn.ended")
            fields = {
                "id": f"{conversation}.1-{number}", "n": number, "k": kind, "c": conversation, "a": "main",
                "d": json.dumps({"turn": number}),
            }  # fmt: skip
            await store.client.execute(
                "XADD", outbox, "*", *(part for pair in fields.items() for part in pair)
            )


async def kill(jobs: JobsRig, worker: JobsChild) -> JobsChild:
    """End a worker with SIGKILL, and start another."""
    worker.signal(signal.SIGKILL)
    await worker.wait()
    return await jobs.worker()


async def test_every_webhook_is_delivered(open_store, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """30 % errors, three hours of outage, two workers killed: every event is delivered, no attempt is made
    twice, and the order numbers of each conversation have no hole.
    """
    webhooks = request.config.getoption("webhooks")
    conversations = webhooks // EVENTS
    flaky, path = Flaky(), tmp_path / "webhooks.json"
    async with open_store() as store, receiving(flaky.answer) as receiver:
        path.write_text(json.dumps({"main": [{"url": receiver.url, "secrets": [SECRET], "name": "crm"}]}))
        settings: dict[str, Any] = {
            "jobs": True, "webhooks_file": path, "webhook_hosts": "127.0.0.1", "webhook_http": True,
            "webhook_private_networks": True, "log_level": "warning", **COMPRESSED, **QUICK,
        }  # fmt: skip
        async with open_jobs(store, tmp_path, **settings) as jobs:
            deliveries = Deliveries(store.client, store.keys)
            dispatcher, *_ = await asyncio.gather(jobs.start("dispatcher"), jobs.start("beat"))
            first, _second = await asyncio.gather(jobs.worker(), jobs.worker())
            await append_events(store, conversations)

            await eventually(lambda: len(flaky.accepted), 120, until=lambda count: count >= 0.2 * webhooks)
            third = await kill(jobs, first)
            await eventually(lambda: len(flaky.accepted), 120, until=lambda count: count >= 0.35 * webhooks)
            flaky.away = True
            await asyncio.sleep(OUTAGE_S / 2)
            await kill(jobs, third)
            await asyncio.sleep(OUTAGE_S / 2)
            flaky.away = False
            await eventually(
                deliveries.backlog, 240, until=lambda backlog: backlog == Backlog(0, 0, 0, 0),
                what="every webhook to be delivered",
            )  # fmt: skip
            await eventually(
                lambda: jobs.metric(dispatcher, "relay_jobs_pending_webhooks"),
                30,
                until=lambda left: left == 0,
            )

    attempts = Counter((received.id, received.attempt) for received in receiver.received)
    assert attempts.most_common(1)[0][1] == 1
    orders = defaultdict(set)
    for received in flaky.accepted:
        data = received.json["data"]
        orders[data["conversation"]].add(data["order"])
    assert len(orders) == conversations
    assert all(numbers == set(range(1, EVENTS + 1)) for numbers in orders.values())
    assert len({received.id for received in flaky.accepted}) == webhooks
    # Killed between the answer and its record: at most one more request of each process.
    assert len(flaky.accepted) - webhooks <= 4
    assert receiver.forged == 0
    assert flaky.failed > 0.2 * webhooks
    assert flaky.refused_in_outage > 0
