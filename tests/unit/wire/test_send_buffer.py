"""Tails: what was given is read back by offset, or refused as forgotten."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire.send_buffer import BufferTruncated, SendBuffer

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.binary(max_size=20)),
        st.tuples(st.just("trim"), st.integers(-5, 200)),
        st.tuples(st.just("read"), st.integers(0, 200), st.integers(0, 30)),
    )
)


@given(st.integers(0, 50), _STEPS)
def test_a_tail_is_the_end_of_what_was_given(start: int, steps: list[tuple[Any, ...]]) -> None:
    """Whatever is added, trimmed and read in whatever order: the bytes of that offset, or BufferTruncated."""
    tail, given_so_far, forgotten = SendBuffer(start), bytes(start), start
    for step in steps:
        match step:
            case "add", pcm:
                tail.add(pcm)
                given_so_far += pcm
            case "trim", before:
                tail.trim(before)
                forgotten = max(forgotten, min(before, len(given_so_far)))
            case "read", offset, size if offset < forgotten:
                with pytest.raises(BufferTruncated):
                    tail.read(offset, size)
            case "read", offset, size:
                assert tail.read(offset, size) == given_so_far[offset : offset + size]
        assert (tail.start, tail.end, len(tail)) == (
            forgotten,
            len(given_so_far),
            len(given_so_far) - forgotten,
        )
