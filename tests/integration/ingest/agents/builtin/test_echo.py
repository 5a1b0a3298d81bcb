"""Echo beside a real owner, with what the vendor's clients send of each generation (facts, corrections)."""

import math
import struct
from itertools import pairwise
from typing import Any

import pytest
from tests.rigs.audio import RATE
from tests.rigs.ingest import open_workers
from tests.rigs.store import at_clean_store

from relay_streams.keys import ConversationKeys
from relay_wire import events, uplink
from relay_wire.pcm import chunks

PIECE = RATE * 2 // 10
MARGIN = bytes(RATE * 2 // 5)


def voice(seconds: float, rate: int = RATE) -> bytes:
    """A tone, which stands for a voice."""
    samples = (8000 * math.sin(2 * math.pi * 440 * index / rate) for index in range(int(seconds * rate)))
    return b"".join(struct.pack("<h", round(sample)) for sample in samples)


def crossings(pcm: bytes) -> int:
    """How often half a second of a tone rises through zero, twice: its pitch in Hz."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    return 2 * sum(one < 0 <= other for one, other in pairwise(samples))


VOICE = voice(0.5)


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig() as rig``: see ``open_workers``."""
    return at_clean_store(open_store, open_workers)


async def talk(rig: Any, keys: ConversationKeys, pcm: bytes) -> None:
    """Microphone audio, in the pieces that the clients send."""
    for piece in chunks(pcm, PIECE):
        await rig.up.append(keys, uplink.Microphone(piece))


async def test_silence_ends_an_utterance(open_rig) -> None:
    """An open microphone without ``mic_end``: the voice comes back, without the silence; and once more."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="requests")
        for turn in (1, 2):
            await talk(rig, keys, bytes(2 * RATE) + VOICE + bytes(2 * RATE))
            assert await rig.until_outcome(keys, turn) == "complete"
            assert await rig.audio(keys, turn) == MARGIN + VOICE + MARGIN


async def test_audio_that_stops_arriving_ends_an_utterance(open_rig) -> None:
    """A client that stops sending without a word gets its answer, too; one that was silent gets none."""
    async with open_rig(agent_echo_gap_s=0.3) as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="requests")
        await talk(rig, keys, bytes(2 * RATE))
        await talk(rig, keys, VOICE)
        assert await rig.until_outcome(keys, 1) == "complete"
        assert await rig.audio(keys, 1) == MARGIN + VOICE


async def test_the_end_that_a_client_marks_is_an_end(open_rig) -> None:
    """Waiting for nothing, whatever the limits; the silence before it is not repeated."""
    async with open_rig(agent_echo_gap_s=300.0, agent_echo_silence_s=300.0) as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="requests")
        await talk(rig, keys, bytes(2 * RATE) + VOICE + bytes(2 * RATE))
        await rig.up.append(keys, uplink.Microphone(b"", end=True))
        assert await rig.until_outcome(keys, 1) == "complete"
        assert await rig.audio(keys, 1) == MARGIN + VOICE + bytes(2 * RATE)


async def test_an_interrupt_discards_what_was_recorded(open_rig) -> None:
    """The utterance after it comes back alone."""
    async with open_rig(agent_echo_gap_s=300.0) as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="requests")
        await talk(rig, keys, VOICE)
        await rig.up.append(keys, uplink.Interrupt(reason="viewer"))
        await talk(rig, keys, voice(0.7) + bytes(2 * RATE))
        assert await rig.until_outcome(keys, 1) == "complete"
        assert await rig.audio(keys, 1) == voice(0.7) + MARGIN


async def test_a_microphone_of_another_rate(open_rig) -> None:
    """The vendor's clients record at 16 kHz whatever the conversation speaks at: the pitch is kept."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="requests", sample_rate=24_000)
        for piece in chunks(VOICE + bytes(2 * RATE), PIECE):
            await rig.up.append(keys, uplink.Microphone(piece, sample_rate=RATE))
        assert await rig.until_outcome(keys, 1) == "complete"
        assert crossings(await rig.audio(keys, 1)) == pytest.approx(440, rel=0.02)

        await talk(rig, keys, bytes(24_000) + voice(0.5, 24_000) + bytes(48_000))
        assert await rig.until_outcome(keys, 2) == "complete"
        assert await rig.audio(keys, 2) == bytes(9600) + voice(0.5, 24_000) + bytes(9600)


@pytest.mark.parametrize("text", ["hello", "", "   "])
async def test_typed_text_is_answered(open_rig, text: str) -> None:
    """With the text as a transcript, and sound with motion, however little there is to say."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="requests")
        await rig.up.append(keys, uplink.Text(text))
        assert await rig.until_outcome(keys, 1) == "complete"
        assert events.Transcript("assistant", text) in await rig.published(keys)
        assert any(await rig.audio(keys, 1))


async def test_a_text_cuts_what_is_spoken_and_is_answered(open_rig) -> None:
    """As a request does: the sound of the second text follows."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="requests")
        for turn in (1, 2):
            await rig.up.append(keys, uplink.Text(f"number {turn}" * 20))
            assert await rig.until_outcome(keys, turn) == "complete"
        assert (await rig.published(keys, 1))[-1] == events.Interrupted("viewer")
