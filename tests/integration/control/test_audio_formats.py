"""Formats at the audio socket: WAV files, other formats than PCM, and announced formats."""

import struct

import pytest

from relay_wire import uplink
from relay_wire.audio_socket import Ack, End, Ended, Error, Start, Turn
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


@pytest.mark.parametrize("size", [1, 7, 44, 500, 100_000])
async def test_a_wav_file_is_spoken_without_its_header(open_rig, size: int) -> None:
    """Cut anywhere; also several files in a row, as some synthesisers send one per sentence."""
    body = wav(PCM) + wav(PCM, size=0xFFFFFFFF)
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            for piece in chunks(body, size):
                await socket.send_bytes(piece)
            await rig.send(socket, End())
            await rig.until_ended(socket)

        assert await rig.audio(conversation) == {1: PCM + PCM}


@pytest.mark.parametrize(
    ("first", "message"),
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
async def test_a_turn_that_is_no_pcm(open_rig, first: bytes, message: str) -> None:
    """The error names the format; nothing is spoken, and audio is discarded until the next turn."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(first)
            await socket.send_bytes(PCM)
            await rig.send(socket, End())
            await socket.send_bytes(PIECE)
            error, *rest = await rig.answers(socket, 3)

        assert (error.code, error.retryable) == ("unsupported-audio", False)
        assert message in error.message
        assert rest == [Turn(1), Ack(1, 320)]
        assert await rig.audio(conversation) == {1: PIECE}


async def test_a_header_in_the_middle_of_pcm(open_rig) -> None:
    """The turn ends before it: a click is worse than silence."""
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
    """The received part is spoken, and an error reports the missing part."""
    async with open_rig() as rig, rig.socket(await rig.create()) as socket:
        await socket.send_bytes(wav(PCM, size=16_000))
        await rig.send(socket, End())
        _, _, error, ended = await rig.until_ended(socket)

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
    """Refused with its audio, which would play at a wrong rate."""
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


async def test_a_resumed_turn_may_continue_with_any_bytes(open_rig) -> None:
    """Audio after an ack is PCM, whatever it looks like: only the beginning of a turn is checked."""
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
