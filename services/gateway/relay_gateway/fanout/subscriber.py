"""Subscribers: the delivery to one viewer, as a state machine without I/O, clock and tasks.

A subscriber is live or behind. The feed delivers each batch to its live subscribers as it is read. One that
is behind (a new viewer, a returning viewer, or one whose connection was congested) gets the frames after its
cursor from the feed's ring or the stream, as fast as its connection accepts them, until it has every frame
that the feed has received (``Feed.advance``). So nothing is queued for a viewer beyond the buffer of its
connection.
"""

from collections.abc import Sequence
from enum import IntEnum

from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_gateway.fanout.connection import Connection
from relay_gateway.fanout.encoder import Encoder
from relay_telemetry.fast_counter import FastCounter, FastCounters
from relay_wire import events
from relay_wire.close_codes import NORMAL, CloseCode
from relay_wire.position import Position

GAPS = FastCounter("relay_gateway_gaps_total", "Gap events sent to viewers.")


class Source(IntEnum):
    """From where a viewer got its first frames; each is farther than the one before."""

    LIVE = 0
    """It had missed nothing."""
    RING = 1
    STREAM = 2
    GAP = 3
    """Frames that it had missed were gone."""


RESUMES = FastCounters(
    "relay_gateway_resumes_total",
    "Viewers that came with a position, by the farthest source of what they had missed; live: nothing.",
    "result",
    (*(source.name.lower() for source in Source), "refused"),
)


class Subscriber:
    """One viewer of one conversation.

    Guarantee: the viewer gets every frame after the cursor once and in order, except those that a ``gap``
    event names, until the connection is closed.

    Args:
        connection: The transport to the viewer.
        dialect: The viewer's protocol.
        cursor: The position before the first frame to deliver.
        resumes: Whether the viewer came with this position.
    """

    def __init__(
        self, connection: Connection, dialect: Encoder, cursor: Position, *, resumes: bool = False
    ) -> None:
        self.connection = connection
        self.cursor = cursor
        """The position of the last frame delivered."""
        self.ended = False
        """Whether no more is delivered."""
        self._dialect = dialect
        self._leaves_with: CloseCode | None = None
        """The code of the close that follows the viewer's turn."""
        self._resumes = resumes
        """Whether its resume is not counted yet."""
        self._farthest = Source.LIVE

    @property
    def active(self) -> bool:
        """Whether more can be delivered, now or later."""
        return not self.ended and self.connection.open

    @property
    def unsent_bytes(self) -> int:
        """Bytes in the buffer of the connection."""
        return self.connection.unsent_bytes

    def send_event(self, event: events.GatewayEvent) -> None:
        """Send an event of the gateway's own, between frames."""
        if self.active:
            self.connection.write(self._dialect.event(event, self.cursor))

    def deliver(self, batch: Batch) -> bool:
        """Write the batch that follows the cursor.

        Returns:
            False when nothing was written: the connection is congested, or the subscriber has ended.
        """
        if self.ended or self.connection.congested:
            return False
        self.connection.write(self._dialect.frames(batch))
        self.cursor = batch.end
        if self._dialect.complete:
            self.end(NORMAL)
        elif self._leaves_with is not None:
            self.leave(self._leaves_with)
        return True

    def replay(self, frames: Sequence[SharedFrame]) -> int:
        """Write frames that follow the cursor, until the connection is congested; returns how many.

        The caller reads the rest again, so a congested viewer has one frame beyond its buffer, not a page.
        """
        self.note(Source.STREAM)
        for count, frame in enumerate(frames):
            if not self.deliver(Batch((frame,))):
                return count
        return len(frames)

    def skip(self, to: Position) -> None:
        """Move the cursor over frames that are gone, and send the ``gap`` event that names them."""
        if self.active:
            GAPS.value += 1
            self.note(Source.GAP)
            self.send_event(events.Gap(str(self.cursor), str(to)))
            self.cursor = to

    def note(self, source: Source) -> None:
        """Note from where it gets frames while it is behind."""
        self._farthest = max(self._farthest, source)

    def count_resume(self) -> None:
        """Count how the viewer has resumed, now that it is live or has ended; once, and only if it did."""
        if self._resumes:
            self._resumes = False
            RESUMES[self._farthest.name.lower()].value += 1

    def leave(self, code: CloseCode) -> None:
        """Close the connection as soon as the viewer is in no turn that it cannot resume elsewhere."""
        self._leaves_with = code
        if self._dialect.idle:
            self.end(code)

    def end(self, code: CloseCode) -> None:
        """Close the connection after everything written before; nothing more is delivered."""
        if not self.ended:
            self.ended = True
            self.connection.close(code)

    def abandon(self) -> None:
        """Deliver nothing more: the viewer has left."""
        self.ended = True
