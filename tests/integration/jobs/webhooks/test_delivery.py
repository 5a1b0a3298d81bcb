"""Delivery: attempts by several workers at once, against a real store and a real receiver."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from aiohttp import web
from tests.rigs.metrics import metric
from tests.rigs.receiver import SECRET, Received, Receiver, answers, receiving
from tests.rigs.store import Store

from relay_jobs.webhooks.delivery import (
    ATTEMPTS,
    DAMAGED,
    DEAD_LETTERS,
    DISCARDED,
    POSTPONED,
    SETTLED,
    Webhooks,
    open_webhooks,
)
from relay_settings.webhooks import WebhookSettings
from relay_streams.webhooks import Backlog, Deliveries, Facts, Place, planned

OLD_SECRET = "whsec_" + "QUJD" * 8


@dataclass
class Rig:
    """Workers at a store, and a receiver whose endpoint is ``crm``."""

    store: Store
    deliveries: Deliveries
    receiver: Receiver
    workers: list[Webhooks]

    async def plan(self, name: str = "1", endpoint: str = "crm", partition: int = 3) -> Place:
        """A delivery that is due."""
        place = Place(partition, f"msg_{name}_{endpoint}")
        facts = Facts(endpoint, f"c.1-{name}", "turn.ended", "c", 1, 1000)
        for write in planned(
            self.store.keys.shared(partition), place.delivery, facts, b'{"type":"turn.ended"}'
        ):
            await self.store.client.execute(write.command, write.key, *write.args)
        return place

    async def deliver(self, *places: Place) -> None:
        """Each worker runs the task of each delivery, all at once."""
        await asyncio.gather(*(worker.deliver(place) for worker in self.workers for place in places))

    async def run(self, **options: Any) -> None:
        """Do as a tick and the workers do, until nothing is pending."""
        options = {"limit": 1000, "resend_s": 0.05, "keep_dead_s": 60.0, **options}
        while (await self.deliveries.backlog()).pending:
            for partition in range(self.store.keys.partitions):
                await self.deliver(*await self.deliveries.due(partition, **options))
            await asyncio.sleep(0.005)

    async def outcome(self, place: Place) -> tuple[str, int, str, int]:
        """State, attempts, outcome and status of a delivery."""
        found = await self.deliveries.read(place)
        return found.state, found.attempts, found.outcome, found.status


@pytest.fixture
def open_rig(open_store, tmp_path: Path) -> Any:
    """``async with open_rig(answer, workers=2, **settings) as rig``; waits are of milliseconds."""
    path = tmp_path / "webhooks.json"

    @asynccontextmanager
    async def opened(answer: Any = None, *, workers: int = 1, **settings: Any) -> AsyncIterator[Rig]:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store())
            receiver = await stack.enter_async_context(receiving(answer))
            entries = [{"url": receiver.url + "/hook", "secrets": [SECRET, OLD_SECRET], "name": "crm"}]
            await asyncio.to_thread(path.write_text, json.dumps({"*": entries}))
            loaded = WebhookSettings.load(**{
                "webhooks_file": path, "webhook_hosts": "127.0.0.1", "webhook_http": True,
                "webhook_private_networks": True, "webhook_backoff_s": 0.01, "webhook_max_backoff_s": 0.1,
                "webhook_rest_s": 0.1, **settings,
            })  # fmt: skip
            deliveries = Deliveries(store.client, store.keys)
            opened = [
                await stack.enter_async_context(open_webhooks(loaded, deliveries)) for _ in range(workers)
            ]
            yield Rig(store, deliveries, receiver, opened)

    return opened


def counts() -> dict[str, float]:
    """What has been counted so far."""
    outcomes = ("delivered", "failed", "gone", "unknown_endpoint")
    return {
        **{name: metric(ATTEMPTS, outcome=name) for name in outcomes},
        "settled": metric(SETTLED, outcome="delivered"),
        "dead": metric(SETTLED, outcome="dead"),
        "discarded": metric(DISCARDED),
        "damaged": metric(DAMAGED),
        **{f"for {name}": metric(DEAD_LETTERS, reason=name) for name in ("gone", "attempts", "age")},
    }  # fmt: skip


def since(before: dict[str, float]) -> dict[str, float]:
    """What was counted since, without what was not."""
    return {name: value - before[name] for name, value in counts().items() if value > before[name]}


async def test_delivered_once(open_rig) -> None:
    """However many tasks there are for it; a verifier of another author accepts each current secret."""
    before = counts()
    async with open_rig(workers=3) as rig:
        place = await rig.plan()
        await rig.deliver(place, place, place)
        await rig.deliver(place)

        assert await rig.outcome(place) == ("delivered", 1, "delivered", 204)
        [received] = rig.receiver.received
    assert (received.id, received.attempt) == (place.delivery, 1)
    for secret in (SECRET, OLD_SECRET):
        assert standardwebhooks.Webhook(secret).verify(received.body, received.headers) == {
            "type": "turn.ended"
        }
    assert since(before) == {"delivered": 1, "settled": 1}


async def test_every_attempt_has_a_number_of_its_own(open_rig) -> None:
    """A receiver that fails half of the time gets each delivery, with attempts from 1, none twice."""
    seen = Counter[str]()

    async def answer(_request: web.Request, received: Received) -> web.StreamResponse:
        seen[received.id] += 1
        return web.Response(status=500 if seen[received.id] <= len(seen) % 4 else 200)

    async with open_rig(answer, workers=3, webhook_attempts=1000) as rig:
        for index in range(30):
            await rig.plan(str(index), partition=index % 16)
        await rig.run()
        attempts = Counter((received.id, received.attempt) for received in rig.receiver.received)
        assert set(attempts.values()) == {1}
        assert attempts.keys() == {(name, n) for name, count in seen.items() for n in range(1, count + 1)}
        assert len(seen) == 30


async def test_dead_letters(open_rig) -> None:
    """410 at the first attempt; any other failure after the last attempt, or at the age; each is counted."""
    for answer, settings, attempts, outcome, reason in (
        (answers(410), {}, 1, "gone", "gone"),
        (answers(500), {"webhook_attempts": 4}, 4, "failed", "attempts"),
        (answers(500), {"webhook_give_up_s": 0.000001}, None, "failed", "age"),
    ):
        before = counts()
        async with open_rig(answer, **settings) as rig:
            place = await rig.plan()
            await rig.run()
            state, made, *_ = await rig.outcome(place)
            assert state == "dead"
            assert await rig.deliveries.backlog() == Backlog(0, 0, 0, 1)
            assert len(rig.receiver.received) == made == (attempts or made)
        assert since(before) == {outcome: made, "dead": 1, f"for {reason}": 1}


async def test_at_the_bound_of_dead_letters(open_rig) -> None:
    """The oldest goes, and is counted."""
    before = counts()
    async with open_rig(answers(410), webhook_dead_letters=1) as rig:
        for name in "ab":
            await rig.deliver(await rig.plan(name))
        assert await rig.deliveries.backlog() == Backlog(0, 0, 0, 1)
    assert since(before)["discarded"] == 1


async def test_a_retry_by_hand(open_rig) -> None:
    """A dead letter is delivered when its receiver is back, with further numbers and as many attempts."""
    async with open_rig(answers(500), webhook_attempts=2) as rig:
        place = await rig.plan()
        await rig.run()
        assert await rig.outcome(place) == ("dead", 2, "failed", 500)
        assert await rig.deliveries.retry(place)
        await rig.run()
        assert await rig.outcome(place) == ("dead", 4, "failed", 500)
        rig.receiver.answer = None
        assert await rig.deliveries.retry(place)
        await rig.run()
        assert await rig.outcome(place) == ("delivered", 5, "delivered", 204)
        assert [received.attempt for received in rig.receiver.received] == [1, 2, 3, 4, 5]


async def test_an_endpoint_that_is_removed(open_rig) -> None:
    """Its deliveries are attempted without a request, until they are dead letters: it may come back."""
    before = counts()
    async with open_rig(webhook_attempts=3) as rig:
        place = await rig.plan(endpoint="old")
        await rig.run()
        assert await rig.outcome(place) == ("dead", 3, "unknown_endpoint", 0)
        assert rig.receiver.received == []
    assert since(before) == {"unknown_endpoint": 3, "dead": 1, "for attempts": 1}


async def test_a_damaged_delivery(open_rig) -> None:
    """It is counted, and harms no other."""
    before = counts()
    async with open_rig() as rig:
        place, other = await rig.plan("a"), await rig.plan("b")
        await rig.store.client.execute("HSET", rig.store.keys.shared(3).webhook(place.delivery), "facts", "x")
        await rig.deliver(place, other)
        assert [received.id for received in rig.receiver.received] == [other.delivery]
    assert since(before) == {"damaged": 1, "delivered": 1, "settled": 1}


async def test_a_receiver_that_asks_for_a_wait(open_rig) -> None:
    """Its Retry-After is the least wait, within the longest of all."""
    async with open_rig(answers(503, headers={"Retry-After": "3600"}), webhook_max_backoff_s=7200) as rig:
        place = await rig.plan()
        await rig.deliver(place)
        found = await rig.deliveries.read(place)
        assert found.due_ms - found.ended_ms >= 3_600_000


async def test_a_dead_endpoint_leaves_room_for_the_others(open_rig) -> None:
    """Workers whose endpoint never answers are held by one attempt at a time: the others' webhooks go on."""
    stuck = asyncio.Event()

    async def answer(request: web.Request, _received: Received) -> web.StreamResponse:
        await stuck.wait()
        return web.Response(status=200)

    before = metric(POSTPONED, reason="busy")
    async with open_rig(answer, webhook_connections=1, webhook_timeout_s=20) as rig:
        places = [await rig.plan(str(index)) for index in range(5)]
        [worker] = rig.workers
        first = asyncio.create_task(worker.deliver(places[0]))
        try:
            while not rig.receiver.received:
                await asyncio.sleep(0.005)
            await asyncio.wait_for(asyncio.gather(*map(worker.deliver, places[1:])), 10)
            assert len(rig.receiver.received) == 1
            assert metric(POSTPONED, reason="busy") == before + 4
            assert (await rig.deliveries.backlog()).due == 0
        finally:
            stuck.set()
            await first
    assert rig.receiver.forged == 0


async def test_an_endpoint_rests(open_rig) -> None:
    """After five failures nothing is sent for a while, and no delivery loses an attempt by that."""
    before = metric(POSTPONED, reason="resting")
    async with open_rig(answers(500), webhook_rest_s=3600, webhook_attempts=1000) as rig:
        places = [await rig.plan(str(index)) for index in range(8)]
        for place in places:
            await rig.deliver(place)
        assert len(rig.receiver.received) == 5
        assert [(await rig.deliveries.read(place)).attempts for place in places] == [1] * 5 + [0] * 3
    assert metric(POSTPONED, reason="resting") == before + 3
