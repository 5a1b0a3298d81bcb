"""Turns posted whole: accepted or refused, and each spoken once however often posted; on every server."""

import asyncio
import io
import random
import wave
from collections.abc import AsyncIterator

import aiohttp
import pytest

from relay_redis.client import RedisClient
from relay_streams.scripts import SCHEMA
from relay_streams.turn_input import CHUNKS_AT_ONCE, SKIPPED_BYTES
from relay_wire import uplink


def a_wav(pcm: bytes, *, rate: int = 16000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(pcm)
    return file.getvalue()


async def test_a_wav_is_a_turn(open_rig) -> None:
    """Cut into frames' worth, numbered, its samples untouched."""
    async with open_rig() as rig:
        conversation = await rig.create()
        pcm = bytes(range(256)) * 50

        status, answer = await rig.speak(conversation, a_wav(pcm), "audio/wav")

        assert (status, answer) == (202, {"turn": 1, "audio_bytes": len(pcm), "audio_ms": 400})
        speech = await rig.up_entries(conversation)
        assert b"".join(chunk.pcm for chunk in speech) == pcm
        assert [len(chunk.pcm) for chunk in speech] == [3200] * 4
        assert [chunk.end for chunk in speech] == [False, False, False, True]


async def test_turns_are_numbered(open_rig) -> None:
    """One after the other; barging in is passed on."""
    async with open_rig() as rig:
        conversation = await rig.create()
        turns = [(await rig.speak(conversation, b"\x00\x01"))[1]["turn"] for _ in range(3)]
        await rig.speak(conversation, b"\x00\x01", query="?barge_in=true")

        assert turns == [1, 2, 3]
        assert [chunk.barge_in for chunk in await rig.up_entries(conversation)] == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "problem"),
    [
        (b"", "audio/wav", 400, "empty-audio"),
        (b"", "audio/pcm", 400, "empty-audio"),
        (b"plainly not", "audio/wav", 400, "not-a-wav"),
        (a_wav(bytes(400), channels=2), "audio/wav", 422, "unsupported-audio"),
        (a_wav(bytes(400), rate=11025), "audio/wav", 422, "unsupported-audio"),
        (a_wav(bytes(400), rate=48000), "audio/wav", 422, "unsupported-audio"),
        (b"\x00\x01\x02", "audio/pcm", 422, "unsupported-audio"),
        (b"\x00\x01", "text/plain", 415, "unsupported-media"),
    ],
)
async def test_bad_audio(open_rig, body: bytes, content_type: str, status: int, problem: str) -> None:
    """Refused before anything is spoken: no turn is opened for it."""
    async with open_rig() as rig:
        conversation = await rig.create()
        got, answer = await rig.speak(conversation, body, content_type)

        assert (got, answer["type"]) == (status, f"urn:avatar-relay:problem:{problem}")
        assert await rig.up_entries(conversation) == []
        assert (await rig.speak(conversation, b"\x00\x01"))[1]["turn"] == 1


@pytest.mark.lingers
async def test_200_megabytes(open_rig) -> None:
    """Refused by its announced size without reading it, and by its real size when none is announced."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(2**20)

    async with open_rig() as rig:
        conversation = await rig.create()
        status, answer = await rig.speak(conversation, io.BytesIO(bytes(200 * 2**20)))
        assert (status, answer["type"]) == (413, "urn:avatar-relay:problem:too-large")
        try:
            status, answer = await rig.speak(conversation, endless())
        except aiohttp.ClientError:
            status = 413  # it hung up while we were still sending
        assert status == 413
        assert await rig.up_entries(conversation) == []
        assert (await rig.speak(conversation, b"\x00\x01"))[0] == 202


async def test_a_flag_that_is_none(open_rig) -> None:
    """?barge_in=perhaps."""
    async with open_rig() as rig:
        status, answer = await rig.speak(await rig.create(), b"\x00\x01", query="?barge_in=perhaps")

        assert (status, answer["field"]) == (422, "barge_in")


async def test_a_turn_while_another_is_spoken(open_rig) -> None:
    """409, with the turn in the way; barging in goes through."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await socket.receive_str(timeout=5)
            status, answer = await rig.speak(conversation, b"\x00\x01")
            assert (status, answer["turn"]) == (409, 1)
            assert (await rig.speak(conversation, b"\x00\x01", query="?barge_in=true"))[1]["turn"] == 2


async def test_a_queue_that_is_full(open_rig) -> None:
    """The turn waits for room, then is cancelled as a whole: no half turn is spoken."""
    async with open_rig(uplink_entries=64, uplink_wait_s=0.2, audio_chunk_ms=10) as rig:
        conversation = await rig.create()
        status, answer, headers = await rig.call(
            "POST", f"/v1/conversations/{conversation}/turns", data=bytes(320 * 100),
            headers={"Content-Type": "audio/pcm"},
        )  # fmt: skip

        assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:uplink-full")
        assert headers["Retry-After"] == "5"
        assert (await rig.up_entries(conversation))[-1] == uplink.Interrupt(1, "uplink_full")


async def test_after_the_end(open_rig) -> None:
    """A closing conversation accepts no turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        await rig.call("DELETE", f"/v1/conversations/{conversation}")

        assert (await rig.speak(conversation, b"\x00\x01"))[0] == 410
        assert (await rig.call("POST", f"/v1/conversations/{conversation}/interrupt"))[0] == 410
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await rig.socket(conversation)
        assert refused.value.status == 410


async def test_interrupting(open_rig) -> None:
    """Every turn so far is meant."""
    async with open_rig() as rig:
        conversation = await rig.create()
        await rig.speak(conversation, b"\x00\x01")
        status, answer, _ = await rig.call("POST", f"/v1/conversations/{conversation}/interrupt")

        assert (status, answer) == (202, {"interrupted_upto": 1})
        assert (await rig.up_entries(conversation))[-1] == uplink.Interrupt(1, "backend")


async def test_a_callers_trace_goes_with_the_turn(open_rig) -> None:
    """W3C trace context, on the turn's first entry."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with open_rig() as rig:
        conversation = await rig.create()
        await rig.call(
            "POST", f"/v1/conversations/{conversation}/turns", data=bytes(6400),
            headers={"Content-Type": "audio/pcm", "traceparent": parent, "tracestate": "v=1"},
        )  # fmt: skip
        first, second = await rig.up_entries(conversation)

        assert first.traceparent.split("-")[1] == parent.split("-")[1]
        assert (first.tracestate, second.traceparent) == ("v=1", "")


# --- idempotency keys ----------------------------------------------------------------------------


async def test_a_key_is_one_turn(open_rig) -> None:
    """Posted again: the same answer, no second turn; another key, or none, is another turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        pcm = bytes(range(256)) * 400
        first = await rig.speak(conversation, pcm, key="k")
        skipped = SKIPPED_BYTES._value.get()

        assert [await rig.speak(conversation, pcm, key="k") for _ in range(3)] == [first] * 3
        assert SKIPPED_BYTES._value.get() - skipped == 3 * (len(pcm) - 3200 * CHUNKS_AT_ONCE), (
            "one notification"
        )
        assert (await rig.speak(conversation, pcm, key="l"))[1]["turn"] == 2
        assert (await rig.speak(conversation, pcm))[1]["turn"] == 3
        assert await rig.speak(conversation, a_wav(pcm), "audio/wav", "?barge_in=true", key="k") == first
        assert await rig.audio(conversation) == {1: pcm, 2: pcm, 3: pcm}


async def test_posted_at_once(open_rig) -> None:
    """Attempts that overlap help each other: one turn, each byte once."""
    async with open_rig(audio_chunk_ms=10) as rig:
        conversation = await rig.create()
        pcm = bytes(index * index % 251 for index in range(320 * 60))
        answers = await asyncio.gather(*(rig.speak(conversation, pcm, key="k") for _ in range(5)))

        assert answers == [(202, {"turn": 1, "audio_bytes": len(pcm), "audio_ms": 600})] * 5
        assert await rig.audio(conversation) == {1: pcm}
        assert [entry.end for entry in await rig.up_entries(conversation)].count(True) == 1


@pytest.mark.parametrize("length", [2, 9_998, 10_002, 20_000])
async def test_a_key_with_other_audio(open_rig, length: int) -> None:
    """422 with the turn that has it."""
    async with open_rig() as rig:
        conversation = await rig.create()
        await rig.speak(conversation, bytes(10_000), key="k")
        status, answer = await rig.speak(conversation, bytes(length), key="k")

        assert (status, answer["type"]) == (422, "urn:avatar-relay:problem:idempotency-mismatch")
        assert answer["turn"] == 1
        assert await rig.audio(conversation) == {1: bytes(10_000)}


@pytest.mark.parametrize("key", ["", "a b", "k" * 129, "\u00e9"])
async def test_a_key_that_is_none(open_rig, key: str) -> None:
    """1 to 128 visible ASCII characters."""
    async with open_rig() as rig:
        conversation = await rig.create()
        status, answer = await rig.speak(conversation, b"\x00\x01", key=key)

        assert (status, answer["field"]) == (422, "Idempotency-Key")
        assert (await rig.speak(conversation, b"\x00\x01", key="k" * 128))[0] == 202


async def test_a_cancelled_turn_posted_again(open_rig) -> None:
    """409: it is not spoken after all. A turn that was complete before stays accepted."""
    async with open_rig(uplink_entries=64, uplink_wait_s=0.1, audio_chunk_ms=10) as rig:
        conversation = await rig.create()
        assert (await rig.speak(conversation, bytes(320), key="complete"))[0] == 202
        assert (await rig.speak(conversation, bytes(320 * 100), key="half"))[0] == 503
        await rig.call("POST", f"/v1/conversations/{conversation}/interrupt")
        status, answer = await rig.speak(conversation, bytes(320 * 100), key="half")

        assert (status, answer["turn"]) == (409, 2)
        assert (await rig.speak(conversation, bytes(320), key="complete"))[1]["turn"] == 1


async def test_a_full_queue_is_gone_on_with(open_rig) -> None:
    """With a key nothing is cancelled: posting again appends the rest."""
    async with open_rig(uplink_entries=64, uplink_wait_s=0.1, audio_chunk_ms=10) as rig:
        conversation = await rig.create()
        pcm = bytes(index % 241 for index in range(320 * 100))
        status, answer = await rig.speak(conversation, pcm, key="k")
        assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:uplink-full")
        audio = await rig.audio(conversation)
        await rig.store.client.execute("XTRIM", rig.store.keys.conversation(conversation).up, "MAXLEN", "0")

        assert (await rig.speak(conversation, pcm, key="k"))[1]["turn"] == 1
        rest = [entry.pcm for entry in await rig.up_entries(conversation)]
        assert audio[1] + b"".join(rest) == pcm


@pytest.mark.lingers
async def test_a_body_cut_in_the_middle(open_rig) -> None:
    """Nothing of it is spoken; posted again it is, once."""

    async def cut() -> AsyncIterator[bytes]:
        yield bytes(1000)
        raise ConnectionError

    async with open_rig() as rig:
        conversation = await rig.create()
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await rig.speak(conversation, cut(), key="k")
        assert await rig.up_entries(conversation) == []

        assert (await rig.speak(conversation, bytes(4000), key="k"))[1]["turn"] == 1
        assert await rig.audio(conversation) == {1: bytes(4000)}


async def test_redis_cut_while_posting(open_rig) -> None:
    """Outcomes unknown at random points, the opening too: the turn is in once, whatever was answered."""
    dice = random.Random(6)
    async with (
        open_rig(audio_chunk_ms=10) as rig,
        RedisClient(rig.store.url, SCHEMA, name="saboteur") as saboteur,
    ):
        # Another client than control's, whose connection is cut.
        for turn in range(1, 7):
            conversation = await rig.create()
            pcm = dice.randbytes(320 * 80)

            post = asyncio.create_task(rig.speak(conversation, pcm, key=f"k{turn}"))
            while not post.done():
                await saboteur.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(dice.random() * 0.05)
            status, answer = post.result()
            while status == 503:
                status, answer = await rig.speak(conversation, pcm, key=f"k{turn}")
            assert (status, answer["turn"]) == (202, 1)
            assert await rig.audio(conversation) == {1: pcm}


async def test_too_few_replicas(open_rig) -> None:
    """503 with that reason. Posting again, when there are enough replicas, repeats nothing."""
    async with open_rig(redis_replicas=1, redis_replicas_wait_s=0.05, uplink_wait_s=0.1) as rig:
        conversation = await rig.create()
        status, answer = await rig.speak(conversation, b"\x00\x01", key="k")

        assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:store-unavailable")
        assert "replicas" in answer["detail"]
        assert await rig.audio(conversation) == {1: b"\x00\x01"}
