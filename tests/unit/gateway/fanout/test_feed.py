"""The feed: live subscribers, those that are behind, and every way in which either ends."""

from tests.unit.gateway.fanout.streams import (
    FRAME_BYTES,
    GENERATION,
    Failing,
    InTurn,
    MemoryConnection,
    a_frame,
    a_subscriber,
    at,
    entries,
    entry,
)

from relay_gateway.dialects.native import Native
from relay_gateway.fanout.entries import FOREIGN
from relay_gateway.fanout.feed import Break, Defect, Feed, FellBehind, Joined, Step
from relay_gateway.fanout.subscriber import Subscriber
from relay_gateway.fanout.traffic import FRAMES
from relay_wire import events
from relay_wire.close_codes import CONVERSATION_ENDED, INTERNAL_ERROR, NORMAL
from relay_wire.position import START


def a_feed(last_seq: int = 0, *, ring_bytes: int = 1000) -> Feed:
    return Feed(at(last_seq), ended=False, ring_bytes=ring_bytes)


# --- live ----------------------------------------------------------------------------------------


def test_a_live_subscriber_gets_each_batch() -> None:
    """Its cursor is the feed's."""
    feed = a_feed()
    subscriber, connection = a_subscriber(at(0))

    assert feed.join(subscriber) is Joined.LIVE
    assert feed.receive(entries(1, 2)) == []
    assert feed.receive(entries(3)) == []
    assert connection.seqs == [1, 2, 3]
    assert subscriber.cursor == feed.cursor == at(3)


def test_nothing_received() -> None:
    """No frame, no effect."""
    feed = a_feed()

    assert feed.receive([]) == []
    assert feed.cursor == at(0)


def test_foreign_entries_are_skipped() -> None:
    """They are counted, too, but not as frames."""
    feed, before, read = a_feed(), FOREIGN.value, FRAMES["audio"].value
    subscriber, connection = a_subscriber(at(0))
    feed.join(subscriber)

    assert feed.receive([(b"5-0", (b"junk", b"")), *entries(1)]) == []
    assert connection.seqs == [1]
    assert FOREIGN.value == before + 1
    assert FRAMES["audio"].value == read + 1


def test_a_subscriber_that_left_gets_nothing() -> None:
    """Calls after the first have no effect."""
    feed = a_feed()
    subscriber, connection = a_subscriber(at(0))
    feed.join(subscriber)
    feed.leave(subscriber)
    feed.leave(subscriber)
    feed.receive(entries(1))

    assert connection.written == b""


def test_a_congested_subscriber_falls_behind() -> None:
    """It leaves the live ones, and its caller serves it from then on."""
    feed = a_feed()
    subscriber, connection = a_subscriber(at(0))
    feed.join(subscriber)
    connection.congested = True

    assert feed.receive(entries(1)) == [FellBehind(subscriber)]
    assert feed.receive(entries(2)) == []


def test_a_subscriber_that_is_complete_leaves() -> None:
    """It has ended when the next batch comes, and has not fallen behind."""
    feed = a_feed()
    subscriber, connection = a_subscriber(at(0), InTurn(complete=True))
    feed.join(subscriber)

    assert feed.receive(entries(1)) == []
    assert connection.closed_with is NORMAL
    assert feed.receive(entries(2)) == []
    assert connection.seqs == [1]


def test_a_defect_ends_one_subscriber() -> None:
    """The others get the batch."""
    feed = a_feed()
    bad, bad_connection = a_subscriber(at(0), Failing())
    good, good_connection = a_subscriber(at(0))
    feed.join(bad)
    feed.join(good)

    [effect] = feed.receive(entries(1))

    assert isinstance(effect, Defect)
    assert str(effect.error) == "planted"
    assert bad_connection.closed_with is INTERNAL_ERROR
    assert good_connection.seqs == [1]


def test_a_break_makes_every_subscriber_fall_behind() -> None:
    """Frames before it are delivered, the ring restarts, and each viewer gets a gap of its own."""
    feed = a_feed()
    subscriber, connection = a_subscriber(at(0))
    ended, _ = a_subscriber(at(0))
    feed.join(subscriber)
    feed.join(ended)
    ended.abandon()

    effects = feed.receive(entries(1, 5))

    assert effects == [Break(at(1), at(5)), FellBehind(subscriber)]
    assert connection.seqs == [1]
    assert feed.cursor == at(5)
    assert feed.ring.after(at(1), 1000) is None
    assert feed.ring.after(at(4), 1000) is not None


def test_a_new_generation_is_no_break() -> None:
    """When it names the last position."""
    feed = a_feed(3)
    first = a_frame(1, events.OwnerChanged(f"{GENERATION}-3"), generation=9)

    assert feed.receive([entry(first)]) == []
    assert feed.cursor == at(1, 9)


# --- the end -------------------------------------------------------------------------------------


def test_the_end_of_the_conversation() -> None:
    """Live subscribers get the last frame and are closed; later ones are closed when they have it."""
    feed = a_feed()
    subscriber, connection = a_subscriber(at(0))
    feed.join(subscriber)

    feed.receive([entry(a_frame(1, events.ConversationEnded("over")))])

    assert connection.seqs == [1]
    assert connection.closed_with is CONVERSATION_ENDED
    late, late_connection = a_subscriber(at(1))
    assert feed.join(late) is Joined.ENDED
    assert late_connection.closed_with is CONVERSATION_ENDED
    behind, _ = a_subscriber(START)
    assert feed.join(behind) is Joined.BEHIND


def test_a_failed_feed_ends_everybody() -> None:
    """Now and later, behind or not."""
    feed = a_feed(3)
    subscriber, connection = a_subscriber(at(3))
    feed.join(subscriber)
    feed.fail()

    assert connection.closed_with is INTERNAL_ERROR
    late, late_connection = a_subscriber(START)
    assert feed.join(late) is Joined.ENDED
    assert late_connection.closed_with is INTERNAL_ERROR


def test_an_ended_subscriber_does_not_join() -> None:
    """It left before its task ran."""
    feed = a_feed()
    subscriber, _ = a_subscriber(at(0))
    subscriber.abandon()

    assert feed.join(subscriber) is Joined.ENDED
    assert feed.advance(subscriber, 1000) is Step.NONE


# --- behind --------------------------------------------------------------------------------------


def test_a_subscriber_catches_up_from_the_ring() -> None:
    """Batch by batch, then it is live."""
    feed = a_feed()
    feed.receive(entries(1, 2, 3))
    subscriber, connection = a_subscriber(at(0))
    assert feed.join(subscriber) is Joined.BEHIND

    assert feed.advance(subscriber, FRAME_BYTES) is Step.NONE
    feed.receive(entries(4))
    assert connection.seqs == [1, 2, 3, 4]


def test_a_congested_subscriber_waits_for_its_connection() -> None:
    """Before the first batch, and between two."""
    feed = a_feed()
    feed.receive(entries(1, 2))
    subscriber, connection = a_subscriber(at(0))
    connection.congested_from = 1

    assert feed.advance(subscriber, FRAME_BYTES) is Step.DRAIN
    assert connection.seqs == [1]


def test_older_frames_are_read_from_the_stream() -> None:
    """The ring does not reach back to the cursor."""
    feed = a_feed(ring_bytes=FRAME_BYTES)
    feed.receive(entries(1, 2))
    subscriber, _ = a_subscriber(at(0))

    assert feed.advance(subscriber, 1000) is Step.STREAM


def test_a_subscriber_ahead_waits_for_the_feed() -> None:
    """Another gateway has delivered frames that this feed has not received."""
    feed = a_feed()
    subscriber, connection = a_subscriber(at(1))

    assert feed.advance(subscriber, 1000) is Step.FEED
    feed.receive(entries(1))
    assert feed.advance(subscriber, 1000) is Step.NONE
    assert connection.written == b""


def test_a_batch_that_ends_a_subscriber() -> None:
    """A protocol that is complete within the replay."""
    feed = a_feed()
    feed.receive(entries(1, 2))
    subscriber, connection = a_subscriber(at(0), InTurn(complete=True))

    assert feed.advance(subscriber, FRAME_BYTES) is Step.NONE
    assert connection.seqs == [1]
    assert connection.closed_with is NORMAL


class FlickeringConnection(MemoryConnection):
    """A connection whose congestion is given for each check, and ends after them."""

    def __init__(self, *checks: bool) -> None:
        self._checks = list(checks)
        super().__init__()

    @property
    def congested(self) -> bool:
        return self._checks.pop(0) if self._checks else False

    @congested.setter
    def congested(self, _value: bool) -> None:
        pass


def test_a_batch_that_was_not_written_is_written_later() -> None:
    """A connection that is congested between the check and the write loses no frame."""
    feed = a_feed()
    feed.receive(entries(1))
    connection = FlickeringConnection(False, True)
    subscriber = Subscriber(connection, Native(), at(0))

    assert feed.advance(subscriber, 1000) is Step.NONE
    assert connection.seqs == [1]
