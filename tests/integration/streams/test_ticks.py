"""Ticks: of several beats one sends each tick."""

from relay_streams.ticks import Ticks


async def test_one_beat_has_a_tick_per_interval(open_store, eventually) -> None:
    """The others do not have it, nor has the same one twice; in the next interval any of them has it."""
    async with open_store() as store:
        first, second = (Ticks(store.client, store.keys, beat=name) for name in ("a", "b"))

        assert await first.claim("webhooks.due", 0.3)
        assert not await second.claim("webhooks.due", 0.3)
        assert not await first.claim("webhooks.due", 0.3)
        assert await second.claim("reaper.scan", 0.3)

        await eventually(lambda: second.claim("webhooks.due", 60))


async def test_a_tick_that_was_not_sent_is_free_again(open_store) -> None:
    """At once."""
    async with open_store() as store:
        ticks = Ticks(store.client, store.keys, beat="a")
        assert await ticks.claim("webhooks.due", 60)
        await ticks.give_up("webhooks.due")
        assert await ticks.claim("webhooks.due", 60)
