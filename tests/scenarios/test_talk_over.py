"""Talking over the avatar: what interrupts it, and what an agent may do afterwards; on every server."""

import pytest

from relay_streams.errors import Fenced, TurnClosed
from relay_streams.scripts.append_speech import SpeakerFence
from relay_streams.uplink import Uplink
from relay_wire import uplink

TURN = uplink.SpeechChunk(1, 0, b"aa", end=True)


async def last_id(store, keys) -> str:
    return (await store.entries(keys.up))[-1][0]


@pytest.mark.parametrize(
    ("talk_over", "interrupted_by"),
    [("never", set()), ("requests", {"text", "sample"}), ("always", {"text", "sample", "mic"})],
)
async def test_what_interrupts(open_store, talk_over, interrupted_by) -> None:
    """The interrupt is in the stream before what caused it, and cancels the turns opened so far."""
    async with open_store() as store:
        up = Uplink(store.client)
        for kind in ("text", "sample", "mic"):
            keys = await store.create(talk_over=talk_over, agent="echo")
            await up.append_speech(keys, offset=0, pcm=b"aa", end=True)
            entry = {
                "text": uplink.Text("hi"),
                "sample": uplink.ClipRequest("hi"),
                "mic": uplink.Microphone(b"hi"),
            }[kind]
            for _ in range(2):
                if kind == "text":
                    await up.append(keys, uplink.Text("hi"))
                elif kind == "sample":
                    await up.append(keys, uplink.ClipRequest("hi"))
                else:
                    await up.append(keys, uplink.Microphone(b"hi"))
            first = [uplink.Interrupt(1, "viewer")] if kind in interrupted_by else []
            assert await store.uplink(keys) == [TURN, *first, entry, entry], "once per turn"


@pytest.mark.parametrize(
    ("agent", "accepts", "interrupts"),
    [
        ("clips", "sample", False),
        ("clips", "-", False),
        ("clips", "mic text", True),
        ("clips", "", True),
        ("push", "-", True),
    ],
)
async def test_a_message_without_an_answer_interrupts_nothing(
    open_store, agent: str, accepts: str, *, interrupts: bool
) -> None:
    """A text that the agent does not accept is appended alone; with push it is for the backend to answer."""
    async with open_store() as store:
        up = Uplink(store.client)
        keys = await store.create(talk_over="requests", agent=agent, accepts=accepts)
        await up.append_speech(keys, offset=0, pcm=b"aa", end=True)
        receipt = await up.append(keys, uplink.Text("hi"))
        first = [uplink.Interrupt(1, "viewer")] if interrupts else []
        assert await store.uplink(keys) == [TURN, *first, uplink.Text("hi")]
        assert receipt == (1, "text" in accepts if accepts else None)


async def test_silence_interrupts_nothing(open_store) -> None:
    """The end of microphone audio interrupts nothing; nor does any message before the first turn."""
    async with open_store() as store:
        up = Uplink(store.client)
        keys = await store.create(talk_over="always")
        await up.append(keys, uplink.Microphone(b"hi"))
        await up.append_speech(keys, offset=0, pcm=b"aa", end=True)
        await up.append(keys, uplink.Microphone(b"", end=True))
        assert await store.uplink(keys) == [
            uplink.Microphone(b"hi"),
            TURN,
            uplink.Microphone(b"", end=True),
        ]


async def test_talking_over_an_open_turn_cuts_it(open_store) -> None:
    """Whoever speaks it learns that at its next chunk."""
    async with open_store() as store:
        up = Uplink(store.client)
        keys = await store.create(talk_over="requests")
        await up.append_speech(keys, offset=0, pcm=b"aa", end=False)
        await up.append(keys, uplink.Text("stop"))
        with pytest.raises(TurnClosed):
            await up.append_speech(keys, turn=1, offset=2, pcm=b"aa", end=False)


async def test_an_agent_that_missed_an_interrupt_opens_nothing(open_store) -> None:
    """In every order of the two, nothing is spoken after the interrupt."""
    async with open_store() as store:
        up = Uplink(store.client)
        keys = await store.create(agent="echo")
        generation = (await store.claim(keys)).generation
        unaware = SpeakerFence(generation, "0-0")
        await up.append(keys, uplink.Interrupt(reason="viewer"))
        with pytest.raises(TurnClosed):
            await up.append_speech(keys, offset=0, pcm=b"aa", end=True, fence=unaware)
        aware = SpeakerFence(generation, await last_id(store, keys))
        assert await up.append_speech(keys, offset=0, pcm=b"aa", end=True, fence=aware) == (1, 2)


async def test_a_backend_that_barges_in_is_an_interrupt_to_agents(open_store) -> None:
    """A backend's barge-in rejects the turn that the agent is about to open; an agent's own does not."""
    async with open_store() as store:
        up = Uplink(store.client)
        keys = await store.create(agent="echo")
        unaware = SpeakerFence((await store.claim(keys)).generation, "0-0")
        for turn in (1, 2):
            spoken = await up.append_speech(keys, offset=0, pcm=b"aa", end=True, barge_in=True, fence=unaware)
            assert spoken.turn == turn
        await up.append_speech(keys, offset=0, pcm=b"aa", end=True, barge_in=True)
        with pytest.raises(TurnClosed):
            await up.append_speech(keys, offset=0, pcm=b"aa", end=True, fence=unaware)


async def test_a_replaced_owners_agent_is_fenced(open_store) -> None:
    """Neither a new turn nor the rest of one enters."""
    async with open_store() as store:
        up = Uplink(store.client)
        keys = await store.create(agent="echo")
        old = await store.claim(keys)
        fence = SpeakerFence(old.generation, "0-0")
        await up.append_speech(keys, offset=0, pcm=b"aa", end=False, fence=fence)
        await store.registry().release(old)
        new = await store.claim(keys, "heir")
        assert (new.conversation.input_state, new.conversation.agent) == ("open", "echo")
        for turn, offset in ((1, 2), (0, 0)):
            with pytest.raises(Fenced) as refusal:
                await up.append_speech(keys, turn=turn, offset=offset, pcm=b"bb", end=True, fence=fence)
            assert refusal.value.generation == new.generation
        assert await up.append_speech(keys, turn=1, offset=2, pcm=b"bb", end=True) == (1, 4)
