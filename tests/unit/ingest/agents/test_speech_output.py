"""The pre-buffer of speech output: nothing before there is enough, and no byte changed."""

from collections.abc import AsyncGenerator

from hypothesis import given
from hypothesis import strategies as st

from relay_ingest.agents.speech_output import prebuffered


@given(st.lists(st.binary(max_size=30)), st.integers(1, 50))
async def test_the_prebuffer_changes_no_byte(chunks: list[bytes], size_bytes: int) -> None:
    """The first chunk is large enough, unless that is all there is."""

    async def source() -> AsyncGenerator[bytes]:
        for chunk in chunks:
            yield chunk

    held = [chunk async for chunk in prebuffered(source(), size_bytes)]

    assert b"".join(held) == b"".join(chunks)
    if len(b"".join(chunks)) >= size_bytes:
        assert len(held[0]) >= size_bytes
        assert len(held[0]) < size_bytes + 30
    else:
        assert len(held) <= 1
