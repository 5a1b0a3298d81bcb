"""Batches: each encoding is computed once, however many viewers there are."""

from collections.abc import Sequence

from tests.unit.gateway.fanout.streams import a_frame, at

from relay_gateway.fanout.batch import Batch, SharedFrame


class Counting:
    """A dialect that counts its encodings."""

    calls = 0

    @staticmethod
    def encode(frames: Sequence[SharedFrame]) -> bytes:
        Counting.calls += 1
        return b"".join(each.data for each in frames)


def test_a_batch_ends_at_its_last_frame() -> None:
    """Its end is the cursor of a viewer that has received it."""
    batch = Batch([a_frame(3), a_frame(4)])

    assert batch.end == at(4)
    assert len(batch) == 2


def test_a_batch_is_encoded_once_for_each_dialect() -> None:
    """All viewers of a dialect receive the same bytes."""
    batch, before = Batch([a_frame(1), a_frame(2)]), Counting.calls

    assert batch.encoded(Counting) is batch.encoded(Counting)
    assert batch.encoded(Counting) == a_frame(1).data + a_frame(2).data
    assert Counting.calls == before + 1


def test_a_frame_is_derived_once_for_each_function() -> None:
    """Each function has its own result."""
    shared, calls = a_frame(7), []

    def size(data: bytes) -> int:
        calls.append(data)
        return len(data)

    assert shared.position == at(7)
    assert [shared.derived(size), shared.derived(size)] == [len(shared.data)] * 2
    assert shared.derived(bytes.hex) == shared.data.hex()
    assert calls == [shared.data]
