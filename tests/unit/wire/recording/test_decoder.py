"""The decoder of recordings: what was recorded is read, and every damage is an error with its reason."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.rigs.recorded import HEADER, conversation, recording

from relay_wire.position import Position
from relay_wire.recording.blocks import BlockType, RecordingError, block, preamble
from relay_wire.recording.contents import Gap
from relay_wire.recording.decoder import RecordingDecoder

FRAMES = conversation(5, 9, audio_bytes=20)
FILE = recording(FRAMES)
WITH_GAP = recording(FRAMES[:4] + FRAMES[8:], last=Position(9, 40))


def decode(data: bytes, piece: int = 1 << 20) -> list[bytes | Gap]:
    decoder = RecordingDecoder()
    items = [item for at in range(0, len(data), piece) for item in decoder.feed(data[at : at + piece])]
    decoder.finish()
    return items


@example([5, 9], 1)
@given(st.lists(st.integers(1, 2**40), unique=True, max_size=4), st.integers(1, 500))
def test_round_trip(generations: list[int], piece: int) -> None:
    """Every frame is read byte for byte and in order, whatever pieces the file arrives in."""
    frames = conversation(*sorted(generations), audio_bytes=40)

    assert decode(recording(frames), piece) == frames


def test_the_header_and_the_index() -> None:
    """The conversation is known before its first frame, and the index at the end."""
    decoder = RecordingDecoder()

    next(decoder.feed(FILE))

    assert decoder.header == HEADER


@given(st.integers(0, len(FILE) - 1))
@example(0)
@example(1)
@example(len(FILE) - 1)
def test_a_file_that_is_cut_short_is_an_error(size: int) -> None:
    """At any byte, and nothing else is raised."""
    with pytest.raises(RecordingError, match=r"cut short|not a recording"):
        decode(FILE[:size])


@given(st.integers(0, len(WITH_GAP) - 1), st.integers(1, 255))
def test_a_changed_byte_is_an_error(at: int, change: int) -> None:
    """Any byte, and nothing else is raised."""
    damaged = bytearray(WITH_GAP)
    damaged[at] ^= change

    with pytest.raises(RecordingError):
        decode(bytes(damaged))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    """Also behind a preamble."""
    for each in (data, preamble() + data):
        with pytest.raises(RecordingError):
            decode(each)


def test_a_file_begins_with_its_header() -> None:
    """Also when every block is whole."""
    with pytest.raises(RecordingError, match="begin with a header"):
        decode(preamble() + block(BlockType.FRAME, FRAMES[0]))


def test_a_frame_that_cannot_be_decoded_is_an_error() -> None:
    """Its reason names the byte of the file."""
    at = FILE.index(FRAMES[0]) - 5

    with pytest.raises(RecordingError, match=f"the frame at byte {at}"):
        decode(FILE[:at] + block(BlockType.FRAME, bytes(len(FRAMES[0]))))


def test_bytes_behind_the_trailer_are_an_error() -> None:
    """Blocks behind a whole file, and two files that were joined, are no recording."""
    with pytest.raises(RecordingError, match="follow its trailer"):
        decode(FILE + block(99, b""))
    with pytest.raises(RecordingError, match="damaged"):
        decode(FILE + FILE)


def test_frames_out_of_order_are_an_error() -> None:
    """A file with a valid checksum must have positions that grow."""
    data = preamble() + FILE[len(preamble()) : FILE.index(FRAMES[0]) - 5]
    data += block(BlockType.FRAME, FRAMES[1]) + block(BlockType.FRAME, FRAMES[0])

    with pytest.raises(RecordingError, match="5-1 follows 5-2"):
        decode(data)


def test_a_block_of_a_later_version_is_skipped() -> None:
    """Its bytes count for the checksum: the file ends with an error about that alone."""
    at = FILE.index(FRAMES[1]) - 5

    with pytest.raises(RecordingError, match="checksum"):
        decode(FILE[:at] + block(99, b"what is new") + FILE[at:])


def test_an_index_of_other_frames_is_an_error() -> None:
    """A frame less, with a checksum that fits."""
    import hashlib

    at = FILE.index(FRAMES[-1]) - 5
    shorter = FILE[:at] + FILE[at + 5 + len(FRAMES[-1]) :]
    shorter = shorter[:-32] + hashlib.sha256(shorter[:-32]).digest()

    with pytest.raises(RecordingError, match="index is that of other frames"):
        decode(shorter)


def test_a_trailer_without_an_index_is_an_error() -> None:
    """An index that is missing is noticed at the trailer."""
    with pytest.raises(RecordingError, match="trailer does not follow its index"):
        decode(FILE[: FILE.index(FRAMES[0]) - 5] + block(BlockType.TRAILER, bytes(40)))
