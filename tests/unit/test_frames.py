"""Frames are counted right, wherever the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from relay_runtime.frames import FrameCounter


def a_frame(size: int, *, masked: bool, opcode: int) -> bytes:
    mask, key = (0x80, b"key!") if masked else (0, b"")
    if size < 126:
        head = bytes((opcode, mask | size))
    elif size < 65536:
        head = bytes((opcode, mask | 126)) + size.to_bytes(2)
    else:
        head = bytes((opcode, mask | 127)) + size.to_bytes(8)
    return head + key + bytes(size)


frames = st.builds(
    a_frame,
    st.one_of(st.just(0), st.integers(0, 300), st.sampled_from([125, 126, 65535, 65536])),
    masked=st.booleans(),
    opcode=st.sampled_from([0x00, 0x80, 0x81, 0x02, 0x89, 0x8A]),
)


@given(st.lists(frames, max_size=20), st.lists(st.integers(1, 5000), max_size=50))
def test_any_cut(sent: list[bytes], cuts: list[int]) -> None:
    """As many as were sent, however they arrive."""
    counter, stream, counted = FrameCounter(), b"".join(sent), 0
    for cut in [*cuts, len(stream)]:
        counted += counter.count(stream[:cut])
        stream = stream[cut:]
    assert counted == len(sent)


def test_one_byte_at_a_time() -> None:
    """Every head is cut everywhere."""
    stream = b"".join(a_frame(size, masked=True, opcode=0x82) for size in (0, 1, 125, 126, 200, 65536))
    counter = FrameCounter()
    assert sum(counter.count(stream[at : at + 1]) for at in range(len(stream))) == 6
