"""Deliveries of a task: counted for each task, for a time."""

from relay_streams.task_deliveries import KEEP_MS, count_again


async def test_each_further_delivery_counts(open_store) -> None:
    """Of the one task; the count expires by itself, and begins anew when it is damaged."""
    async with open_store() as store:
        assert [await count_again(store.client, store.keys, "a") for _ in range(3)] == [1, 2, 3]
        assert await count_again(store.client, store.keys, "b") == 1

        key = store.keys.shared(0).task_deliveries("a")
        assert 0 < await store.client.execute("PTTL", key) <= KEEP_MS
        await store.client.execute("SET", key, "x")
        assert await count_again(store.client, store.keys, "a") == 1
