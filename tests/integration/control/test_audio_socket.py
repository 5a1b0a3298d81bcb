"""The audio socket: turns as they are synthesised, and every refusal; on every server."""

import aiohttp
import pytest

from relay_wire import audio_socket, uplink

PIECE = bytes(range(100))


async def test_speaking_live(open_rig) -> None:
    """A turn opens with its first chunk, every chunk is acknowledged, `end` closes it; then another."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            for _ in range(2):
                await socket.send_bytes(b"\x00\x01" * 10)
                await socket.send_bytes(b"\x02\x03")
                await rig.send(socket, audio_socket.End())
            assert await rig.answers(socket, 8) == [
                message
                for turn in (1, 2)
                for message in (
                    audio_socket.Turn(turn),
                    audio_socket.Ack(turn, 20),
                    audio_socket.Ack(turn, 22),
                    audio_socket.Ended(turn, 22),
                )
            ]


async def test_chunks_cut_within_a_sample(open_rig) -> None:
    """Streams are cut anywhere: no byte is lost, every frame is whole samples."""
    async with open_rig() as rig:
        conversation = await rig.create()
        pcm = bytes(range(100))
        async with rig.socket(conversation) as socket:
            for start in range(0, 100, 7):
                await socket.send_bytes(pcm[start : start + 7])
            await rig.send(socket, audio_socket.End())
            while not isinstance((await rig.answers(socket, 1))[0], audio_socket.Ended):
                pass

        speech = await rig.up_entries(conversation)
        assert b"".join(chunk.pcm for chunk in speech) == pcm
        assert all(len(chunk.pcm) % 2 == 0 for chunk in speech)


async def test_a_turn_of_odd_length(open_rig) -> None:
    """It is reported and counted, and the turn ends without the half sample."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01\x02")
            await rig.send(socket, audio_socket.End())
            _, _, error, ended = await rig.answers(socket, 4)

        assert (error.code, ended) == ("unsupported-audio", audio_socket.Ended(1, 2))


async def test_large_messages_are_cut(open_rig) -> None:
    """A whole reply in one message becomes frames of 64 KiB at most."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(bytes(200_000))
            await rig.send(socket, audio_socket.End())
            while not isinstance((await rig.answers(socket, 1))[0], audio_socket.Ended):
                pass

        assert [len(chunk.pcm) for chunk in await rig.up_entries(conversation)] == [
            65536,
            65536,
            65536,
            3392,
            0,
        ]


async def test_a_large_message(open_rig) -> None:
    """A whole clip is accepted at once: 1.2 MB are 37 s at 16 kHz."""
    pcm = bytes(range(250)) * 4800
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PIECE)
            await socket.send_bytes(pcm)
            await rig.send(socket, audio_socket.End())
            while not isinstance((await rig.answers(socket, 1))[0], audio_socket.Ended):
                pass

        assert await rig.audio(conversation) == {1: PIECE + pcm}


async def test_a_message_too_large(open_rig) -> None:
    """An error, then a close as too big; the turn ends with the audio before, and is not resumed."""
    async with open_rig(control_max_message_bytes=2**20) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PIECE)
            assert await rig.answers(socket, 2) == [audio_socket.Turn(1), audio_socket.Ack(1, 100)]
            await socket.send_bytes(bytes(2 * 2**20))
            [error] = await rig.answers(socket, 1)
            assert (error.code, error.retryable) == ("too-big", False)
            async for _ in socket:
                pass

            assert socket.close_code == 1009
        await rig.until(conversation, (1, 100, "ended"))


@pytest.mark.parametrize("text", ["hello", "{}", '{"type":"dance"}', '{"type":"ack","turn":1,"offset":1}'])
async def test_bad_messages(open_rig, text: str) -> None:
    """Each is answered with an error and the turn continues; eight of them end the socket."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await socket.send_str(text)
            await socket.send_bytes(b"\x02\x03")
            got = await rig.answers(socket, 4)
            assert [type(answer).__name__ for answer in got] == ["Turn", "Ack", "Error", "Ack"]
            for _ in range(7):
                await socket.send_str(text)
            async for _ in socket:
                pass
            assert socket.close_code == 4400


async def test_interrupting_oneself(open_rig) -> None:
    """What follows is a new turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await rig.send(socket, audio_socket.Interrupt())
            await socket.send_bytes(b"\x02\x03")
            got = await rig.answers(socket, 5)

        assert got[2:] == [audio_socket.Interrupted(1), audio_socket.Turn(2), audio_socket.Ack(2, 2)]


async def test_being_interrupted(open_rig) -> None:
    """Late audio of an interrupted turn is discarded, and does not open a turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await rig.answers(socket, 2)
            await rig.call("POST", f"/v1/conversations/{conversation}/interrupt")
            for _ in range(3):
                await socket.send_bytes(b"\x00\x01")
            await rig.send(socket, audio_socket.End())
            await socket.send_bytes(b"\x02\x03")

            assert await rig.answers(socket, 3) == [
                audio_socket.Interrupted(1),
                audio_socket.Turn(2),
                audio_socket.Ack(2, 2),
            ]


async def test_two_speakers(open_rig) -> None:
    """The second receives an error, and may barge in."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as first, rig.socket(conversation) as second:
            await first.send_bytes(b"\x00\x01")
            await rig.answers(first, 2)
            await second.send_bytes(b"\x02\x03")
            [error] = await rig.answers(second, 1)
            assert error.code == "turn-open"
            await rig.send(second, audio_socket.Start(barge_in=True))
            await second.send_bytes(b"\x02\x03")
            assert await rig.answers(second, 2) == [audio_socket.Turn(2), audio_socket.Ack(2, 2)]
            await first.send_bytes(b"\x00\x01")
            assert await rig.answers(first, 1) == [audio_socket.Interrupted(1)]


async def test_starting_in_the_middle_of_a_turn(open_rig) -> None:
    """Refused; the turn continues."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await rig.send(socket, audio_socket.Start())
            await socket.send_bytes(b"\x02\x03")
            got = await rig.answers(socket, 4)

        assert [type(answer).__name__ for answer in got] == ["Turn", "Ack", "Error", "Ack"]


async def test_a_proper_close_ends_the_turn(open_rig) -> None:
    """A close with 1000 ends the turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await rig.answers(socket, 2)
        await rig.until(conversation, (1, 2, "ended"))

        assert (await rig.up_entries(conversation))[-1] == uplink.SpeechChunk(1, 2, b"", end=True)


async def test_deleting_while_speaking(open_rig) -> None:
    """The socket is closed with the conversation's end."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await rig.answers(socket, 2)
            await rig.call("DELETE", f"/v1/conversations/{conversation}")
            await socket.send_bytes(b"\x00\x01")
            async for _ in socket:
                pass

            assert socket.close_code == 4410


async def test_a_plain_request_to_the_socket(open_rig) -> None:
    """426."""
    async with open_rig() as rig:
        assert (await rig.call("GET", f"/v1/conversations/{await rig.create()}/audio"))[0] == 426


async def test_nested_messages_are_bad_messages(open_rig) -> None:
    """At any depth: an error for each, and the eighth closes the socket with 4400."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            for _ in range(8):
                await socket.send_str('{"type":"end","x":' + "[" * 60_000)
            answers = await rig.answers(socket, 8)
            await socket.receive(timeout=5)

        assert [answer.code for answer in answers] == ["bad-message"] * 8
        assert socket.close_code == 4400


async def test_what_redis_refuses_closes_with_its_code(open_rig) -> None:
    """A permission that Redis denies: 4200, after which speakers resume, without the server's text."""
    texts: list[str] = []
    async with open_rig(uplink_wait_s=0.5) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            try:
                await rig.store.client.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
                await socket.send_bytes(bytes(320))
                while (message := await socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
                    texts.append(message.data)
            finally:
                await rig.store.client.execute("ACL", "SETUSER", "default", "+evalsha", "+eval")

        assert socket.close_code == 4200
        assert "store-unavailable" in texts[-1]
        assert "NOPERM" not in "".join(texts)
        assert "evalsha" not in "".join(texts)


@pytest.mark.parametrize(
    ("code", "answer"), [(1000, 1000), (1001, 1001), (3000, 3000), (4000, 4000), (1006, 1002), (5000, 1002)]
)
async def test_a_close_is_answered_with_its_code(open_rig, code: int, answer: int) -> None:
    """But for a code that no endpoint may send."""
    async with open_rig() as rig:
        async with rig.socket(await rig.create()) as socket:
            await socket.close(code=code)
        assert socket.close_code == answer
