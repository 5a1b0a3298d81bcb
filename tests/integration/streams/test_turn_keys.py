"""Keys of turns: one turn for each key, found by key or number, also after a fail-over; on both servers."""

import asyncio

import pytest

from relay_streams.conversations import read
from relay_streams.errors import InputMismatch, OffsetGap, TurnClosed
from relay_streams.leases import UplinkProgress
from relay_streams.publisher import Publisher
from relay_streams.scripts.find_turn import TurnInputState
from relay_streams.uplink import Uplink, UplinkLimits
from relay_wire import uplink

TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


async def test_a_key_opens_one_turn(open_store) -> None:
    """Attempts at once and one after the other, whole or in pieces: one turn, each byte in once."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        first = await asyncio.gather(
            *(
                up.append_speech(keys, key="k", offset=0, pcm=b"abcd"[:size], end=False)
                for size in (2, 4, 3, 4)
            )
        )
        assert {spoken.turn for spoken in first} == {1}
        assert first[-1].offset == 4
        assert await up.append_speech(keys, key="k", offset=2, pcm=b"cdef", end=True) == (1, 6)
        assert await up.append_speech(keys, key="k", offset=0, pcm=b"abcdef", end=True) == (1, 6)

        speech = await store.uplink(keys)
        assert b"".join(chunk.pcm for chunk in speech) == b"abcdef"
        assert [chunk.end for chunk in speech] == [False] * (len(speech) - 1) + [True]
        assert [chunk.key for chunk in speech] == ["k"] + [""] * (len(speech) - 1)


async def test_a_complete_turn_repeats_only_itself(open_store) -> None:
    """Its last chunk may come again; more or less than it has is other audio."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        for end in (False, True):
            await up.append_speech(keys, key="k", offset=0, pcm=b"abcd", end=end)
            with pytest.raises(InputMismatch) as mismatch:
                await up.append_speech(keys, key="k", offset=0, pcm=b"ab", end=True)
            assert (mismatch.value.turn, mismatch.value.offset) == (1, 4)
        with pytest.raises(InputMismatch):
            await up.append_speech(keys, key="k", offset=4, pcm=b"ef", end=False)

        assert await up.append_speech(keys, key="k", offset=0, pcm=b"ab", end=False) == (1, 4)
        assert await up.find(keys, key="k") == TurnInputState(1, 4, "ended", "k")


async def test_eight_turns_are_known(open_store) -> None:
    """By number and by key, with what became of them; those before are not."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        assert await up.find(keys, turn=1) is None
        assert await up.find(keys, key="k1") is None
        for turn in range(1, 11):
            await up.append_speech(
                keys, key=f"k{turn}", offset=0, pcm=bytes(turn), end=turn % 2 == 0, barge_in=True
            )

        for turn in range(1, 11):
            state = "ended" if turn % 2 == 0 else "cut"
            known = TurnInputState(turn, turn, state, f"k{turn}") if turn > 2 else None
            assert await up.find(keys, turn=turn) == known
            assert await up.find(keys, key=f"k{turn}") == known
        assert len(await store.uplink(keys)) == 10 + 5  # each open turn's input was closed by the next
        with pytest.raises(TurnClosed):
            await up.append_speech(keys, turn=1, key="k1", offset=1, pcm=b"late", end=False)


async def test_the_key_decides_before_the_number(open_store) -> None:
    """After a fail-over another speaker may have our number: nothing of ours enters its turn."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(keys, key="theirs", offset=0, pcm=b"aaaa", end=False)

        with pytest.raises(TurnClosed):
            await up.append_speech(keys, turn=1, key="ours", offset=4, pcm=b"bb", end=False)


async def test_a_lost_opening_is_opened_again(open_store) -> None:
    """Under its own number, once its speaker has gone back to its beginning."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(keys, key="before", offset=0, pcm=b"zz", end=False)
        go_back = await store.snapshot(keys)
        await up.append_speech(keys, key="before", offset=2, pcm=b"", end=True)
        await up.append_speech(keys, key="k", offset=0, pcm=b"aaaa", end=False)
        await go_back()

        with pytest.raises(OffsetGap) as missed:
            await up.append_speech(keys, turn=2, key="k", offset=4, pcm=b"bb", end=False)
        assert missed.value.offset == 0
        assert await up.append_speech(keys, turn=2, key="k", offset=0, pcm=b"aaaabb", end=True) == (2, 6)
        assert (await store.uplink(keys))[-1] == uplink.SpeechChunk(2, 0, b"aaaabb", end=True, key="k")


async def test_keys_outlive_a_fail_over(open_store) -> None:
    """The owner restores a turn that it has read with its key; earlier turns keep theirs."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        up = Uplink(store.client, UplinkLimits(silence_ms=10))
        await up.append_speech(lease.keys, key="first", offset=0, pcm=b"aa", end=True)
        go_back = await store.snapshot(lease.keys)
        await up.append_speech(lease.keys, key="second", offset=0, pcm=b"bbbb", end=False)
        cursor = (await store.entries(lease.keys.up))[-1][0]
        await asyncio.sleep(0.05)
        await go_back()
        writer = store.writer(publisher, lease, UplinkProgress(cursor, 2, 4, "open", "second", TRACE))
        writer.restore("gone")
        await writer.drained()

        assert await up.find(lease.keys, key="first") == TurnInputState(1, 2, "ended", "first")
        assert await up.find(lease.keys, key="second") == TurnInputState(2, 4, "open", "second")
        assert await up.append_speech(lease.keys, key="second", offset=0, pcm=b"bbbbcc", end=True) == (2, 6)
        assert (await store.uplink(lease.keys))[1:] == [uplink.SpeechChunk(2, 4, b"cc", end=True)]
        assert (await read(store.client, lease.keys)).input_trace.encode() == TRACE
