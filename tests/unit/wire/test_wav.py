"""Audio that backends, speakers and clips bring: the spoken samples, and the reason of each refusal."""

import gzip
import io
import math
import random
import struct
import wave
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rigs.riff import PCM, riff

from relay_control.media import samples_of
from relay_wire import samples
from relay_wire.pcm import AudioError, Unsupported, chunks
from relay_wire.problems import Problem
from relay_wire.samples import SampleReader
from relay_wire.wav import MOST_CHUNKS, NotAWav, WavReader, header

LIST = b"LIST" + struct.pack("<I", 10) + b"INFOsilent"
ODD_LIST = b"LIST" + struct.pack("<I", 9) + b"INFOquiet"
GUID = bytes.fromhex("000000001000800000aa00389b71")


def extensible(tag: int, *, bits: int = 16, valid: int = 16, guid: bytes = GUID) -> bytes:
    more = struct.pack("<HHIH", 22, valid, 4, tag) + guid
    return riff(tag=0xFFFE, bits=bits, more=more)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


SPOKEN = {
    "plain": (riff(), PCM),
    "fmt of 18 bytes": (riff(more=b"\0\0"), PCM),
    "filler of 4 KB": (riff(before=chunk(b"JUNK", bytes(4096))), PCM),
    "LIST before": (riff(before=LIST), PCM),
    "LIST before, odd and padded": (riff(before=ODD_LIST + b"\0"), PCM),
    "LIST before, odd and not padded": (riff(before=ODD_LIST), PCM),
    "LIST behind": (riff(behind=LIST), PCM),
    "C2PA behind, odd": (riff(behind=chunk(b"C2PA", b"odd") + b"\0"), PCM),
    "sizes 0xFFFFFFFF": (riff(data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF), PCM),
    "sizes 0x7FFFFFFF": (riff(data_size=0x7FFFFFFF, riff_size=0x7FFFFFFF), PCM),
    "sizes 0x7F000000": (riff(data_size=0x7F000000, riff_size=0x7F000024), PCM),
    "sizes 0x80000000": (riff(data_size=0x80000000, riff_size=0x80000024), PCM),
    "RIFF 0, data 0": (riff(data_size=0, riff_size=0), PCM),
    "RIFF 0, data right": (riff(riff_size=0), PCM),
    "RIFF 0, data wrong": (riff(riff_size=0, data_size=1 << 20), PCM),
    "RIFF 36, data 0": (riff(data_size=0, riff_size=36), PCM),
    "RIFF 36, data right": (riff(riff_size=36), PCM),
    "RIFF right, data 0": (riff(data_size=0), PCM),
    "RIFF 0xFFFFFFFF, data 0": (riff(data_size=0, riff_size=0xFFFFFFFF), PCM),
    "RIFF 0, data 0xFFFFFFFF": (riff(data_size=0xFFFFFFFF, riff_size=0), PCM),
    "two files": (riff() + riff(), PCM + PCM),
    "three streamed files": (riff(data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF) * 3, PCM * 3),
    "three files of sizes 0": (riff(data_size=0, riff_size=0) * 3, PCM * 3),
    "an empty file, then one": (riff(b"") + riff(), PCM),
    "files with chunks between": (riff(behind=LIST) + riff(before=ODD_LIST + b"\0"), PCM + PCM),
    "two data chunks": (riff(behind=chunk(b"data", PCM)), PCM + PCM),
    "an empty data chunk, then one": (riff(b"", behind=chunk(b"data", PCM)), PCM),
    "a fragment of a chunk behind": (riff(behind=b"\0\0\0"), PCM),
    "EXTENSIBLE": (extensible(1), PCM),
    "EXTENSIBLE, 12 bits": (extensible(1, valid=12), PCM),
    "12 bits in 16": (riff(bits=12, align=2), PCM),
    "12 bits, block align 0": (riff(bits=12, align=0), PCM),
    "block align 0": (riff(align=0), PCM),
    "bytes that look like a header": (riff(b"RIFFRIFFWAVE" + PCM), b"RIFFRIFFWAVE" + PCM),
}
REFUSED = {
    "empty": (riff(b""), "empty-audio", "at least one sample"),
    "empty, with LIST": (riff(b"", behind=LIST), "empty-audio", "at least one sample"),
    "no bytes": (b"", "empty-audio", "send a WAV"),
    "text": (b"not a wav at all", "not-a-wav", "not a PCM WAV"),
    "four bytes": (b"RIFF", "not-a-wav", "not a PCM WAV"),
    "no data": (riff()[:36], "not-a-wav", "before its samples"),
    "half a format": (riff()[:30], "not-a-wav", "before its samples"),
    "AVI": (riff().replace(b"WAVE", b"AVI ", 1), "not-a-wav", "not a PCM WAV"),
    "data before fmt": (b"RIFF\0\0\0\0WAVE" + chunk(b"data", PCM), "not-a-wav", "before their format"),
    "cut short": (riff(data_size=16_000)[:8044], "not-a-wav", "declares 16000 bytes and has 2000"),
    "cut at an odd byte": (riff()[:-1], "not-a-wav", "declares 2000 bytes and has 1999"),
    "cut short, then another": (riff(data_size=16_000) + riff(), "not-a-wav", "16000 bytes and has 2000"),
    "junk behind": (riff(behind=b"\x01" * 500), "not-a-wav", "500 bytes lie behind the data chunk"),
    "a size that is too small": (riff(data_size=1000), "not-a-wav", "1000 bytes lie behind"),
    "chunk behind, cut": (riff(behind=LIST[:-4]), "not-a-wav", "cut short"),
    "odd data": (riff(PCM[:-1]), "unsupported-audio", "1999 bytes are not whole 16-bit samples"),
    "odd data, then another": (riff(PCM[:-1]) + riff(), "unsupported-audio", "not whole 16-bit samples"),
    "another rate behind": (riff() + riff(rate=8000), "unsupported-audio", "format changes"),
    "RF64": (riff(kind=b"RF64"), "not-a-wav", "RF64 file: send 16-bit"),
    "RIFX": (riff(kind=b"RIFX"), "not-a-wav", "big-endian RIFX file: send 16-bit"),
    "float": (riff(tag=3, bits=32), "not-a-wav", "float: send 16-bit"),
    "mu-law": (riff(tag=7, bits=8), "not-a-wav", "mu-law: send 16-bit"),
    "A-law": (riff(tag=6, bits=8), "not-a-wav", "A-law: send 16-bit"),
    "MP3 in RIFF": (riff(tag=0x55), "not-a-wav", "MP3: send 16-bit"),
    "EXTENSIBLE, float": (extensible(3, bits=32, valid=32), "not-a-wav", "float: send 16-bit"),
    "EXTENSIBLE, unknown": (extensible(1, guid=bytes(14)), "not-a-wav", "0xfffe: send 16-bit"),
    "stereo": (riff(channels=2), "unsupported-audio", "2 channels: send mono"),
    "8 bits": (riff(bits=8), "unsupported-audio", "8-bit"),
    "24 bits": (riff(bits=24), "unsupported-audio", "24-bit"),
    "12 bits packed": (riff(bits=12, align=1), "unsupported-audio", "12-bit samples in 1 bytes"),
    "12 bits in 32": (riff(bits=12, align=4), "unsupported-audio", "12-bit samples in 4 bytes"),
    "an unsupported rate": (riff(rate=12345), "unsupported-audio", "12345 Hz"),
    "another rate": (riff(rate=24000), "unsupported-audio", "nothing resamples"),
    "MP3": (b"ID3\x04\0\0\0\0\0\0" + PCM, "unsupported-audio", "this is MP3"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "pcm"), SPOKEN.values(), ids=SPOKEN)
@pytest.mark.parametrize("content_type", ["audio/wav", "audio/pcm", "application/octet-stream", ""])
def test_what_is_spoken(body: bytes, pcm: bytes, content_type: str) -> None:
    """Whole, and the same under every media type: a RIFF header overrides the type."""
    assert samples_of(body, content_type, 16000) == pcm


@pytest.mark.parametrize(("body", "pcm"), SPOKEN.values(), ids=SPOKEN)
def test_pieces_do_not_matter(body: bytes, pcm: bytes) -> None:
    """Cut anywhere, byte by byte too, the samples are the same and no sample is kept for long."""
    for size in (1, 3, 20, 997):
        reader = SampleReader(16000)
        got = b"".join(reader.feed(piece) for piece in chunks(body, size))
        assert got + reader.finish() == pcm
        assert len(got) >= len(pcm) - 16


@pytest.mark.parametrize(("body", "name", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(body: bytes, name: str, reason: str) -> None:
    """Each names what is wrong and what to send instead."""
    with pytest.raises(Problem) as refused:
        samples_of(body, "audio/wav", 16000)

    assert refused.value.kind.name == name
    assert reason in refused.value.detail


def test_a_file_of_empty_chunks() -> None:
    """Four million of them, also as files: refused after a bounded number."""
    head = riff()[:12]
    for body in (head + b"JUNK\0\0\0\0" * 4_000_000, riff(b"") * (MOST_CHUNKS // 2)):
        with pytest.raises(NotAWav, match=f"more than {MOST_CHUNKS} chunks"):
            samples.read(body, 16000)


def test_headers_by_the_million_within_the_samples() -> None:
    """What only looks like a header is found to be none in one pass."""
    body = b"RIFFRIFFRIFF" * 2_000_000

    assert samples_of(riff(body), "audio/wav", 16000) == body


FRAME = b"\xff\xfb\x90\x00" + bytes(413)
ADTS = b"\xff\xf1\x50\x80\x04\x00" + bytes(26)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"ID3\x03\x00\x00\x00\x00\x0f\x76" + PCM, "MP3"),
        (FRAME * 3, "MP3"),
        ((b"\xff\xf3\x64\xc4" + bytes(140)) * 3, "MP3"),
        (ADTS * 3, "AAC"),
        (b"OggS\0\x02" + PCM, "Ogg"),
        (b"fLaC\0\0\0\x22" + PCM, "FLAC"),
        (b"\0\0\0\x1cftypM4A " + PCM, "MP4"),
        (b"\x1aE\xdf\xa3\x9f" + PCM, "WebM"),
        (b"FORM\0\0\x10\0AIFF" + PCM, "AIFF"),
        (b"#!AMR\n" + PCM, "AMR"),
        (b'{"detail": {"status": "quota_exceeded", "message": "This request exceeds your quota"}}', "text"),
        (b"UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQ" * 3, "text"),
        (b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body></body></html>", "text"),
        (b'{"error":"quota exceed"}', "text"),
        ('{"code":"Throttling","message":"\u914d\u989d\u4e0d\u8db3, \u8bf7\u7a0d"}'.encode(), "text"),
        (b"\xef\xbb\xbf" + b'{"error": {"code": 401, "message": "API key not valid"}}  ', "text"),
        (b"<head><title>x</title></head><body>Service Unavailable!!</body>", "text"),
        (b"upstream connect error or disconnect/reset before headers. reset reason: overflow ", "text"),
        (b'event: audio\ndata: {"audio": "AAAA", "index": 0}\n\n' * 4, "text"),
        (b64encode(random.Random(3).randbytes(3000)), "text"),
        (b'"' + b64encode(riff()) + b'" ', "text"),
        (riff().hex().encode(), "text"),
        (b"\0\0\0\x18stypmsdh" + PCM, "MP4"),
        (b"\0\0\0\x68moof\0\0\0\x10mfhd" + PCM, "MP4"),
        (b"\0\0\x10\0mdat" + PCM, "MP4"),
        (b"\xff\xf3\x64\xc4" + bytes(140), "MP3"),
        (b"ADIF" + PCM, "AAC"),
        (b"dns.\x18\0\0\0" + PCM, "AU"),
        (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb" + PCM, "Wave64"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + PCM, "WMA"),
        (gzip.compress(riff() + b"\0", mtime=0)[:100], "gzip"),
        (b"PK\x03\x04\x14\0" + PCM, "ZIP"),
        (b"\x28\xb5\x2f\xfd" + PCM, "Zstandard"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content_type", ["audio/pcm", "audio/l16", "application/octet-stream", "audio/wav"])
def test_what_is_no_pcm_is_named(body: bytes, name: str, content_type: str) -> None:
    """Under every media type; in pieces, nothing of it has been given before it is known."""
    with pytest.raises(Problem) as refused:
        samples_of(body, content_type, 16000)
    assert refused.value.kind.name == "unsupported-audio"
    assert f"this is {name}: ask your TTS for 16-bit mono PCM at 16000 Hz (pcm_16000)" in refused.value.detail

    reader = SampleReader(16000)
    with pytest.raises(Unsupported):
        for start in range(0, len(body), 600):
            assert reader.feed(body[start : start + 600]) == b""
        assert reader.finish() == b""


def test_base64_of_silence_and_speech() -> None:
    """Its beginning is the same byte again and again, as a constant is; all of it is looked at."""
    with pytest.raises(Problem, match="this is text"):
        samples_of(b64encode(bytes(600) + random.Random(3).randbytes(3000)), "audio/pcm", 16000)


@pytest.mark.parametrize(
    "pcm",
    [
        struct.pack("<h", -1025) * 1000,
        struct.pack("<hh", -1025, 144) + bytes(2000),
        b"\xff\xff" * 500,
        b"\xff\xf1" * 500,
        FRAME[:-1],
        b"ID" + bytes(100),
        b"RI" + bytes(100),
        b"{ not json" * 10,
        bytes(8) + b"OggS",
        b"ID3" + bytes(101),
        b"ID3\x04\x11\x22\x33\x44" + PCM,
        b"\x1f\x8b\x08\x33" + PCM,
        b"\0\0\0\x20fty\0" + PCM,
        b"AAAA" * 500,
        b"ABCDEFGH" * 200,
    ],
)
def test_pcm_that_begins_like_another_format(pcm: bytes) -> None:
    """Speech may begin with any sample: two bytes, or one frame's header, are not enough."""
    assert samples_of(pcm, "audio/pcm", 16000) == pcm


def test_pcm_by_chance() -> None:
    """Loud noise that begins with an MP3's first bytes, 20,000 times: never refused."""
    noise = random.Random(7)
    for _ in range(20_000):
        pcm = bytes((0xFF, noise.choice((0xFB, 0xF3, 0xE3, 0xF1)))) + noise.randbytes(1998)
        assert samples_of(pcm, "audio/pcm", 16000) == pcm


def test_a_wave_is_pcm_at_once() -> None:
    """Samples that cannot be another format are passed on at once."""
    tone = b"".join(struct.pack("<h", int(9000 * math.sin(n / 9))) for n in range(50))
    assert SampleReader(16000).feed(tone[:2]) == tone[:2]


def test_a_header_within_pcm() -> None:
    """It would be audible as a click in each sentence."""
    with pytest.raises(Problem, match="a WAV header 2000 bytes into PCM"):
        samples_of(PCM + riff(), "audio/pcm", 16000)


@pytest.mark.parametrize("size", [1, 3, 7, 11, 12, 320])
def test_a_header_within_pcm_in_pieces(size: int) -> None:
    """Found where it is cut, too; of what is behind it nothing is spoken."""
    reader = SampleReader(16000)
    got = b""
    with pytest.raises(Unsupported, match="a WAV header"):
        for piece in chunks(PCM + riff(), size):
            got += reader.feed(piece)
    assert len(got) <= len(PCM) + 12


def test_odd_pcm() -> None:
    """The refusal has its size."""
    with pytest.raises(Problem, match="3 bytes are not whole 16-bit samples"):
        samples_of(b"\x01\x02\x03", "audio/pcm", 16000)


@given(st.binary(max_size=200), st.booleans(), st.integers(1, 64))
def test_any_body_is_audio_or_refused(body: bytes, headed: bool, size: int) -> None:  # noqa: FBT001
    """Garbage raises AudioError and nothing else, and the same in pieces as whole."""
    if headed:
        body = riff(bytes(8)) + body
    reader, whole, pieces = SampleReader(16000), None, None
    with suppress(AudioError):
        whole = samples.read(body, 16000)[0]
    with suppress(AudioError):
        pieces = b"".join(reader.feed(piece) for piece in chunks(body, size)) + reader.finish()
    if not reader.odd:
        assert whole == pieces


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4), st.integers(0, 60))
def test_damaged_files(damages: list[tuple[int, int]], cut: int) -> None:
    """Whatever is wrong with a file, it is refused or has whole samples."""
    data = bytearray(riff())
    for place, value in damages:
        data[place] = value
    with suppress(AudioError):
        pcm, _ = samples.read(bytes(data[: len(data) - cut]), 16000, wav=True)
        assert len(pcm) % 2 == 0


def test_files_of_the_standard_library() -> None:
    """What ``wave`` writes is read, at every rate, also without a declared one."""
    for rate in (8000, 44100):
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(rate)
            wav.writeframes(PCM)
        assert samples.read(file.getvalue(), None) == (PCM, rate)


@given(st.binary(max_size=500), st.integers(1, 64))
def test_chunks_are_the_whole(pcm: bytes, size: int) -> None:
    """Cut anywhere, nothing is lost."""
    pieces = chunks(pcm, size)

    assert b"".join(pieces) == pcm
    assert all(len(piece) <= size for piece in pieces)


def test_a_first_piece_that_begins_no_wav() -> None:
    """It is refused before a whole header has come."""
    with pytest.raises(NotAWav, match="not a PCM WAV file"):
        WavReader().feed(b"abcd")


def test_a_file_without_a_chunk() -> None:
    """Its bytes after the header name none."""
    with pytest.raises(NotAWav, match="no chunk 8 bytes before its end"):
        WavReader().feed(b"RIFF" + struct.pack("<I", 300) + b"WAVE" + bytes(8))


@pytest.mark.parametrize("size", [14, 1025])
def test_a_format_of_another_size(size: int) -> None:
    """A format chunk is 16 to 1024 bytes."""
    with pytest.raises(NotAWav, match=f"its format has {size} bytes"):
        WavReader().feed(b"RIFF" + struct.pack("<I", 300) + b"WAVE" + chunk(b"fmt ", bytes(size)))


@given(
    st.binary(max_size=60).filter(lambda data: len(data) % 2 == 0 and data),
    st.sampled_from([8000, 16000, 48000]),
)
def test_a_written_file_is_read(pcm: bytes, rate: int) -> None:
    """The standard library reads what the relay writes: its rate and its samples."""
    with wave.open(io.BytesIO(header(rate, len(pcm)) + pcm)) as found:
        assert (found.getframerate(), found.getnchannels(), found.getsampwidth()) == (rate, 1, 2)
        assert found.readframes(len(pcm)) == pcm


def test_the_header_of_a_file_beyond_4_gib() -> None:
    """Its samples are read up to the end."""
    reader = WavReader()

    assert reader.feed(header(16000, 2**33) + PCM) + reader.finish() == PCM
