"""Records of Motion sessions: each opening and closing once, whoever reports it, and in whatever order."""

import pytest

from relay_streams.conversations import read
from relay_streams.errors import Missing
from relay_streams.outbox import OutboxConsumer
from relay_streams.scripts.call import run
from relay_streams.scripts.record_motion import record_motion


async def test_each_once(open_store) -> None:
    """Repeats append nothing; sessions follow each other; internal events take no order number."""
    async with open_store() as store:
        lease = await store.claim(await store.create(creator="key-1", outbox_entries=100))

        async def record(what, session, generation=lease.generation) -> bool:
            call = record_motion(
                lease.keys, what, generation=generation, session=session, opened_ms=5,
                data=b'{"session":"%s"}' % session.encode(), outbox_entries=100,
            )  # fmt: skip
            return await run(store.client, call)

        assert [await record("opened", "one") for _ in range(2)] == [True, False]
        assert (await read(store.client, lease.keys)).motion == "5 one"
        assert [await record("closed", "one") for _ in range(2)] == [True, False]
        assert (await read(store.client, lease.keys)).motion == "0 one"
        assert not await record("opened", "one"), "a late repeat"
        assert not await record("opened", "old", lease.generation - 1), "of an owner that was replaced"
        assert await record("opened", "two words")
        assert not await record("closed", "one"), "the next session is open"
        assert await record("closed", "two words", lease.generation - 1), "by the owner that was replaced"

        consumer = OutboxConsumer(store.client, store.keys, consumer="test")
        g, found = lease.generation, await consumer.read()
        assert [(event.id, event.order) for event in found[1:]] == [
            (f"{lease.keys.id}.{g}.motion.opened.one", 0),
            (f"{lease.keys.id}.{g}.motion.closed.one", 0),
            (f"{lease.keys.id}.{g}.motion.opened.two words", 0),
            (f"{lease.keys.id}.{g - 1}.motion.closed.two words", 0),
        ]
        assert {event.key_id for event in found} == {"key-1"}
        assert (await read(store.client, lease.keys)).events == 1


async def test_a_record_that_is_lost(open_store) -> None:
    """Nothing is appended, and no record is made up."""
    async with open_store() as store:
        keys = store.keys.conversation("unknown")
        call = record_motion(
            keys, "closed", generation=1, session="s", opened_ms=1, data=b"{}", outbox_entries=100
        )
        with pytest.raises(Missing):
            await run(store.client, call)
        assert await store.client.execute("EXISTS", keys.meta) == 0
        assert await store.client.execute("EXISTS", keys.outbox) == 0
