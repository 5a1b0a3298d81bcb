"""The retransmit buffer: batches pending, in flight and acknowledged."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from relay_streams import retransmit
from relay_streams.retransmit import PendingBatch, RetransmitBuffer
from relay_streams.scripts.publish import FrameEvent
from relay_wire.frame import Kind
from relay_wire.position import START


def batch(first_seq: int, count: int = 1, *, at: float = 0.0, checkpoint: bytes = b"{}") -> PendingBatch:
    """Frames of ten bytes."""
    return PendingBatch(
        frames=[b"%010d" % seq for seq in range(first_seq, first_seq + count)],
        kinds=[Kind.AUDIO] * count,
        first_seq=first_seq,
        turn=1,
        turn_first=START,
        turn_before=START,
        trim_to=None,
        checkpoint=checkpoint,
        turn_phase="idle",
        turn_ends_at_ms=0,
        uplink_cursor="",
        traces=(),
        size_bytes=10 * count,
        at=at,
    )


def acknowledged(*batches: PendingBatch, limit_bytes: int = 1000) -> RetransmitBuffer:
    """A buffer with these, acknowledged."""
    buffer = RetransmitBuffer(limit_bytes)
    for each in batches:
        buffer.append(each)
    buffer.dispatch(10_000)
    buffer.acknowledge()
    return buffer


def seqs(buffer: RetransmitBuffer) -> list[int]:
    """Of the pending batches."""
    return [each.first_seq for each in buffer.pending]


def test_a_call_has_at_most_so_many_bytes() -> None:
    """But one batch in any case, and the rest stays pending."""
    buffer = RetransmitBuffer(1000)
    for seq in (1, 11, 21):
        buffer.append(batch(seq, 10))
    buffer.dispatch(1)
    assert [each.first_seq for each in buffer.in_flight] == [1]
    assert buffer.acknowledge() == [batch(1, 10)]
    buffer.dispatch(150)
    assert [each.first_seq for each in buffer.in_flight] == [11, 21]
    assert not buffer.pending


def test_the_backlog_is_what_is_not_acknowledged() -> None:
    """In this buffer, and in the metric of all of them."""
    before, retained = retransmit.BACKLOG.value, retransmit.RETAINED.value
    buffer = RetransmitBuffer(1000)
    buffer.append(batch(1, 2))
    buffer.dispatch(1)
    buffer.append(batch(3))
    assert buffer.backlog_bytes == 30 == retransmit.BACKLOG.value - before
    buffer.acknowledge()
    assert buffer.backlog_bytes == 10 == retransmit.BACKLOG.value - before
    assert retransmit.RETAINED.value - retained == 20
    buffer.clear()
    assert (retransmit.BACKLOG.value, retransmit.RETAINED.value) == (before, retained)
    assert buffer.backlog_bytes == 0
    assert (list(buffer.pending), buffer.in_flight) == ([], [])


def test_the_oldest_acknowledged_go_first() -> None:
    """By bytes, and by age."""
    buffer = acknowledged(batch(1), batch(2, at=5), batch(3, at=9), limit_bytes=25)
    assert buffer.floor(3) == 1
    buffer.trim(9)
    assert buffer.floor(3) == 2
    buffer.trim(10)
    assert buffer.floor(3) == 3


def test_the_floor_is_before_the_oldest_frame() -> None:
    """Acknowledged, else in flight, else pending, else none."""
    buffer = RetransmitBuffer(1000)
    assert buffer.floor(7) == 7
    buffer.append(batch(8))
    assert buffer.floor(8) == 7
    buffer.dispatch(1)
    buffer.append(batch(9))
    assert buffer.floor(9) == 7
    buffer.acknowledge()
    assert buffer.floor(9) == 7


def test_what_is_lost_comes_before_what_is_in_flight() -> None:
    """A rewind restores the order of the stream; a batch with one lost frame is appended whole."""
    buffer = acknowledged(batch(1, 2), batch(3, 2), batch(5))
    buffer.append(batch(6))
    buffer.dispatch(1)
    buffer.append(batch(7))

    assert [each.first_seq for each in buffer.rewind(3)] == [3, 5]
    assert seqs(buffer) == [3, 5, 6, 7]
    assert not buffer.in_flight
    assert buffer.backlog_bytes == 50


def test_the_state_is_appended_again_without_frames() -> None:
    """When every frame is there, the latest state is still written, behind the last frame."""
    buffer = acknowledged(batch(1, 2, checkpoint=b"old"), batch(3, checkpoint=b"new"))
    assert buffer.rewind(3) == []
    [state] = buffer.pending
    assert (state.frames, state.kinds, state.first_seq, state.last_seq) == ([], [], 4, 3)
    assert (state.checkpoint, state.size_bytes) == (b"new", 0)


def test_a_rewind_of_nothing() -> None:
    """A writer that has appended nothing has nothing to append again."""
    buffer = RetransmitBuffer(1000)
    assert buffer.rewind(0) == []
    assert not buffer.pending


@given(st.lists(st.sampled_from(["append", "dispatch", "acknowledge", "lose"]), max_size=60), st.data())
def test_every_frame_reaches_a_stream_that_forgets(steps: list[str], data: st.DataObject) -> None:
    """Whatever is lost and when: with a buffer large enough the stream ends up complete and in order."""
    buffer, stream, last = RetransmitBuffer(10_000), [], 0

    def write() -> None:
        for each in buffer.in_flight:
            stream.extend(range(max(len(stream) + 1, each.first_seq), each.last_seq + 1))

    for step in [*steps, "acknowledge", "dispatch", "acknowledge"]:
        if step == "append":
            buffer.append(batch(last + 1, 2))
            last += 2
        elif step == "lose":
            kept = data.draw(st.integers(0, len(stream)))
            del stream[kept:]
            buffer.rewind(kept)
        elif step == "acknowledge" and buffer.in_flight:
            write()
            buffer.acknowledge()
        elif step == "dispatch" and not buffer.in_flight:
            buffer.dispatch(10_000)
    assert stream == list(range(1, last + 1))


def test_events_that_are_released() -> None:
    """Those of acknowledged batches that went for their size or age count; those that may come again, not."""
    event = FrameEvent(1, "turn.ended", b"{}")
    buffer = acknowledged(
        *(replace(batch(seq, at=seq), events=[event] * seq) for seq in (1, 2, 3)), limit_bytes=20
    )
    assert buffer.released_events == 1
    buffer.trim(before=3)
    assert buffer.released_events == 3
    buffer.rewind(0)
    assert buffer.released_events == 3
    assert [len(each.events) for each in buffer.pending] == [3, 0]
