"""Which messages an agent accepts: written by the claim, returned by the append; on every server."""

from collections.abc import Mapping

import pytest

from relay_streams.conversations import read
from relay_streams.uplink import Uplink
from relay_wire import uplink

AGENTS = {"push": "-", "echo": "mic text"}


@pytest.mark.parametrize(
    ("agent", "accepted", "expected"),
    [
        ("echo", AGENTS, "mic text"),
        ("push", AGENTS, "-"),
        ("elsewhere", AGENTS, "-"),
        ("echo", {}, ""),
    ],
)
async def test_a_claim(open_store, agent: str, accepted: Mapping[str, str], expected: str) -> None:
    """The record has what the owner's agent of that name accepts; a claim without agents writes nothing."""
    async with open_store() as store:
        keys, up = await store.create(agent=agent), Uplink(store.client)
        assert await up.accepts(keys) == ""
        lease = await store.claim(keys, accepted=accepted)
        assert await up.accepts(keys) == lease.conversation.accepts == expected
        assert (await read(store.client, keys)).accepts == expected


async def test_a_receipt(open_store) -> None:
    """Not known before the first owner; then by kind; a process that runs no agent leaves it as it is."""
    async with open_store() as store:
        keys, up = await store.create(agent="echo"), Uplink(store.client)
        assert (await up.append(keys, uplink.Text("hi"))).accepted is None
        lease = await store.claim(keys, accepted=AGENTS)
        assert (await up.append(keys, uplink.Text("hi"))).accepted is True
        assert (await up.append(keys, uplink.Microphone(b"ab"))).accepted is True
        assert (await up.append(keys, uplink.ClipRequest("hi"))).accepted is False
        await store.registry().release(lease)
        await store.claim(keys, "reaper")
        assert (await up.append(keys, uplink.Text("hi"))).accepted is True


async def test_a_restored_record(open_store) -> None:
    """What the owner's agent accepts is among the fields that it writes again."""
    async with open_store() as store:
        lease = await store.claim(await store.create(agent="echo"), accepted=AGENTS)
        fields = lease.conversation.founding_fields()
        assert dict(zip(fields[::2], fields[1::2], strict=True))["accepts"] == "mic text"


async def test_an_agent_that_has_stopped(open_store) -> None:
    """It accepts nothing any more; a replaced owner's changes nothing, nor that of a lost record."""
    async with open_store() as store:
        keys, up = await store.create(agent="echo"), Uplink(store.client)
        old = await store.claim(keys, accepted=AGENTS)
        await up.stop_agent(keys, generation=old.generation)
        assert (await up.append(keys, uplink.Text("hi"))).accepted is False
        await store.registry().release(old)
        new = await store.claim(keys, "heir", accepted=AGENTS)
        await up.stop_agent(keys, generation=old.generation)
        assert (await up.append(keys, uplink.Text("hi"))).accepted is True
        await store.client.execute("DEL", keys.meta)
        await up.stop_agent(keys, generation=new.generation)
        assert not await store.client.execute("EXISTS", keys.meta)
