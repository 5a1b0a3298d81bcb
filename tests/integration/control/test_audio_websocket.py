"""The audio socket's WebSocket: closes, capacity, silence, short messages, and the limit of sockets."""

import asyncio
import struct

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from relay_control.speech_queue import QUEUED_BYTES, SpeechQueue
from relay_wire import audio_socket, uplink
from relay_wire.audio_socket import Ack, End, Ended, Hold, Interrupt, Interrupted, Start, Turn

PCM = bytes(range(250)) * 8
PIECE = PCM[:320]
"""10 ms at 16 kHz."""


# --- closes ------------------------------------------------------------------------------------


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
    """Without a code, as `close()` of many languages sends, or with a final one."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            await rig.answers(socket, 2)
            await socket._writer.send_frame(frame, WSMsgType.CLOSE)
            await rig.no_speakers()

        assert await rig.input(conversation) == (1, 2000, state)


async def test_eight_bad_messages_end_the_turn(open_rig) -> None:
    """It ends at once, not after its silence."""
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


# --- capacity -------------------------------------------------------------------------------------


async def fill(rig, conversation: str) -> None:
    """Leave no room in the uplink."""
    keys = rig.store.keys.conversation(conversation)
    for _ in range(64):
        await rig.store.client.execute("XADD", keys.up, "*", "k", "text", "d", "waiting")


async def make_room(rig, conversation: str) -> None:
    await rig.store.client.execute("XTRIM", rig.store.keys.conversation(conversation).up, "MAXLEN", 0)


async def test_a_socket_whose_audio_waits_is_alive(open_rig) -> None:
    """Pings are answered while the uplink is full."""
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
    """It holds at most its limit and one item, and returns items in order."""
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
    """Age the speaker's last audio."""
    meta = rig.store.keys.conversation(conversation).meta
    await rig.store.client.execute("HINCRBY", meta, "in_at", -1000 * seconds)


@pytest.mark.parametrize("hold", ['{"type":"hold"}', b""])
async def test_a_silent_turn_is_held_open(open_rig, hold: str | bytes) -> None:
    """For twice as long as a turn may be silent; the owner receives the holds, so that it waits, too."""
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
    """A turn ends that long after its last audio, and the speaker receives `interrupted`."""
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
    """The speaker receives an error with the reason."""
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
    """However many arrive in an eighth of the time-out, none reaches the owner."""
    async with open_rig(input_timeout_s=600) as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(PCM)
            for _ in range(200):
                await rig.send(socket, Hold())
            assert await rig.answers(socket, 202) == [Turn(1), *[Ack(1, 2000)] * 201]
            assert len(await rig.up_entries(conversation)) == 1


# --- short pieces ------------------------------------------------------------------------------------------


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
            assert (await rig.until_ended(socket))[-1] == Ended(1, 401 * 320)

        assert await rig.audio(conversation) == {1: PIECE * 401}
        assert len(await rig.up_entries(conversation)) <= 42


async def test_a_tiny_piece_alone_is_not_kept(open_rig) -> None:
    """It waits for the next one no longer than the setting allows."""
    async with open_rig(audio_join_ms=10) as rig, rig.socket(await rig.create()) as socket:
        for count in range(1, 4):
            await socket.send_bytes(PIECE)
            await rig.acknowledged(socket, Ack(1, 320 * count)) if count > 1 else await rig.answers(socket, 2)


# --- handshakes -------------------------------------------------------------------------------


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
