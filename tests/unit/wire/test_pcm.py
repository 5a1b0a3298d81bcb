"""PCM: durations and sizes in whole samples."""

import pytest

from relay_wire.pcm import chunk_bytes, duration_ms


@pytest.mark.parametrize(("ms", "rate", "size"), [(20, 16000, 640), (10, 22050, 440), (0, 16000, 2)])
def test_a_chunk_has_whole_samples(ms: int, rate: int, size: int) -> None:
    """At least one, and never more than the duration has."""
    assert chunk_bytes(ms, rate) == size
    assert size == 2 or duration_ms(size, rate) <= ms
