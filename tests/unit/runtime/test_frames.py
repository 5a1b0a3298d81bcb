"""Frames are counted right and pass as they came, wherever the bytes are cut; one without a mask does not."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_runtime.frames import REFUSED, ClientFrames


def a_frame(size: int, *, opcode: int, masked: bool = True) -> bytes:
    mask, key = (0x80, b"key!") if masked else (0, b"")
    if size < 126:
        head = bytes((opcode, mask | size))
    elif size < 65536:
        head = bytes((opcode, mask | 126)) + size.to_bytes(2)
    else:
        head = bytes((opcode, mask | 127)) + size.to_bytes(8)
    return head + key + bytes(size)


def taken(stream: bytes, cuts: Iterable[int]) -> tuple[int, bytes]:
    """How many frames were counted, and what a parser got."""
    frames, counted, parsed = ClientFrames(), 0, b""
    for cut in [*cuts, len(stream)]:
        count, data = frames.feed(stream[:cut])
        counted, parsed, stream = counted + count, parsed + data, stream[cut:]
    return counted, parsed


FRAMES = st.builds(
    a_frame,
    st.one_of(st.just(0), st.integers(0, 300), st.sampled_from([125, 126, 65535, 65536])),
    opcode=st.sampled_from([0x00, 0x80, 0x81, 0x02, 0x89, 0x8A]),
)
CUTS = st.lists(st.integers(1, 5000), max_size=50)


@given(st.lists(FRAMES, max_size=20), CUTS)
def test_any_cut(sent: list[bytes], cuts: list[int]) -> None:
    """As many as were sent, and byte for byte, however they arrive."""
    assert taken(b"".join(sent), cuts) == (len(sent), b"".join(sent))


def test_one_byte_at_a_time() -> None:
    """Every head is cut everywhere."""
    stream = b"".join(a_frame(size, opcode=0x82) for size in (0, 1, 125, 126, 200, 65536))

    assert taken(stream, [1] * len(stream)) == (6, stream)


@given(st.lists(FRAMES, max_size=5), CUTS, st.sampled_from([0, 5, 126, 65536]), st.lists(FRAMES, max_size=2))
def test_a_frame_without_a_mask(sent: list[bytes], cuts: list[int], size: int, after: list[bytes]) -> None:
    """What came before it passes whole, a parser refuses what stands for it, and nothing follows."""
    before = b"".join(sent)
    unmasked = a_frame(size, opcode=0x81, masked=False)

    assert taken(before + unmasked + b"".join(after), cuts) == (len(sent) + 1, before + REFUSED)


@pytest.mark.parametrize("cuts", [[], [1], [1, 1]])
def test_a_frame_without_a_mask_at_once(cuts: list[int]) -> None:
    """Also when its first byte comes alone."""
    assert taken(a_frame(5, opcode=0x81, masked=False), cuts) == (1, REFUSED)
