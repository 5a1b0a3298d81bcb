"""The gateway's ring of recent frames."""

from relay_gateway.dialects.native import Native
from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_gateway.fanout.ring import Ring
from relay_gateway.websocket import message_head
from relay_wire import frame
from relay_wire.frame import HEADER_BYTES, Codec, Flags, Frame, Kind
from relay_wire.position import Position

GENERATION = 5


def at(seq: int) -> Position:
    return Position(GENERATION, seq)


SIZE = HEADER_BYTES + 10


def a_frame(seq: int) -> bytes:
    payload = f"frame-{seq:03}.".encode()
    return frame.encode(Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, GENERATION, seq, 0, 0, payload))


def a_ring(limit: int = 3 * SIZE) -> Ring:
    ring = Ring(limit, floor=at(0))
    for seq in range(1, 6):
        ring.append(SharedFrame(a_frame(seq)))
    return ring


def seqs(batch: Batch | None) -> list[int]:
    assert batch is not None
    assert batch.end == batch.frames[-1].position
    assert batch.encoded(Native) == b"".join(
        message_head(SIZE) + a_frame(each.position.seq) for each in batch.frames
    )
    return [each.position.seq for each in batch.frames]


def test_what_follows_a_cursor() -> None:
    """Everything newer, with the cursor it leads to, and joined as WebSocket messages."""
    assert seqs(a_ring().after(at(3), 1000)) == [4, 5]


def test_it_forgets_the_oldest() -> None:
    """It holds three frames: from before the third there is no going on."""
    ring = a_ring()

    assert ring.after(at(1), 1000) is None
    assert seqs(ring.after(at(2), 1000)) == [3, 4, 5]


def test_nothing_newer() -> None:
    """At the end there is nothing to give."""
    assert a_ring().after(at(5), 1000) is None


def test_batches_are_bounded() -> None:
    """As much as fits, and at least one."""
    assert seqs(a_ring().after(at(2), 2 * SIZE)) == [3, 4]
    assert seqs(a_ring().after(at(2), 1)) == [3]


def test_a_restart_forgets_everything() -> None:
    """After a break nothing from before it is offered."""
    ring = a_ring()
    ring.restart(at(9))

    assert ring.after(at(4), 1000) is None
    ring.append(SharedFrame(a_frame(10)))
    assert seqs(ring.after(at(9), 1000)) == [10]
