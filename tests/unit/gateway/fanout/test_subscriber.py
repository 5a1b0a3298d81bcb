"""The subscriber: each frame once, nothing to a congested viewer, nothing after its end."""

import pytest
from tests.unit.gateway.fanout.streams import (
    FRAME_BYTES,
    InTurn,
    MemoryConnection,
    a_frame,
    a_subscriber,
    at,
)

from relay_gateway.dialects.native import Native
from relay_gateway.fanout.batch import Batch
from relay_gateway.fanout.subscriber import GAPS, RESUMES, Source, Subscriber
from relay_wire import events
from relay_wire.close_codes import CONVERSATION_ENDED, GOING_AWAY, NORMAL, SLOW_CONSUMER


def test_a_batch_is_delivered() -> None:
    """The cursor moves to its end."""
    subscriber, connection = a_subscriber(at(0))

    assert subscriber.deliver(Batch([a_frame(1), a_frame(2)]))
    assert subscriber.cursor == at(2)
    assert connection.seqs == [1, 2]
    assert subscriber.unsent_bytes == len(connection.written)


def test_a_congested_viewer_gets_nothing() -> None:
    """The cursor stays, so the batch is delivered later."""
    subscriber, connection = a_subscriber(at(0))
    connection.congested = True

    assert not subscriber.deliver(Batch([a_frame(1)]))
    assert subscriber.cursor == at(0)
    assert connection.written == b""


def test_a_viewer_that_has_everything_is_closed() -> None:
    """When its protocol is complete."""
    subscriber, connection = a_subscriber(at(0), InTurn(complete=True))

    assert subscriber.deliver(Batch([a_frame(1)]))
    assert subscriber.ended
    assert connection.closed_with is NORMAL


@pytest.mark.parametrize("source", ["live", "ring", "stream", "gap"])
def test_a_resume_is_counted_once(source: str) -> None:
    """By the farthest source, and only if the viewer came with a position."""
    subscriber = Subscriber(MemoryConnection(), Native(), at(1), resumes=True)
    new, _ = a_subscriber(at(1))
    before = RESUMES[source].value
    for each in (subscriber, new):
        for step in list(Source)[: Source[source.upper()] + 1]:
            each.note(step)
        each.note(Source.LIVE)
        each.count_resume()
        each.count_resume()

    assert RESUMES[source].value == before + 1


def test_a_replay_stops_at_a_congested_connection() -> None:
    """One frame beyond the buffer, then the caller reads again from the cursor."""
    subscriber, connection = a_subscriber(at(0))
    frames = [a_frame(seq) for seq in (1, 2, 3)]
    connection.congested_from = FRAME_BYTES + 10

    assert subscriber.replay(frames) == 2
    assert subscriber.cursor == at(2)

    connection.congested_from, connection.congested = None, False
    assert subscriber.replay(frames[2:]) == 1
    assert connection.seqs == [1, 2, 3]


def test_a_skip_sends_an_exact_gap() -> None:
    """From the viewer's cursor to the new one."""
    subscriber, connection = a_subscriber(at(3))
    before = GAPS.value

    subscriber.skip(at(9))

    assert subscriber.cursor == at(9)
    assert [events.of_frame(data) for data in connection.frames] == [events.Gap("5-3", "5-9")]
    assert GAPS.value == before + 1


def test_nothing_after_the_end() -> None:
    """Neither frames nor events nor gaps, and one close."""
    subscriber, connection = a_subscriber(at(3))
    subscriber.end(SLOW_CONSUMER)
    subscriber.end(CONVERSATION_ENDED)

    assert connection.closed_with is SLOW_CONSUMER
    assert not subscriber.active
    assert not subscriber.deliver(Batch([a_frame(4)]))
    subscriber.send_event(events.Pong("1"))
    subscriber.skip(at(9))
    assert subscriber.cursor == at(3)
    assert connection.written == b""


def test_a_viewer_leaves_after_its_turn() -> None:
    """The frames of the turn are delivered first; the close follows the batch that ends it."""
    dialect = InTurn()
    subscriber, connection = a_subscriber(at(0), dialect)

    subscriber.leave(GOING_AWAY)
    assert subscriber.deliver(Batch([a_frame(1)]))
    assert subscriber.active
    dialect.idle = True
    assert subscriber.deliver(Batch([a_frame(2)]))

    assert connection.closed_with is GOING_AWAY
    assert connection.seqs == [1, 2]
    assert not subscriber.deliver(Batch([a_frame(3)]))


def test_an_idle_viewer_leaves_at_once() -> None:
    """No batch is awaited."""
    subscriber, connection = a_subscriber(at(3))

    subscriber.leave(GOING_AWAY)

    assert subscriber.ended
    assert connection.closed_with is GOING_AWAY


def test_a_viewer_that_has_left() -> None:
    """Its connection is not closed a second time."""
    subscriber, connection = a_subscriber(at(3))
    subscriber.abandon()

    assert subscriber.ended
    assert connection.closed_with is None


def test_a_closed_connection_is_not_active() -> None:
    """The viewer closed it; its handler has not seen that yet."""
    subscriber, connection = a_subscriber(at(3))
    assert subscriber.active
    connection.open = False

    assert not subscriber.active
    subscriber.send_event(events.Pong("1"))
    assert connection.written == b""
