"""Keys of turns: one turn for each key, found by key or number, also after a fail-over; on every server."""

import asyncio
from collections.abc import Sequence

import pytest

from relay_streams.conversations import read
from relay_streams.errors import InputMismatch, OffsetGap, TurnClosed, UplinkFull
from relay_streams.keys import ConversationKeys
from relay_streams.leases import UplinkProgress
from relay_streams.publisher import Publisher
from relay_streams.scripts.find_turn import TurnInputState
from relay_streams.turn_input import TurnInput
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


def clip_input(up: Uplink, keys: ConversationKeys, motion: Sequence[Sequence[bytes]]) -> TurnInput:
    """The input of a clip in chunks of two bytes."""
    return TurnInput(
        uplink=up, keys=keys, source="clip", wait_s=5, chunk_bytes=2, buffer_bytes=0, key="k", motion=motion
    )


async def test_a_clip_takes_its_motion_along(open_store) -> None:
    """Each entry has its chunk's motion; what is appended already is skipped with its motion."""
    pcm, motion = b"aabbc", ((b"1", b"2"), (), (b"3",))
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)

        first = await up.append_speech(keys, key="k", offset=0, pcm=b"aa", end=False, motion=motion[:1])
        clip, again = clip_input(up, keys, motion), clip_input(up, keys, motion)
        await clip.append(pcm, end=True)
        await again.append(pcm, end=True)

        assert (first.turn, clip.turn, clip.offset) == (1, 1, 5)
        assert await store.uplink(keys) == [
            uplink.SpeechChunk(1, 0, b"aa", key="k", motion=motion[0]),
            uplink.SpeechChunk(1, 2, b"bb", motion=()),
            uplink.SpeechChunk(1, 4, b"c", end=True, motion=motion[2]),
        ]


async def test_motion_counts_in_the_uplink(open_store) -> None:
    """A clip whose motion is larger than the free bytes waits as its audio does, chunk by chunk."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(bytes=100))
        motion = ((bytes(40),), (bytes(40),), (bytes(40),))

        part = await up.append_speech(
            keys, key="k", offset=0, pcm=b"aabbcc", end=True, entry_bytes=2, motion=motion
        )
        with pytest.raises(UplinkFull):
            await up.append_speech(keys, key="k", offset=4, pcm=b"cc", end=True, motion=motion[2:])
        await store.client.execute("XTRIM", keys.up, "MAXLEN", "0")
        rest = await up.append_speech(keys, key="k", offset=4, pcm=b"cc", end=True, motion=motion[2:])

        assert (part.offset, rest.offset) == (4, 6)


async def test_a_key_of_other_chunks_speaks_no_clip(open_store) -> None:
    """Audio of the key ends within a chunk: the motion would not fit what is appended."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(keys, key="k", offset=0, pcm=b"aaa", end=False)

        with pytest.raises(InputMismatch):
            await clip_input(up, keys, ((b"1",),) * 2).append(b"aabb", end=True)
