"""Resuming a turn over another audio socket: each byte is appended once; on every server."""

import asyncio
import os
import random
import socket as sockets

import aiohttp
import pytest

from relay_streams.turn_input import WAITS
from relay_wire import audio_socket
from relay_wire.audio_socket import Ack, Ended, Interrupted, Start, Turn


def cut(socket: aiohttp.ClientWebSocketResponse, how: str) -> None:
    """Break a connection: at once, or the way the kernel closes it when its process dies."""
    if how == "abort":
        socket._conn.transport.abort()
    else:
        raw = socket._conn.transport.get_extra_info("socket")
        with sockets.socket(fileno=os.dup(raw.fileno())) as connection:
            connection.shutdown(sockets.SHUT_RDWR)


@pytest.mark.parametrize("how", ["abort", "shutdown"])
async def test_a_broken_connection_leaves_the_turn_open(open_rig, how: str) -> None:
    """The speaker resumes by the turn's number, at the acknowledged byte."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"abcd")
            assert await rig.answers(socket, 2) == [Turn(1), Ack(1, 4)]
            cut(socket, how)
        await rig.no_speakers()
        assert await rig.input(conversation) == (1, 4, "open")

        async with rig.socket(conversation) as socket:
            await rig.send(socket, Start(turn=1))
            assert await rig.answers(socket, 1) == [Ack(1, 4)]
            await socket.send_bytes(b"efgh")
            await rig.send(socket, audio_socket.End())
            assert await rig.answers(socket, 2) == [Ack(1, 8), Ended(1, 8)]
        assert await rig.audio(conversation) == {1: b"abcdefgh"}


async def test_cut_at_random_points(open_rig) -> None:
    """Whatever was on its way: the audio that is in is the audio that was given, once."""
    dice = random.Random(20)
    async with open_rig() as rig:
        conversation = await rig.create()
        expected = {}
        for turn in range(1, 6):
            pcm = expected[turn] = dice.randbytes(dice.randrange(1000, 60_000) * 2)
            start = Start(key=f"turn-{turn}")
            state: audio_socket.ToSpeaker = Ack(0, 0)
            cuts = 12
            while not isinstance(state, Ended):
                async with rig.socket(conversation) as socket:
                    await rig.send(socket, start)
                    [state] = await rig.answers(socket, 1)
                    if isinstance(state, Ended):
                        break
                    offset, cuts = state.offset, cuts - 1
                    stop = dice.randrange(offset, len(pcm) + 1) if cuts > 0 else len(pcm)
                    while offset < stop:
                        size = dice.randrange(1, 5000)
                        await socket.send_bytes(pcm[offset : min(offset + size, stop)])
                        offset += size
                    if stop == len(pcm):
                        await rig.send(socket, audio_socket.End())
                    if dice.random() < 0.5:
                        await asyncio.sleep(dice.random() * 0.01)
                    if cuts > 0:
                        cut(socket, dice.choice(["abort", "shutdown"]))
                    else:
                        while not isinstance(state, Ended):
                            [state] = await rig.answers(socket, 1)
            assert state == Ended(turn, len(pcm))

        assert await rig.audio(conversation) == expected


async def test_a_key_that_is_new(open_rig) -> None:
    """Answered, too: nothing of it is in. The first audio opens its turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await rig.send(socket, Start(key="k"))
            await socket.send_bytes(b"ab")
            await rig.send(socket, audio_socket.End())
            assert await rig.answers(socket, 4) == [Ack(0, 0), Turn(1), Ack(1, 2), Ended(1, 2)]


@pytest.mark.parametrize("start", [Start(turn=1), Start(key="k")])
async def test_a_turn_that_is_complete(open_rig, start: Start) -> None:
    """It receives `ended`; audio is discarded until the next start, and opens no turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        await rig.speak(conversation, b"abcd", key="k")
        await rig.speak(conversation, b"efgh")
        async with rig.socket(conversation) as socket:
            await rig.send(socket, start)
            await socket.send_bytes(b"abcd")
            await rig.send(socket, Start(key="next"))
            assert await rig.answers(socket, 2) == [Ended(1, 4), Ack(0, 0)]
            await socket.send_bytes(b"ij")
            assert await rig.answers(socket, 2) == [Turn(3), Ack(3, 2)]


@pytest.mark.parametrize("start", [Start(turn=1), Start(key="k")])
async def test_a_turn_that_was_interrupted(open_rig, start: Start) -> None:
    """The speaker receives `interrupted`."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await rig.send(socket, Start(key="k"))
            await socket.send_bytes(b"ab")
            await rig.answers(socket, 3)
            cut(socket, "abort")
        await rig.call("POST", f"/v1/conversations/{conversation}/interrupt")
        async with rig.socket(conversation) as socket:
            await rig.send(socket, start)
            assert await rig.answers(socket, 1) == [Interrupted(1)]


async def test_a_turn_nobody_knows(open_rig) -> None:
    """An error; the socket continues with the next start."""
    async with open_rig() as rig:
        conversation = await rig.create()
        for _ in range(9):
            await rig.speak(conversation, b"ab")
        async with rig.socket(conversation) as socket:
            for turn in (1, 10, 4_000_000_000):
                await rig.send(socket, Start(turn=turn))
                [error] = await rig.answers(socket, 1)
                assert (error.code, error.retryable) == ("unknown-turn", False)
                await socket.send_bytes(b"thrown away")
            await rig.send(socket, Start(turn=2))
            assert await rig.answers(socket, 1) == [Ended(2, 2)]
        assert len(await rig.audio(conversation)) == 9


@pytest.mark.parametrize("start", [b'{"type":"start","turn":-1}', b'{"type":"start","turn":4294967296}',
    b'{"type":"start","key":""}', b'{"type":"start","key":"a b"}', b'{"type":"start","key":"k\\n"}',
    '{"type":"start","key":"é"}'.encode()])  # fmt: skip
async def test_a_start_that_is_none(open_rig, start: bytes) -> None:
    """Numbers and keys that cannot be."""
    async with open_rig() as rig, rig.socket(await rig.create()) as socket:
        await socket.send_str(start.decode())
        [error] = await rig.answers(socket, 1)
        assert error.code == "bad-message"


async def test_two_sockets_on_one_turn(open_rig) -> None:
    """The old connection may deliver bytes that are sent again over the new one: each is appended once."""
    pcm = bytes(index % 239 for index in range(40_000))
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as old, rig.socket(conversation) as new:
            await old.send_bytes(pcm[:2000])
            await rig.answers(old, 2)
            await rig.send(new, Start(turn=1))
            assert await rig.answers(new, 1) == [Ack(1, 2000)]

            async def speak(socket: aiohttp.ClientWebSocketResponse, size: int) -> None:
                for start in range(2000, len(pcm), size):
                    await socket.send_bytes(pcm[start : start + size])
                await rig.send(socket, audio_socket.End())
                answer: audio_socket.ToSpeaker = Turn(0)
                while not isinstance(answer, Ended):
                    [answer] = await rig.answers(socket, 1)
                assert answer == Ended(1, len(pcm))

            await asyncio.gather(speak(old, 700), speak(new, 1900))
        assert await rig.audio(conversation) == {1: pcm}
        assert sum(entry.end for entry in await rig.up_entries(conversation)) == 1


async def test_the_old_socket_has_other_audio(open_rig) -> None:
    """More than the complete turn has: refused, not spoken."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as old, rig.socket(conversation) as new:
            await old.send_bytes(b"ab")
            await rig.answers(old, 2)
            await rig.send(new, Start(turn=1))
            await rig.send(new, audio_socket.End())
            assert await rig.answers(new, 2) == [Ack(1, 2), Ended(1, 2)]
            await old.send_bytes(b"cd")
            [error] = await rig.answers(old, 1)
            assert (error.code, error.retryable) == ("mismatch", False)
        assert await rig.audio(conversation) == {1: b"ab"}


async def test_redis_loses_the_end_of_a_turn(open_rig) -> None:
    """After a fail-over to a replica that was behind, control appends acknowledged audio again."""
    pcm = bytes(index % 233 for index in range(12_000))
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            opening = await rig.store.snapshot(rig.store.keys.conversation(conversation))
            await socket.send_bytes(pcm[:2000])
            await rig.answers(socket, 2)
            middle = await rig.store.snapshot(rig.store.keys.conversation(conversation))
            await socket.send_bytes(pcm[2000:4000])
            await socket.send_bytes(pcm[4000:6000])
            await rig.acknowledged(socket, Ack(1, 6000))
            await middle()
            await socket.send_bytes(pcm[6000:8000])
            assert await rig.answers(socket, 1) == [Ack(1, 8000)]
            assert await rig.audio(conversation) == {1: pcm[:8000]}
            await opening()
            await socket.send_bytes(pcm[8000:])
            await rig.send(socket, audio_socket.End())
            assert await rig.answers(socket, 2) == [Ack(1, 12_000), Ended(1, 12_000)]
        assert await rig.audio(conversation) == {1: pcm}


async def test_redis_loses_more_than_the_door_keeps(open_rig) -> None:
    """The backend receives an error and may resume at the remaining offset: the turn has no gap."""
    async with open_rig(speech_tail_bytes=1000) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(bytes(1000))
            await rig.answers(socket, 2)
            go_back = await rig.store.snapshot(rig.store.keys.conversation(conversation))
            for _ in range(3):
                await socket.send_bytes(bytes(1000))
            await rig.acknowledged(socket, Ack(1, 4000))
            await go_back()
            await socket.send_bytes(b"ab")
            [error] = await rig.answers(socket, 1)
            assert (error.code, error.retryable) == ("audio-lost", True)
            await rig.send(socket, Start(turn=1))
            assert await rig.answers(socket, 1) == [Ack(1, 1000)]


async def test_too_few_replicas(open_rig) -> None:
    """Not acknowledged: the socket closes, to be tried again."""
    replicas = {"redis_replicas": 1, "redis_replicas_wait_s": 0.05, "uplink_wait_s": 0.1}
    async with open_rig(**replicas) as rig, rig.socket(await rig.create()) as socket:
        await socket.send_bytes(b"ab")
        [error] = await rig.answers(socket, 1)
        assert (error.code, error.retryable) == ("store-unavailable", True)
        assert error.message.startswith("too few replicas of Redis have the speech")
        async for _ in socket:
            pass
        assert socket.close_code == 4200


async def test_a_conversation_that_redis_lost_is_waited_for(open_rig, eventually) -> None:
    """Redis restarted without its data: the owner restores the record, and the turn continues."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"abcd")
            assert await rig.answers(socket, 2) == [Turn(1), Ack(1, 4)]
            go_back = await rig.store.snapshot(rig.store.keys.conversation(conversation))
            await rig.store.client.execute("FLUSHALL")
            waits = WAITS._value.get()
            await socket.send_bytes(b"efgh")
            await eventually(lambda: WAITS._value.get() > waits)
            await go_back()
            assert await rig.answers(socket, 1) == [Ack(1, 8)]
        assert await rig.audio(conversation) == {1: b"abcdefgh"}


async def test_a_conversation_that_nobody_restores(open_rig) -> None:
    """Control waits for the configured time, then closes with a final code."""
    async with open_rig(uplink_wait_s=0.2) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await rig.store.client.execute("FLUSHALL")
            await socket.send_bytes(b"abcd")
            [error] = await rig.answers(socket, 1)
            assert (error.code, error.retryable) == ("unknown-conversation", False)
            await socket.receive()
            assert socket.close_code == 4404
