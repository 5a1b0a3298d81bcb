"""The event queue: bounded, in order, with the time that events have been unread."""

from hypothesis import given
from hypothesis import strategies as st

from relay_ingest.agents.events import ClipRequest, Ended, Event, Interrupted, Microphone, Started, Text
from relay_ingest.agents.queue import EventQueue

arrivals = st.one_of(
    st.builds(Microphone, st.binary(max_size=40), st.booleans()),
    st.builds(Text, st.text(max_size=10)),
    st.builds(ClipRequest, st.text(max_size=10)),
    st.builds(Interrupted, st.sampled_from(["viewer", "backend"])),
)


def drain(queue: EventQueue) -> list[Event]:
    return list(iter(lambda: queue.get(0.0), None))


@given(st.lists(arrivals, max_size=60))
def test_the_queue_is_bounded(arrived: list[Event]) -> None:
    """Order and bounds hold; the first event, the last one and the latest interrupt are never dropped."""
    queue = EventQueue(limit_events=10, limit_bytes=100)
    put = [Started(resumed=False), *arrived, Ended("deleted")]
    dropped = [victim for event in put for victim in queue.put(event, 0.0)]
    has_interrupt = queue.has_interrupt
    kept = drain(queue)

    assert sum(len(event.pcm) for event in kept if isinstance(event, Microphone)) <= 100
    assert len(kept) <= 10
    assert (kept[0], kept[-1]) == (put[0], put[-1])
    remaining = iter(map(id, put))
    assert all(id(event) in remaining for event in kept), "in the order of arrival"
    interrupts = [event for event in put if isinstance(event, Interrupted)]
    assert [event for event in kept if isinstance(event, Interrupted)] == interrupts[-1:]
    assert has_interrupt == bool(interrupts)
    assert len(kept) + len(dropped) + len(interrupts[:-1]) == len(put)
    assert not any(isinstance(event, Interrupted) for event in dropped)


def test_audio_is_dropped_first() -> None:
    """The oldest of it, and the end of microphone audio only when there is no other."""
    queue = EventQueue(limit_events=3, limit_bytes=1000)
    for event in (Text("a"), Microphone(b"1", end=True), Microphone(b"2")):
        assert queue.put(event, 0.0) == []
    assert queue.put(Microphone(b"3"), 0.0) == [Microphone(b"2")]
    assert queue.put(Text("b"), 0.0) == [Microphone(b"3")]
    assert queue.put(Text("c"), 0.0) == [Text("a")]
    assert drain(queue) == [Microphone(b"1", end=True), Text("b"), Text("c")]


def test_unread_time() -> None:
    """It runs while events wait, from the last read."""
    queue = EventQueue(limit_events=3, limit_bytes=1000)
    assert queue.unread_s(5.0) == 0
    queue.put(Text("a"), 10.0)
    queue.put(Text("b"), 11.0)
    assert queue.unread_s(13.0) == 3
    queue.get(14.0)
    assert queue.unread_s(15.0) == 1
    queue.restart_unread(16.0)
    assert queue.unread_s(16.0) == 0
    queue.get(17.0)
    assert queue.unread_s(99.0) == 0
