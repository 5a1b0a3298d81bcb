"""Clips: audio and motion, cut into the chunks of a turn."""

from hypothesis import given
from hypothesis import strategies as st

from relay_wire.clips import ClipChunk, cut


def test_motion_is_spread_over_the_audio() -> None:
    """Each payload goes with the audio of its place in the motion; the last with the last."""
    chunks = cut(b"aabbccdd", [b"1", b"2", b"3", b"4"], chunk_bytes=2, lead_bytes=0)

    assert chunks == [
        ClipChunk(b"aa", (b"1",)),
        ClipChunk(b"bb", (b"2",)),
        ClipChunk(b"cc", (b"3",)),
        ClipChunk(b"dd", (b"4",)),
    ]


def test_motion_leads_the_audio() -> None:
    """The first chunk has the motion of the lead, so that the first of it waits for nothing."""
    chunks = cut(b"aabbccdd", [b"1", b"2", b"3", b"4"], chunk_bytes=2, lead_bytes=4)

    assert [chunk.motion for chunk in chunks] == [(b"1", b"2", b"3"), (), (), (b"4",)]


def test_a_clip_of_one_payload() -> None:
    """Its end is the turn's."""
    chunks = cut(b"aabbc", [b"1"], chunk_bytes=2, lead_bytes=2)

    assert chunks == [ClipChunk(b"aa", ()), ClipChunk(b"bb", ()), ClipChunk(b"c", (b"1",))]
    assert [chunk.size_bytes for chunk in chunks] == [2, 2, 2]


@given(
    st.binary(min_size=1, max_size=64),
    st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=12),
    st.integers(1, 16),
    st.integers(0, 70),
)
def test_nothing_is_lost_or_reordered(pcm: bytes, motion: list[bytes], chunk: int, lead: int) -> None:
    """Whatever the sizes: every byte once, in order; no chunk is empty, and the last has the last motion."""
    chunks = cut(pcm, motion, chunk_bytes=chunk, lead_bytes=lead)

    assert b"".join(each.pcm for each in chunks) == pcm
    assert [payload for each in chunks for payload in each.motion] == motion
    assert all(len(each.pcm) == chunk for each in chunks[:-1])
    assert 0 < len(chunks[-1].pcm) <= chunk
    assert chunks[-1].motion
    share = sum(map(len, motion)) * (chunk + lead + 1) // len(pcm)
    assert all(sum(map(len, each.motion)) <= share + 2 * 9 for each in chunks)
