"""Webhooks in the store: attempts issued once, due times, dead letters and slots; on every server."""

import asyncio
import time
from typing import Any

import pytest
from tests.rigs.store import Store

from relay_streams.outbox import Write
from relay_streams.scripts.call import run
from relay_streams.scripts.restore_deliveries import restore_deliveries
from relay_streams.webhooks import Backlog, Deliveries, Facts, Place, planned

PLACE = Place(3, "msg_1_crm")
LONG_S = 60.0


def facts(**fields: Any) -> Facts:
    """Of a delivery to the endpoint ``crm``."""
    known = {"endpoint": "crm", "event": "c.1-2", "type": "turn.ended", "conversation": "c", "order": 4}
    return Facts(**{**known, "at_ms": 1000, **fields})


async def apply(store: Store, writes: tuple[Write, ...]) -> None:
    """Write what follows from an event, without the event."""
    for write in writes:
        await store.client.execute(write.command, write.key, *write.args)


async def plan(store: Store, place: Place = PLACE, body: bytes = b"{}", **fields: Any) -> Deliveries:
    """A delivery that is due."""
    await apply(store, planned(store.keys.shared(place.partition), place.delivery, facts(**fields), body))
    return Deliveries(store.client, store.keys)


async def finish(
    deliveries: Deliveries, number: int, state: Any, place: Place = PLACE, **options: Any
) -> int | None:
    """Record the result of an attempt."""
    return await deliveries.finish(
        place,
        number,
        state,
        **{"outcome": "failed", "status": 500, "keep_delivered_s": LONG_S, "most_dead": 100, **options},
    )


async def due(deliveries: Deliveries, partition: int = 3, **options: Any) -> list[str]:
    """The deliveries whose task is to be sent."""
    options = {"limit": 100, "resend_s": LONG_S, "keep_dead_s": LONG_S, **options}
    return [place.delivery for place in await deliveries.due(partition, **options)]


async def test_one_of_many_makes_an_attempt(open_store) -> None:
    """Of tasks at the same time one begins the attempt; the others have nothing to do."""
    async with open_store() as store:
        deliveries = await plan(store, body=b'{"a":1}')

        begun = await asyncio.gather(*(deliveries.begin(PLACE, claim_s=LONG_S) for _ in range(10)))

        [attempt] = filter(None, begun)
        assert (attempt.number, attempt.spent, attempt.facts, attempt.body) == (1, 0, facts(), b'{"a":1}')
        assert attempt.age_s < LONG_S


async def test_a_success_is_the_end(open_store) -> None:
    """Nothing is due, and the same event planned once more sends nothing, whatever its body is now."""
    async with open_store() as store:
        deliveries = await plan(store)
        await deliveries.begin(PLACE, claim_s=LONG_S)
        assert await finish(deliveries, 1, "delivered", outcome="delivered", status=204) == 0
        assert await deliveries.backlog() == Backlog(0, 0, 0, 0)

        await plan(store, body=b"another")

        assert await deliveries.begin(PLACE, claim_s=LONG_S) is None
        assert (await deliveries.backlog()).pending == 0
        found = await deliveries.read(PLACE)
        assert (found.state, found.attempts, found.status, found.body) == ("delivered", 1, 204, b"")
        key = store.keys.shared(3).webhook(PLACE.delivery)
        assert 0 < await store.client.execute("PTTL", key) <= LONG_S * 1000


async def test_a_repeated_event_does_not_shorten_a_wait(open_store) -> None:
    """It is due when the wait has passed, and its attempts go on counting."""
    async with open_store() as store:
        deliveries = await plan(store)
        await deliveries.begin(PLACE, claim_s=LONG_S)
        await finish(deliveries, 1, "due", wait_s=LONG_S)

        await plan(store)

        assert await deliveries.begin(PLACE, claim_s=LONG_S) is None
        assert await due(deliveries) == []
        found = await deliveries.read(PLACE)
        assert (found.state, found.attempts, found.outcome, found.status) == ("due", 1, "failed", 500)
        assert found.due_ms > time.time() * 1000


async def test_a_failure_is_due_again(open_store, eventually) -> None:
    """After the wait, and not before; the next attempt has the next number."""
    async with open_store() as store:
        deliveries = await plan(store)
        await deliveries.begin(PLACE, claim_s=LONG_S)
        await finish(deliveries, 1, "due", wait_s=0.3)
        assert await due(deliveries) == []

        assert await eventually(lambda: due(deliveries)) == [PLACE.delivery]

        assert (await deliveries.begin(PLACE, claim_s=LONG_S)).number == 2


async def test_a_killed_attempt_is_due_again(open_store, eventually) -> None:
    """An attempt without a result has failed when its claim expires; its late result changes nothing."""
    async with open_store() as store:
        deliveries = await plan(store)
        assert (await deliveries.begin(PLACE, claim_s=0.2)).number == 1
        attempt = await eventually(lambda: deliveries.begin(PLACE, claim_s=LONG_S))
        assert attempt.number == 2

        assert await finish(deliveries, 1, "dead") is None
        assert (await deliveries.read(PLACE)).state == "due"
        assert await deliveries.begin(PLACE, claim_s=LONG_S) is None


async def test_a_late_success_counts(open_store, eventually) -> None:
    """The receiver has it: there is no further attempt, also when the next has begun or failed for good."""
    for later in ("due", "dead"):
        async with open_store() as store:
            deliveries = await plan(store)
            await deliveries.begin(PLACE, claim_s=0.05)
            await eventually(lambda deliveries=deliveries: deliveries.begin(PLACE, claim_s=LONG_S))
            if later == "dead":
                await finish(deliveries, 2, "dead")

            assert await finish(deliveries, 1, "delivered") == 0

            assert await finish(deliveries, 2, "due") is None
            assert await deliveries.backlog() == Backlog(0, 0, 0, 0)
            assert (await deliveries.read(PLACE)).state == "delivered"


async def test_tasks_are_sent_once_in_a_while(open_store, eventually) -> None:
    """The plan's own task counts; what is claimed is not due; what was sent is sent again after the time."""
    async with open_store() as store:
        now = int(time.time() * 1000)
        deliveries = await plan(store, at_ms=now)
        assert await due(deliveries) == []
        assert await eventually(lambda: due(deliveries, resend_s=0.2)) == [PLACE.delivery]
        assert await due(deliveries) == []
        await deliveries.begin(PLACE, claim_s=LONG_S)
        assert await due(deliveries, resend_s=0.001) == []


async def test_a_tick_is_bounded(open_store) -> None:
    """While tasks of the first that are due are on their way, no further task is sent."""
    async with open_store() as store:
        deliveries = Deliveries(store.client, store.keys)
        for index in range(7):
            await plan(store, Place(3, f"msg_{index}_crm"), at_ms=1000 + index)
        assert await due(deliveries, limit=3) == ["msg_0_crm", "msg_1_crm", "msg_2_crm"]
        assert await due(deliveries, limit=3) == []
        await deliveries.begin(Place(3, "msg_1_crm"), claim_s=LONG_S)
        assert await due(deliveries, limit=3) == ["msg_3_crm"]
        assert await deliveries.backlog() == Backlog(7, 6, 1000, 0)


async def test_postponed(open_store, eventually) -> None:
    """A delivery that could begin now is looked at later, without an attempt; another one is left alone."""
    async with open_store() as store:
        deliveries = await plan(store)
        assert await deliveries.postpone(PLACE, 0.2)
        assert await due(deliveries) == []
        assert await eventually(lambda: due(deliveries)) == [PLACE.delivery]
        assert (await deliveries.begin(PLACE, claim_s=LONG_S)).number == 1
        assert not await deliveries.postpone(PLACE, 0.001)
        assert not await deliveries.postpone(Place(3, "msg_2_crm"), 0.001)


async def test_dead_letters_are_bounded(open_store) -> None:
    """At the bound the oldest go, and are counted; those that are too old go with a tick."""
    async with open_store() as store:
        deliveries, discarded = Deliveries(store.client, store.keys), []
        for index in range(5):
            place = Place(3, f"msg_{index}_crm")
            await plan(store, place)
            await deliveries.begin(place, claim_s=LONG_S)
            discarded.append(await finish(deliveries, 1, "dead", place, most_dead=3))
        assert discarded == [0, 0, 0, 1, 1]
        assert [found.place.delivery async for found in deliveries.all("dead")] == [
            "msg_2_crm", "msg_3_crm", "msg_4_crm"
        ]  # fmt: skip
        assert await deliveries.read(Place(3, "msg_0_crm")) is None
        assert await deliveries.backlog() == Backlog(0, 0, 0, 3)

        await asyncio.sleep(0.01)  # they are older than a millisecond then
        assert await due(deliveries, keep_dead_s=0.001) == []
        assert await deliveries.backlog() == Backlog(0, 0, 0, 0)
        assert await deliveries.read(Place(3, "msg_4_crm")) is None


async def test_retried_by_hand(open_store) -> None:
    """A dead letter is due at once, with its body, and begins anew but for the numbers of its attempts."""
    async with open_store() as store:
        deliveries = await plan(store, body=b"kept")
        assert not await deliveries.retry(PLACE)
        await deliveries.begin(PLACE, claim_s=LONG_S)
        await finish(deliveries, 1, "dead")
        assert await deliveries.begin(PLACE, claim_s=LONG_S) is None

        assert await deliveries.retry(PLACE)

        assert not await deliveries.retry(PLACE)
        assert await due(deliveries) == [PLACE.delivery]
        attempt = await deliveries.begin(PLACE, claim_s=LONG_S)
        assert (attempt.number, attempt.spent, attempt.body) == (2, 1, b"kept")
        assert attempt.age_s < 1


async def test_one_that_redis_has_lost(open_store) -> None:
    """A delivery without its hash is not due any more; one without facts is no delivery."""
    async with open_store() as store:
        deliveries = await plan(store)
        keys = store.keys.shared(3)
        await store.client.execute("DEL", keys.webhook(PLACE.delivery))
        assert await deliveries.begin(PLACE, claim_s=LONG_S) is None
        assert await deliveries.backlog() == Backlog(0, 0, 0, 0)

        await plan(store)
        await store.client.execute("HSET", keys.webhook(PLACE.delivery), "facts", "junk")
        assert [found async for found in deliveries.all("due")] == []
        for call in (
            deliveries.read(PLACE),
            deliveries.begin(PLACE, claim_s=1),
            deliveries.find("msg_1_crm"),
        ):
            with pytest.raises(ValueError, match="the delivery msg_1_crm is damaged"):
                await call


async def test_found_in_any_partition(open_store) -> None:
    """By the id alone."""
    async with open_store() as store:
        deliveries = await plan(store, Place(11, "msg_9_crm"), order=9)
        assert (await deliveries.find("msg_9_crm")).facts == facts(order=9)
        assert await deliveries.find("msg_8_crm") is None


async def test_slots_of_an_endpoint(open_store, eventually) -> None:
    """As many attempts at a time as allowed; a slot is free when it is left, or by itself after a kill."""
    async with open_store() as store:
        deliveries = Deliveries(store.client, store.keys)

        async def enter(slot: str, hold_s: float = LONG_S) -> str:
            return (await deliveries.enter("crm", slot, most=2, hold_s=hold_s)).state

        assert [await enter("a"), await enter("b", 0.2), await enter("c")] == ["entered", "entered", "busy"]
        assert (await deliveries.enter("other", "a", most=1, hold_s=LONG_S)).state == "entered"
        assert await eventually(lambda: enter("c"), until=lambda state: state == "entered")
        await deliveries.leave("crm", "a", finding="answer", most_rest_s=LONG_S)
        assert await enter("d") == "entered"


async def test_a_failing_endpoint_rests(open_store) -> None:
    """After a fault it has one slot; after five it rests, longer each time; an answer ends all of it."""
    async with open_store() as store:
        deliveries = Deliveries(store.client, store.keys)

        async def fault(most_rest_s: float = 3.0) -> float:
            return await deliveries.leave("crm", "a", finding="fault", most_rest_s=most_rest_s)

        assert await fault() == 0
        assert [(await deliveries.enter("crm", slot, most=9, hold_s=LONG_S)).state for slot in "ab"] == [
            "entered", "busy"
        ]  # fmt: skip
        assert [await fault() for _ in range(6)] == [0, 0, 0, 1, 2, 3]
        [(name, standing)] = (await deliveries.standings(["crm", "other"])).items()
        assert (name, standing.failures) == ("crm", 7)
        assert 2 < standing.rest_s <= 3
        entry = await deliveries.enter("crm", "a", most=9, hold_s=LONG_S)
        assert entry.state == "resting"
        assert 2000 < entry.rest_ms <= 3000
        assert await deliveries.leave("crm", "a", finding="nothing", most_rest_s=3) == 0
        assert (await deliveries.enter("crm", "a", most=9, hold_s=LONG_S)).state == "resting"
        assert await deliveries.leave("crm", "a", finding="answer", most_rest_s=3) == 0
        assert (await deliveries.enter("crm", "a", most=9, hold_s=LONG_S)).state == "entered"
        assert [await fault(0) for _ in range(8)][-1] == 0


# --- lost indexes --------------------------------------------------------------------------------------


async def test_a_pending_delivery_without_an_index_is_due_again(open_store) -> None:
    """At its own time, once; what is settled, damaged or in its index stays as it is."""
    async with open_store() as store:
        keys, deliveries = store.keys.shared(3), Deliveries(store.client, store.keys)
        names = ["new", "waiting", "delivered", "listed", "gone"]
        for name in names[:-1]:
            await plan(store, Place(3, name))
        for name in ("waiting", "delivered"):
            await deliveries.begin(Place(3, name), claim_s=LONG_S)
        await finish(deliveries, 1, "due", Place(3, "waiting"), wait_s=LONG_S)
        await finish(deliveries, 1, "delivered", Place(3, "delivered"))
        at = await store.client.execute("ZSCORE", keys.webhooks_due, "waiting")
        await store.client.execute("DEL", keys.webhooks_due)
        await store.client.execute("ZADD", keys.webhooks_due, 1, "listed")
        await store.client.execute("HSET", keys.webhook("damaged"), "body", "{}")

        found = [await run(store.client, restore_deliveries(keys, [*names, "damaged"])) for _ in range(2)]

        assert found == [2, 0]
        assert await due(deliveries) == ["listed", "new"]
        scores = [await store.client.execute("ZSCORE", keys.webhooks_due, name) for name in names]
        assert (scores[1], scores[2], scores[3], scores[4]) == (at, None, b"1", None)
        assert (await deliveries.begin(Place(3, "new"), claim_s=LONG_S)).number == 1


async def test_a_dead_letter_without_an_index_is_listed_again(open_store) -> None:
    """From its end on, so that it is kept no longer than others; it can be retried."""
    async with open_store() as store:
        keys = store.keys.shared(3)
        deliveries = await plan(store)
        await deliveries.begin(PLACE, claim_s=LONG_S)
        await finish(deliveries, 1, "dead")
        at = await store.client.execute("ZSCORE", keys.webhooks_dead, PLACE.delivery)
        await store.client.execute("DEL", keys.webhooks_dead)

        assert await run(store.client, restore_deliveries(keys, [PLACE.delivery])) == 1

        assert await store.client.execute("ZSCORE", keys.webhooks_dead, PLACE.delivery) == at
        assert (await deliveries.backlog()).pending == 0
        assert await deliveries.retry(PLACE)
