"""Feeds: the frames of one conversation, in order, for all its viewers. No I/O, no clock, no tasks.

A feed receives the entries of the stream once, hands them to its live subscribers as one batch, and keeps a
ring of recent frames for subscribers that are a little behind. Every live subscriber has exactly the frames
that the feed has received: its cursor is the feed's.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_gateway.fanout.entries import Entry, EntryDecoder
from relay_gateway.fanout.meter import DeliveryMeter
from relay_gateway.fanout.ring import Ring
from relay_gateway.fanout.subscriber import Source, Subscriber
from relay_telemetry.fast_counter import FastCounters
from relay_wire import events
from relay_wire.close_codes import CONVERSATION_ENDED, INTERNAL_ERROR
from relay_wire.frame import Kind
from relay_wire.position import Position

REPLAYED = FastCounters(
    "relay_gateway_replayed_frames_total",
    "Frames written to viewers that are behind.",
    "source",
    ("ring", "stream"),
)


_EVENT: Final = int(Kind.EVENT)


class Joined(Enum):
    """The outcome of ``Feed.join``."""

    LIVE = "live"
    BEHIND = "behind"
    """It lacks frames that the feed has, or has frames that the feed lacks."""
    ENDED = "ended"
    """It has ended, now or before."""


class Step(Enum):
    """What a subscriber that is behind waits for next."""

    NONE = "none"
    """Nothing: it is live, or it has ended."""
    DRAIN = "drain"
    """Until its connection is no longer congested."""
    FEED = "feed"
    """Until the feed has received more: the viewer has frames that the feed lacks."""
    STREAM = "stream"
    """For the frames after its cursor, up to the feed's, to be read from the stream."""


class FellBehind(NamedTuple):
    """A subscriber is not live any more, but has not ended."""

    subscriber: Subscriber


class Break(NamedTuple):
    """The stream did not continue where it was read last."""

    cursor: Position
    next: Position


class Defect:
    """Delivery to one subscriber raised; it has ended."""

    def __init__(self, error: Exception) -> None:
        self.error = error


Effect = FellBehind | Break | Defect
"""A result of ``Feed.receive`` on which its caller acts."""


class Feed:
    """One conversation's frames, from a position on.

    Args:
        cursor: The position before the first frame it will receive.
        ended: Whether the conversation has ended, so that nothing follows.
        ring_bytes: Bound of the ring.
    """

    def __init__(self, cursor: Position, *, ended: bool, ring_bytes: int) -> None:
        self.cursor = cursor
        """The position of the last frame received."""
        self.ring = Ring(ring_bytes, cursor)
        self.meter = DeliveryMeter()
        self._decoder = EntryDecoder()
        self._ended = ended
        self._failed = False
        self._live: set[Subscriber] = set()

    # --- the stream's side ---------------------------------------------------------------------

    def receive(self, entries: Sequence[Entry]) -> Sequence[Effect]:
        """Deliver the next entries of the stream, and keep their frames."""
        effects: list[Effect] = []
        frames: list[SharedFrame] = []
        cursor = self.cursor
        for frame in self._decoder.decode(entries):
            position = frame.position
            event = events.of_frame(frame.data) if frame.data[1] == _EVENT else None
            # Two numbers of nearly every frame are compared here: a call would cost as much as its delivery.
            next_one = position[1] == cursor[1] + 1 and position[0] == cursor[0]
            if not (next_one or events.follows(cursor, position, event)):
                self._fan_out(frames, effects)
                frames = []
                effects.append(Break(cursor, position))
                self._break(position.before, effects)
            frames.append(frame)
            self.ring.append(frame)
            cursor = position
            if isinstance(event, events.ConversationEnded):
                self._ended = True
        self._fan_out(frames, effects)
        if self._ended:
            for subscriber in self._leave_all():
                subscriber.end(CONVERSATION_ENDED)
        return effects

    def fail(self) -> None:
        """End every subscriber, now and later: nothing can be received any more."""
        self._failed = True
        for subscriber in self._leave_all():
            subscriber.end(INTERNAL_ERROR)

    def _fan_out(self, frames: list[SharedFrame], effects: list[Effect]) -> None:
        if not frames:
            return
        batch = Batch(frames)
        self.cursor = batch.end
        viewers = 0
        for subscriber in list(self._live):
            try:
                live = subscriber.deliver(batch)
            except Exception as error:  # noqa: BLE001  # one viewer's defect must not stop the others
                effects.append(Defect(error))
                subscriber.end(INTERNAL_ERROR)
                live = False
            if live:
                viewers += 1
                continue
            self._live.discard(subscriber)
            if not subscriber.ended:
                effects.append(FellBehind(subscriber))
        self.meter.count(frames, viewers)

    def _break(self, cursor: Position, effects: list[Effect]) -> None:
        """Continue at another position: each live subscriber gets its own gap while it is behind."""
        effects.extend(FellBehind(subscriber) for subscriber in self._leave_all() if not subscriber.ended)
        self.cursor = cursor
        self.ring.restart(cursor)
        self.meter.restart()

    def _leave_all(self) -> set[Subscriber]:
        live, self._live = self._live, set()
        return live

    # --- a subscriber's side -------------------------------------------------------------------

    def join(self, subscriber: Subscriber) -> Joined:
        """Make a subscriber live if it has every frame of this feed; end it if no more will follow."""
        if not subscriber.ended:
            if self._failed:
                subscriber.end(INTERNAL_ERROR)
            elif subscriber.cursor != self.cursor:
                return Joined.BEHIND
            elif self._ended:
                subscriber.end(CONVERSATION_ENDED)
            else:
                self._live.add(subscriber)
                return Joined.LIVE
        return Joined.ENDED

    def advance(self, subscriber: Subscriber, limit_bytes: int) -> Step:
        """Bring a subscriber that is behind as far as possible without waiting.

        Args:
            subscriber: It is not live.
            limit_bytes: The most bytes of the ring that are written at once.

        Returns:
            What the subscriber waits for next.
        """
        while subscriber.active:
            if subscriber.connection.congested:
                return Step.DRAIN
            if self.join(subscriber) is not Joined.BEHIND:
                return Step.NONE
            if subscriber.cursor > self.cursor:
                return Step.FEED
            recent = self.ring.after(subscriber.cursor, limit_bytes)
            if recent is None:
                return Step.STREAM
            subscriber.note(Source.RING)
            if subscriber.deliver(recent):
                REPLAYED["ring"].value += len(recent)
        return Step.NONE

    def leave(self, subscriber: Subscriber) -> None:
        """Deliver nothing more to this subscriber."""
        self._live.discard(subscriber)
