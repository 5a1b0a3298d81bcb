"""The ring: consecutive frames in a bound of bytes."""

from tests.unit.gateway.fanout.streams import FRAME_BYTES, a_frame, at

from relay_gateway.dialects.native import Native
from relay_gateway.fanout.batch import Batch
from relay_gateway.fanout.ring import RING_BYTES, Ring
from relay_gateway.websocket import message_head


def a_ring(limit_bytes: int = 3 * FRAME_BYTES) -> Ring:
    """A ring that has received the frames 1 to 5."""
    ring = Ring(limit_bytes, floor=at(0))
    for seq in range(1, 6):
        ring.append(a_frame(seq))
    return ring


def seqs(batch: Batch | None) -> list[int]:
    assert batch is not None
    assert batch.end == batch.frames[-1].position
    assert batch.encoded(Native) == b"".join(
        message_head(FRAME_BYTES) + a_frame(each.position.seq).data for each in batch.frames
    )
    return [each.position.seq for each in batch.frames]


def test_frames_after_a_cursor() -> None:
    """Every newer frame, with the cursor at its end, and joined as WebSocket messages."""
    assert seqs(a_ring().after(at(3), 1000)) == [4, 5]


def test_the_oldest_frames_are_removed() -> None:
    """It has three frames: a cursor before the second has no next frame."""
    ring = a_ring()

    assert ring.after(at(1), 1000) is None
    assert seqs(ring.after(at(2), 1000)) == [3, 4, 5]


def test_no_newer_frame() -> None:
    """At its end a ring has no next frame."""
    assert a_ring().after(at(5), 1000) is None


def test_another_history() -> None:
    """A viewer with a frame that Redis has lost for good has no next frame here."""
    ring = Ring(1000, floor=at(0))
    ring.append(a_frame(1, generation=9))

    assert ring.after(at(3), 1000) is None


def test_batches_are_bounded() -> None:
    """At most the limit, and at least one frame."""
    assert seqs(a_ring().after(at(2), 2 * FRAME_BYTES)) == [3, 4]
    assert seqs(a_ring().after(at(2), 1)) == [3]


def test_a_ring_without_room() -> None:
    """A bound of 0 keeps no frame."""
    assert a_ring(0).after(at(4), 1000) is None


def test_a_restart_removes_every_frame() -> None:
    """After a break no earlier frame is offered, and the metric has no byte of them."""
    before = RING_BYTES.value
    ring = a_ring()
    assert RING_BYTES.value == before + 3 * FRAME_BYTES
    ring.restart(at(9))

    assert RING_BYTES.value == before
    assert ring.after(at(4), 1000) is None
    ring.append(a_frame(10))
    assert seqs(ring.after(at(9), 1000)) == [10]
    ring.restart(at(10))
