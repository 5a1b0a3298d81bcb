"""The audio socket under what speakers do: how they close, wait and cut, and what they take for PCM."""

import asyncio
import struct

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from relay_control.speech_queue import QUEUED_BYTES, SpeechQueue
from relay_wire import audio_socket, uplink
from relay_wire.audio_socket import Ack, End, Ended, Error, Hold, Interrupt, Interrupted, Start, Turn
from relay_wire.pcm import chunks

PCM = bytes(range(250)) * 8
PIECE = PCM[:320]
"""10 ms at 16 kHz."""


def wav(pcm: bytes, *, rate: int = 16000, size: int | None = None) -> bytes:
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16)
    size = len(pcm) if size is None else size
    return (
        b"RIFF"
        + struct.pack("<I", min(size + 36, 2**32 - 1))
        + b"WAVEfmt "
        + fmt
        + b"data"
        + struct.pack("<I", size)
        + pcm
    )


async def until_ended(socket) -> list[audio_socket.ToSpeaker]:
    """Every answer up to `ended`."""
    got = []
    while not got or not isinstance(got[-1], Ended):
        got.append(audio_socket.decode_answer(await socket.receive_str(timeout=5)))
    return got


# --- how a socket ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "state"),
    [
        (b"", "ended"),
        (struct.pack("!H", 1000), "ended"),
        (struct.pack("!H", 1001), "open"),
        (struct.pack("!H", 1011), "open"),
        (struct.pack("!H", 3000), "open"),
        (struct.pack("!H", 4400), "ended"),
    ],
)
async def test_closes_that_end_the_turn(open_rig, frame: bytes, state: str) -> None:
    """Without a code, as `close()` of many languages is, and with one after which nobody comes back."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            await rig.answers(socket, 2)
            await socket._writer.send_frame(frame, WSMsgType.CLOSE)
            await rig.no_speakers()

        assert await rig.input(conversation) == (1, 2000, state)


async def test_eight_bad_messages_end_the_turn(open_rig) -> None:
    """It is over with what was spoken, not when its silence is too long."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            for _ in range(8):
                await socket.send_str("{}")
            async for _ in socket:
                pass
            assert socket.close_code == 4400

        assert await rig.input(conversation) == (1, 2000, "ended")


# --- waiting for room -------------------------------------------------------------------------------------


async def fill(rig, conversation: str) -> None:
    """Leave no room in the uplink."""
    keys = rig.store.keys.conversation(conversation)
    for _ in range(64):
        await rig.store.client.execute("XADD", keys.up, "*", "k", "text", "d", "waiting")


async def make_room(rig, conversation: str) -> None:
    await rig.store.client.execute("XTRIM", rig.store.keys.conversation(conversation).up, "MAXLEN", 0)


async def test_a_socket_whose_audio_waits_is_alive(open_rig) -> None:
    """Pings are answered while nobody takes what is in the uplink."""
    async with open_rig(uplink_entries=64, uplink_wait_s=60) as rig:
        conversation = await rig.create()
        await fill(rig, conversation)
        async with rig.socket(conversation, autoping=False) as socket:
            for number in range(20):
                await socket.send_bytes(bytes(50_000))
                await socket.ping(str(number).encode())
                message = await socket.receive(timeout=5)
                assert (message.type, message.data) == (WSMsgType.PONG, str(number).encode())
            await make_room(rig, conversation)
        await rig.no_speakers()


@pytest.mark.parametrize("opened", [False, True])
async def test_an_interrupt_overtakes_audio_that_waits(open_rig, opened: bool) -> None:  # noqa: FBT001
    """It acts at once, also on a turn that could not open yet; what waited is never spoken."""
    async with open_rig(uplink_entries=64, uplink_wait_s=60) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            if opened:
                await socket.send_bytes(PCM)
                assert await rig.answers(socket, 2) == [Turn(1), Ack(1, 2000)]
            await fill(rig, conversation)
            for _ in range(3):
                await socket.send_bytes(PCM)
                await rig.send(socket, End())
            await rig.send(socket, Interrupt())
            assert await rig.answers(socket, 1) == [Interrupted(int(opened))]

            await make_room(rig, conversation)
            await socket.send_bytes(PIECE)
            assert await rig.answers(socket, 2) == [Turn(1 + opened), Ack(1 + opened, 320)]
        assert await rig.audio(conversation) == {1 + opened: PIECE}
        assert QUEUED_BYTES._value.get() == 0


async def test_a_queue_that_is_full_is_not_read() -> None:
    """It takes no more than its limit and one item; what was put comes out in order."""
    queue: SpeechQueue[End] = SpeechQueue(1000)
    for _ in range(3):
        await queue.put(PIECE)
    putting = asyncio.ensure_future(queue.put(PIECE))
    await asyncio.sleep(0)
    assert not putting.done()
    assert 1000 <= QUEUED_BYTES._value.get() <= 1000 + 2 * 320
    assert await queue.get() == PIECE
    await putting
    queue.drop_before(None)
    assert QUEUED_BYTES._value.get() == 0


# --- silence ----------------------------------------------------------------------------------------------


async def pass_time(rig, conversation: str, seconds: int) -> None:
    """As if the speaker had last been heard so much earlier."""
    meta = rig.store.keys.conversation(conversation).meta
    await rig.store.client.execute("HINCRBY", meta, "in_at", -1000 * seconds)


@pytest.mark.parametrize("hold", ['{"type":"hold"}', b""])
async def test_a_silent_turn_is_held_open(open_rig, hold: str | bytes) -> None:
    """For twice as long as a turn may be silent; the owner is told, so that it waits, too."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            assert await rig.answers(socket, 2) == [Turn(1), Ack(1, 2000)]
            for _ in range(2):
                await pass_time(rig, conversation, 26)
                await (socket.send_str(hold) if isinstance(hold, str) else socket.send_bytes(hold))
                assert await rig.answers(socket, 1) == [Ack(1, 2000)]
            await pass_time(rig, conversation, 26)
            await socket.send_bytes(PIECE)
            assert await rig.answers(socket, 1) == [Ack(1, 2320)]

        assert await rig.audio(conversation) == {1: PCM + PIECE}
        assert (await rig.up_entries(conversation)).count(uplink.SpeechChunk(1, 2000, b"")) == 2


async def test_holding_is_bounded(open_rig) -> None:
    """So long after the last audio the turn is over, and that is told."""
    async with open_rig(max_hold_s=60) as rig:
        conversation = await rig.create()
        keys = rig.store.keys.conversation(conversation)
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            await rig.answers(socket, 2)
            for _ in range(2):
                await pass_time(rig, conversation, 26)
                await rig.send(socket, Hold())
                assert await rig.answers(socket, 1) == [Ack(1, 2000)]
            offset, since = (await rig.store.client.execute("HGET", keys.meta, "in_hold")).split()
            await rig.store.client.execute(
                "HSET", keys.meta, "in_hold", f"{int(offset)} {int(since) - 36_000}"
            )
            await rig.send(socket, Hold())
            assert await rig.answers(socket, 1) == [Interrupted(1)]
        assert (await rig.input(conversation))[2] == "cut"


async def test_audio_that_comes_too_late(open_rig) -> None:
    """It is not thrown away without a word."""
    async with open_rig(max_hold_s=0) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            await rig.answers(socket, 2)
            await pass_time(rig, conversation, 1)
            await rig.send(socket, Hold())
            interrupted, error = await rig.answers(socket, 2)
            await socket.send_bytes(PCM)
            await rig.send(socket, Start())
            await socket.send_bytes(PIECE)
            assert await rig.answers(socket, 2) == [Turn(2), Ack(2, 320)]

        assert (interrupted, error.code) == (Interrupted(1), "input-timeout")


async def test_holds_without_a_turn_mean_nothing(open_rig) -> None:
    """Before the first turn, and between two."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await rig.send(socket, Hold())
            await socket.send_bytes(PCM)
            await rig.send(socket, End())
            await rig.send(socket, Hold())
            assert await rig.answers(socket, 3) == [Turn(1), Ack(1, 2000), Ended(1, 2000)]


async def test_holds_in_a_flood_append_nothing(open_rig) -> None:
    """However often they come, the owner is told rarely."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            for _ in range(200):
                await rig.send(socket, Hold())
            assert await rig.answers(socket, 202) == [Turn(1), *[Ack(1, 2000)] * 201]
            assert len(await rig.up_entries(conversation)) == 1


# --- tiny pieces ------------------------------------------------------------------------------------------


async def test_tiny_pieces_are_joined(open_rig) -> None:
    """The first is in at once; 400 more of 10 ms become 40 entries of 100 ms, byte for byte the same."""
    async with open_rig(uplink_entries=64, uplink_wait_s=0.1, audio_join_ms=1000) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PIECE)
            assert await rig.answers(socket, 2) == [Turn(1), Ack(1, 320)]
            for _ in range(400):
                await socket.send_bytes(PIECE)
            await rig.acknowledged(socket, Ack(1, 401 * 320))
            await rig.send(socket, End())
            assert (await until_ended(socket))[-1] == Ended(1, 401 * 320)

        assert await rig.audio(conversation) == {1: PIECE * 401}
        assert len(await rig.up_entries(conversation)) <= 42


async def test_a_tiny_piece_alone_is_not_kept(open_rig) -> None:
    """It waits for the next one only as long as the setting says."""
    async with open_rig(audio_join_ms=10) as rig, rig.socket(await rig.create()) as socket:
        for count in range(1, 4):
            await socket.send_bytes(PIECE)
            await rig.acknowledged(socket, Ack(1, 320 * count)) if count > 1 else await rig.answers(socket, 2)


# --- what is no PCM ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 44, 500, 100_000])
async def test_a_wav_file_is_spoken_without_its_header(open_rig, size: int) -> None:
    """Wherever it is cut; also several behind each other, as some synthesisers send each sentence."""
    body = wav(PCM) + wav(PCM, size=0xFFFFFFFF)
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            for piece in chunks(body, size):
                await socket.send_bytes(piece)
            await rig.send(socket, End())
            await until_ended(socket)

        assert await rig.audio(conversation) == {1: PCM + PCM}


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (
            b"ID3\x04\0\0\0\0\0\0" + PCM,
            "this is MP3: ask your TTS for 16-bit mono PCM at 16000 Hz (pcm_16000)",
        ),
        (b"OggS\0" + PCM, "this is Ogg"),
        (wav(PCM, rate=24000), "24000 Hz, but the conversation was created for 16000 Hz"),
        (wav(PCM).replace(b"RIFF", b"RIFX"), "big-endian"),
    ],
)
async def test_a_turn_that_is_no_pcm(open_rig, first: bytes, says: str) -> None:
    """Told by name; nothing of it is spoken, and what comes is thrown away until the next turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(first)
            await socket.send_bytes(PCM)
            await rig.send(socket, End())
            await socket.send_bytes(PIECE)
            error, *rest = await rig.answers(socket, 3)

        assert (error.code, error.retryable) == ("unsupported-audio", False)
        assert says in error.message
        assert rest == [Turn(1), Ack(1, 320)]
        assert await rig.audio(conversation) == {1: PIECE}


async def test_a_header_in_the_middle_of_pcm(open_rig) -> None:
    """The turn ends before it: a click in somebody's ear is worse than silence."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            await rig.answers(socket, 2)
            await socket.send_bytes(wav(PCM))
            error, ended = await rig.answers(socket, 2)

        assert (error.code, ended) == ("unsupported-audio", Ended(1, 2000))
        assert await rig.audio(conversation) == {1: PCM}


async def test_a_wav_file_that_is_cut_short(open_rig) -> None:
    """What came of it is spoken, and its end is told."""
    async with open_rig() as rig, rig.socket(await rig.create()) as socket:
        await socket.send_bytes(wav(PCM, size=16_000))
        await rig.send(socket, End())
        _, _, error, ended = await until_ended(socket)

    assert "declares 16000 bytes and has 2000" in error.message
    assert ended == Ended(1, 2000)


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"start","sample_rate":24000}',
        '{"type":"start","sample_rate":1}',
        '{"type":"start","channels":2}',
    ],
)
async def test_a_start_with_another_format(open_rig, text: str) -> None:
    """Refused, and its audio with it: at a wrong rate it would be heard."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_str(text)
            await socket.send_bytes(PCM)
            await socket.send_str('{"type":"start","sample_rate":16000.0,"channels":1}')
            await socket.send_bytes(PIECE)
            error, *rest = await rig.answers(socket, 3)

        assert isinstance(error, Error)
        assert (error.code, rest) == ("unsupported-audio", [Turn(1), Ack(1, 320)])
        assert await rig.audio(conversation) == {1: PIECE}


async def test_whole_numbers_written_as_fractions(open_rig) -> None:
    """Some languages have no integers: 1.0 names turn 1, 1.5 none."""
    async with open_rig() as rig:
        conversation = await rig.create()
        await rig.speak(conversation, PCM)
        async with rig.socket(conversation) as socket:
            await socket.send_str('{"type":"start","turn":1.0}')
            await socket.send_str('{"type":"start","turn":1.5}')
            ended, error = await rig.answers(socket, 2)

    assert ended == Ended(1, 2000)
    assert isinstance(error, Error)
    assert error.code == "bad-message"


async def test_a_turn_gone_on_with_may_begin_with_anything(open_rig) -> None:
    """What follows an ack is PCM, whatever it looks like: the beginning was looked at before."""
    later = b"OggS\0\1" + PCM
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await rig.send(socket, Start(key="k"))
            await socket.send_bytes(PCM)
            await rig.answers(socket, 3)
            await socket.close(code=1001)
        async with rig.socket(conversation) as socket:
            await rig.send(socket, Start(key="k"))
            await socket.send_bytes(later)
            assert await rig.answers(socket, 2) == [Ack(1, 2000), Ack(1, 2000 + len(later))]

        assert all(isinstance(entry, uplink.SpeechChunk) for entry in await rig.up_entries(conversation))


# --- how many there may be -------------------------------------------------------------------------------


async def test_more_speakers_than_a_process_serves(open_rig) -> None:
    """A further audio socket is refused before its upgrade, and finds room when another has closed."""
    async with open_rig(max_speakers=1) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation):
            with pytest.raises(WSServerHandshakeError) as refusal:
                async with rig.socket(conversation):
                    pass
        assert refusal.value.status == 503
        assert refusal.value.headers is not None
        assert refusal.value.headers["Retry-After"] == "1"
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            assert isinstance(audio_socket.decode_answer(await socket.receive_str(timeout=5)), Turn | Ack)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec-WebSocket-Key": "\u00e9"}, 400),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Connection": "keep-alive"}, 400),
    ],
)
async def test_a_handshake_that_is_none(open_rig, changed: dict[str, str], status: int) -> None:
    """Refused with a problem, as at gateways."""
    async with open_rig() as rig:
        conversation = await rig.create()
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            **changed,
        }
        found, problem, _ = await rig.call("GET", f"/v1/conversations/{conversation}/audio", headers=headers)
        assert (found, problem["status"]) == (status, status)
