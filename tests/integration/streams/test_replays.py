"""The conversation of a replay: owned, apart from all others, and gone when nobody renews it."""

import pytest
from tests.rigs.recorded import conversation

from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.errors import Missing
from relay_streams.replays import KEEP_MS, ReplayConversation
from relay_wire.frame import Codec
from relay_wire.position import Position

FRAMES = conversation(5, 9)


def record(name: str) -> Conversation:
    return Conversation(name, "open", "ava", 16000, Codec.PCM_S16LE, 1, recorded=True)


async def test_frames_keep_their_positions(open_store) -> None:
    """Those of all owners, byte for byte; the record has what was written with them."""
    async with open_store() as store:
        replay = ReplayConversation(store.client, store.keys.conversation("r"))
        assert await replay.begin(record("r"))
        await replay.append(FRAMES[:10], {"tail": "9-1", "generation": 9})
        await replay.append(FRAMES[10:], trim_to=Position(5, 3))

        entries = await store.entries(replay.keys.down)
        assert [fields[b"f"] for _, fields in entries] == FRAMES[2:]
        assert [entry for entry, _ in entries][:8] == [f"5-{seq}" for seq in range(3, 10)] + ["9-1"]
        found = await conversations.read(store.client, replay.keys)
        assert (found.last_position, found.generation, found.recorded) == (Position(9, 1), 9, False)


async def test_no_worker_claims_it(open_store) -> None:
    """It is in no queue, and has an owner for whoever asks."""
    async with open_store() as store:
        replay = ReplayConversation(store.client, store.keys.conversation("r"))
        await replay.begin(record("r"))
        partition = store.keys.shared(replay.keys.partition)

        assert await store.registry().dequeue(partition, 10) == []
        assert await store.registry().repair(partition, 0) == 0
        assert (await conversations.attendance(store.client, replay.keys)).waits_s is None


async def test_an_existing_conversation_is_not_touched(open_store) -> None:
    """Whatever is left of one."""
    async with open_store() as store:
        keys = await store.create()
        before = await store.client.execute("HGETALL", keys.meta)
        assert not await ReplayConversation(store.client, keys).begin(record(keys.id))
        assert await store.client.execute("HGETALL", keys.meta) == before

        other = store.keys.conversation("other")
        await store.client.execute("XADD", other.down, "5-1", "f", FRAMES[0])
        assert not await ReplayConversation(store.client, other).begin(record("other"))


async def test_a_viewer_is_noticed(open_store) -> None:
    """As soon as a gateway has reported one."""
    async with open_store() as store:
        replay = ReplayConversation(store.client, store.keys.conversation("r"))
        await replay.begin(record("r"))
        assert not await replay.is_watched()
        await conversations.attendance(store.client, replay.keys, watched=False)
        assert not await replay.is_watched()

        await conversations.attendance(store.client, replay.keys, watched=True)

        assert await replay.is_watched()


async def test_every_key_expires(open_store) -> None:
    """Also what viewers have written, and a replay that was killed leaves nothing."""
    async with open_store() as store:
        replay = ReplayConversation(store.client, store.keys.conversation("r"))
        await replay.begin(record("r"))
        await store.client.execute("XADD", replay.keys.up, "*", "k", "playback")
        await replay.append(FRAMES)

        for key in (replay.keys.meta, replay.keys.down, replay.keys.lease, replay.keys.up):
            assert 0 < await store.client.execute("PTTL", key) <= KEEP_MS

        await store.client.execute("DEL", replay.keys.lease)
        with pytest.raises(Missing):
            await replay.append([])


async def test_the_end(open_store) -> None:
    """Backends and viewers find a conversation that has ended."""
    async with open_store() as store:
        replay = ReplayConversation(store.client, store.keys.conversation("r"))
        await replay.begin(record("r"))
        await replay.end()

        assert (await conversations.read(store.client, replay.keys)).state == "ended"
