"""Bounds of the uplink: what waits is bounded whoever appends it, and speech has its part."""

import pytest

from relay_streams.conversations import read
from relay_streams.errors import UplinkFull
from relay_streams.uplink import Uplink, UplinkLimits
from relay_wire import uplink


async def consume(store, keys, *, upto: int = -1) -> None:
    """What an owner does with what it has read: the cursor moves, the stream is trimmed to it."""
    entry = (await store.entries(keys.up))[upto][0]
    await store.client.execute("HSET", keys.meta, "up", entry)
    await store.client.execute("XTRIM", keys.up, "MINID", "=", entry)


MESSAGES = {
    "text": lambda up, keys, size: up.append(keys, uplink.Text("x" * size)),
    "mic": lambda up, keys, size: up.append(keys, uplink.Microphone(bytes(size))),
    "sample": lambda up, keys, size: up.append(keys, uplink.ClipRequest("x" * size)),
    "playback": lambda up, keys, size: up.append(keys, uplink.Playback(1, "started", 10**size, "v")),
}


@pytest.mark.parametrize("kind", MESSAGES)
async def test_what_viewers_say_is_bounded_in_bytes(open_store, kind: str) -> None:
    """Whatever it is; and the backend still has its part."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(bytes=100_000, entries=100_000))
        with pytest.raises(UplinkFull):
            for _ in range(10_000):
                await MESSAGES[kind](up, keys, 1000)
        content = sum(len(value) for _, fields in await store.entries(keys.up) for value in fields.values())
        assert 45_000 < content < 200_000, "with the fields' names and counters"
        assert await up.append_speech(keys, key="k", offset=0, pcm=bytes(49_000), end=True) == (1, 49_000)


@pytest.mark.parametrize("kind", MESSAGES)
async def test_what_viewers_say_is_bounded_in_count(open_store, kind: str) -> None:
    """The rest is the backend's, which has no such share."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(entries=20, viewer_share=0.25))
        with pytest.raises(UplinkFull):
            for _ in range(100):
                await MESSAGES[kind](up, keys, 2)
        assert len(await store.uplink(keys)) == 5
        spoken = await up.append_speech(keys, key="k", offset=0, pcm=bytes(200), end=True, entry_bytes=10)
        assert spoken.offset == 150, "15 entries more"
        assert (await up.append(keys, uplink.Interrupt(reason="backend"))).turn == 1


async def test_a_viewers_own_speech_is_of_the_viewers_share(open_store) -> None:
    """Who talks into /ws/host is a viewer, too."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(bytes=100_000))
        viewer = await up.append_speech(
            keys, key="v", offset=0, pcm=bytes(90_000), end=False, viewer=True, entry_bytes=1000
        )
        assert viewer.offset == 50_000
        with pytest.raises(UplinkFull):
            await up.append(keys, uplink.Text("hi"))
        spoken = await up.append_speech(keys, key="b", offset=0, pcm=bytes(50_000), end=True, barge_in=True)
        assert spoken == (2, 50_000)


async def test_speech_leaves_the_viewers_their_share(open_store) -> None:
    """A long answer that waits does not make the avatar deaf, as long as there is room at all."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(entries=100))
        await up.append_speech(keys, key="b", offset=0, pcm=bytes(600), end=True, entry_bytes=10)
        for _ in range(40):
            await up.append(keys, uplink.Text("hi"))
        with pytest.raises(UplinkFull):
            await up.append(keys, uplink.Text("hi"))


async def test_what_the_owner_has_read_makes_room(open_store) -> None:
    """For viewers as for speech, however often it fills."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(bytes=40_000))
        for _ in range(5):
            with pytest.raises(UplinkFull):
                for _ in range(100):
                    await up.append(keys, uplink.Microphone(bytes(1000)))
            waiting = len(await store.uplink(keys))
            assert 18 <= waiting <= 21
            await consume(store, keys)
            assert len(await store.uplink(keys)) == 1


async def test_a_message_that_just_fits(open_store) -> None:
    """Exactly to the byte, whatever was appended and read before."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(bytes=2000))
        for _ in range(3):
            await up.append(keys, uplink.Microphone(bytes(499)))  # and one byte of the field's name
            with pytest.raises(UplinkFull):
                await up.append(keys, uplink.Microphone(bytes(500)))
            await up.append(keys, uplink.Microphone(bytes(499)))
            await store.client.execute("XTRIM", keys.up, "MAXLEN", 0)


async def test_interrupts_of_which_one_is_enough(open_store) -> None:
    """Nothing was appended since, and the owner has not read the first: one entry represents all."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(keys, key="k", offset=0, pcm=b"aa", end=True)
        for index in range(1000):
            assert (await up.append(keys, uplink.Interrupt(reason="viewer"))).turn == 1
            if index % 100 == 0:
                await up.append(keys, uplink.Playback(1, "started", index, "v"))
        interrupts = [entry for entry in await store.uplink(keys) if isinstance(entry, uplink.Interrupt)]
        assert interrupts == [uplink.Interrupt(1, "viewer")]
        assert (await read(store.client, keys)).input_turn == 1


@pytest.mark.parametrize("new", ["speech", "text", "mic", "sample"])
async def test_an_interrupt_of_something_new_counts(open_store, new: str) -> None:
    """Entries after the last one are interrupted, too."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append(keys, uplink.Interrupt(reason="viewer"))
        if new == "speech":
            await up.append_speech(keys, key="k", offset=0, pcm=b"aa", end=True)
        else:
            await MESSAGES[new](up, keys, 2)
        await up.append(keys, uplink.Interrupt(reason="viewer"))
        assert [type(entry).__name__ for entry in await store.uplink(keys)].count("Interrupt") == 2


async def test_an_interrupt_that_was_read_is_no_longer_the_same(open_store) -> None:
    """An agent may have begun to speak since; and one that Redis has lost is appended again."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append(keys, uplink.Interrupt(reason="viewer"))
        await consume(store, keys)
        await up.append(keys, uplink.Interrupt(reason="viewer"))
        assert len(await store.uplink(keys)) == 2
        await store.client.execute("DEL", keys.up)
        await up.append(keys, uplink.Interrupt(reason="viewer"))
        assert await store.uplink(keys) == [uplink.Interrupt(0, "viewer")]


async def test_requests_and_interrupts_in_turn(open_store) -> None:
    """Each is new after the other; interrupts are counted as viewers' entries, so this ends as well."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(entries=100))
        full = 0
        for _ in range(200):
            await up.append(keys, uplink.Interrupt(reason="viewer"))
            try:
                await up.append(keys, uplink.Text("hi"))
            except UplinkFull:
                full += 1
        assert len(await store.uplink(keys)) <= 51
        assert full > 100
        assert (await up.append_speech(keys, key="k", offset=0, pcm=bytes(100), end=True)).offset == 100


async def test_a_store_that_lost_the_counters(open_store) -> None:
    """A record without them bounds what comes, and one whose stream is gone starts again."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(bytes=10_000))
        with pytest.raises(UplinkFull):
            for _ in range(100):
                await up.append(keys, uplink.Text("x" * 500))
        await store.client.execute("HDEL", keys.meta, "up_in", "up_base")
        with pytest.raises(UplinkFull):
            for _ in range(100):
                await up.append(keys, uplink.Text("x" * 500))
        assert len(await store.uplink(keys)) <= 20
        await store.client.execute("DEL", keys.up)
        await up.append(keys, uplink.Text("x" * 500))
