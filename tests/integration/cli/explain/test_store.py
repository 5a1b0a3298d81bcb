"""The store: which frames of a conversation in a real Redis make a turn."""

import time
from collections.abc import AsyncIterator

import pytest
from tests.rigs.gateway import GatewayRig, open_gateways

from relay_cli.explain.store import ExplainError, explain
from relay_cli.explain.timeline import Timeline
from relay_redis.client import RedisClient
from relay_streams.keys import ConversationKeys
from relay_wire import events

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def rig(open_store) -> AsyncIterator[GatewayRig]:
    """A conversation with an owner."""
    async with open_store() as store, open_gateways(store) as rig:
        yield rig


async def explained(rig: GatewayRig, turn: int | None = None) -> Timeline:
    return await explain(rig.store.client, rig.keys, turn)


async def reason(client: RedisClient, keys: ConversationKeys, turn: int | None = None) -> str:
    with pytest.raises(ExplainError) as error:
        await explain(client, keys, turn)
    return str(error.value)


async def test_the_turns_of_a_stream(rig: GatewayRig) -> None:
    """The last one by default; the one before by its number; long ones are read page by page."""
    await rig.turn(1, frames=600)
    await rig.turn(2, frames=3)
    last, before = await explained(rig), await explained(rig, 1)

    assert (last.turn, last.frames, last.state) == (2, 5, "complete")
    assert (before.turn, before.frames, before.state) == (1, 602, "complete")
    assert last.owner == "worker"


async def test_entries_of_others_are_passed_over(rig: GatewayRig) -> None:
    """In either stream."""
    await rig.turn(1, frames=2)
    await rig.store.client.execute("XADD", rig.keys.down, f"{rig.generation}-99", "x", "y")
    await rig.store.client.execute("XADD", rig.keys.up, "*", "x", "y")

    assert (await explained(rig)).frames == 4


async def test_a_new_owner_within_the_turn(rig: GatewayRig) -> None:
    """Its frames continue the turn, with those outside any turn between them."""
    rig.publish(events.TurnStarted(), turn=1)
    rig.speak(1, b"ab")
    await rig.writer.drained()
    await rig.succeed()
    rig.publish(events.AudioOnly("owner_changed"), turn=1)
    rig.publish(events.TurnEnded("audio_only"), turn=1)
    await rig.writer.drained()
    found = await explained(rig)

    assert (found.frames, found.state) == (5, "audio_only")
    assert "owner changed" in [step.what for step in found.steps]
    assert "positions missing" not in [step.what for step in found.steps]


async def test_speech_that_waits(rig: GatewayRig) -> None:
    """While the uplink still has the turn's first speech, its time and its trace context are known."""
    client = rig.store.client
    entry_id = f"{int(time.time() * 1000) - 2000}-0"
    speech = ("k", "speech", "t", 1, "o", 0, "d", b"abcd", "traceparent", TRACE)
    await client.execute("XADD", rig.keys.up, entry_id, *speech)
    waiting = await reason(client, rig.keys)
    await rig.turn(1, frames=1)
    found = await explained(rig)

    assert "no turn has begun: the uplink has 1 entries (1 speech), the oldest for 2." in waiting
    assert found.steps[0].what == "speech stored"
    assert found.hops[0].seconds > 1.5
    assert found.trace_id == TRACE.split("-")[1]
    assert "4 bytes of speech of turn 1" in found.waiting


async def test_the_trace_of_a_turn_whose_speech_is_gone_from_the_uplink(rig: GatewayRig) -> None:
    """The record has that of the turn opened last, and no other."""
    await rig.turn(1, frames=1)
    await rig.turn(2, frames=1)
    await rig.store.client.execute("HSET", rig.keys.meta, "in_turn", 2, "in_trace", TRACE)

    assert (await explained(rig, 2)).trace_id == TRACE.split("-")[1]
    assert (await explained(rig, 1)).trace_id == ""


async def test_a_turn_whose_beginning_is_trimmed(rig: GatewayRig) -> None:
    """What is left is shown, with where it begins."""
    await rig.turn(1, frames=5)
    await rig.store.client.execute("XTRIM", rig.keys.down, "MINID", f"{rig.generation}-5")
    found = await explained(rig)

    assert found.first_position == f"{rig.generation}-5"
    assert found.steps[0].what == "trimmed"


async def test_turns_that_are_trimmed(rig: GatewayRig) -> None:
    """The reason has what the stream still keeps."""
    client = rig.store.client
    for turn in (1, 2, 3):
        await rig.turn(turn, frames=1)
    first = (await client.execute("HGET", rig.keys.meta, "turn_before")).decode()
    await client.execute("XTRIM", rig.keys.down, "MINID", first)
    assert f"turn 1 is trimmed: the stream begins at {first}, in turn 2" in await reason(client, rig.keys, 1)

    await client.execute("DEL", rig.keys.down)
    assert "turn 3 is trimmed: the stream is empty" in await reason(client, rig.keys)


async def test_records_that_cannot_be_used(rig: GatewayRig) -> None:
    """Absent, damaged, without an owner, and a turn that is not there."""
    client, space = rig.store.client, rig.store.keys
    await rig.turn(1, frames=1)
    assert "turn 2 has not begun; the last is 1: nothing waits in the uplink; its owner is" in (
        await reason(client, rig.keys, 2)
    )  # fmt: skip
    assert "no record of conversation missing" in await reason(client, space.conversation("missing"))
    assert "it has no owner yet" in await reason(client, await rig.store.create())
    await client.execute("HSET", rig.keys.meta, "turn", "many")
    assert rig.keys.id in await reason(client, rig.keys)
